#!/usr/bin/env bash
# The exporter for Prometheus finds what dashboards show.
set -euo pipefail
redis-cli -p "$1" set exported 1 >/dev/null
redis-cli -p "$1" get exported >/dev/null
free="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
prometheus-redis-exporter -redis.addr "redis://127.0.0.1:$1" -web.listen-address "127.0.0.1:$free" \
    -export-client-list 2>/dev/null &
exporter=$!
trap 'kill "$exporter" 2>/dev/null' EXIT
metrics="$(curl --silent --retry 20 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$free/metrics")"
# No label of what applies is empty: a client need not have a name, nor an error have happened.
if grep -E '^redis_[a-z_]+[{]' <<<"$metrics" | grep -v '^redis_connected_clients_details\|last_scrape_error' | grep -F '=""'; then
    echo "an empty label"
    exit 1
fi
for metric in \
    'redis_up 1' \
    'redis_exporter_last_scrape_error{err=""} 0' \
    'redis_config_maxclients 10000' \
    'redis_memory_max_bytes 6.7108864e+07' \
    'redis_memory_used_bytes ' \
    'redis_mem_fragmentation_ratio ' \
    'redis_uptime_in_seconds ' \
    'redis_connected_clients ' \
    'redis_db_keys{db="db0"} ' \
    'redis_keyspace_hits_total ' \
    'redis_evicted_keys_total ' \
    'redis_expired_keys_total ' \
    'redis_commands_processed_total ' \
    'redis_commands_total{cmd="get"} ' \
    'redis_commands_duration_seconds_total{cmd="get"} ' \
    'redis_latency_percentiles_usec{cmd="get",quantile="99"} ' \
    'redis_net_input_bytes_total ' \
    'redis_cpu_user_seconds_total ' \
    'redis_slowlog_length ' \
    'redis_number_of_cached_scripts ' \
    'redis_instance_info{'; do
    if ! grep -qF "$metric" <<<"$metrics"; then
        echo "no $metric"
        exit 1
    fi
done
