#!/usr/bin/env bash
# The exporter of memcached's figures for Prometheus finds what dashboards show.
set -euo pipefail
python3 - "$1" <<'END'
import socket, sys
asked = b"set exported 0 100 1\r\n1\r\nget exported\r\nget nothing\r\nincr exported 1\r\ntouch exported 0\r\ndelete exported\r\n"
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as client:
    client.sendall(asked + b"set exported 0 0 1\r\n1\r\nquit\r\n")
    while client.recv(4096):
        pass
END
free="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
log="$(mktemp)"
"$2" --memcached.address "127.0.0.1:$1" --web.listen-address "127.0.0.1:$free" 2>"$log" &
exporter=$!
trap 'kill "$exporter" 2>/dev/null; rm -f "$log"' EXIT
metrics="$(curl --silent --retry 20 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$free/metrics")"
# What it cannot read it complains of.
if grep -i 'level=error\|failed' "$log"; then
    exit 1
fi
for metric in \
    'memcached_up 1' \
    'memcached_uptime_seconds ' \
    'memcached_time_seconds ' \
    'memcached_version{version="' \
    'memcached_process_user_cpu_seconds_total ' \
    'memcached_process_system_cpu_seconds_total ' \
    'memcached_limit_bytes 6.7108864e+07' \
    'memcached_max_connections 10000' \
    'memcached_current_bytes ' \
    'memcached_current_items ' \
    'memcached_items_total ' \
    'memcached_read_bytes_total ' \
    'memcached_written_bytes_total ' \
    'memcached_current_connections ' \
    'memcached_connections_total ' \
    'memcached_items_evicted_total ' \
    'memcached_items_reclaimed_total ' \
    'memcached_malloced_bytes ' \
    'memcached_accepting_connections 1' \
    'memcached_commands_total{command="get",status="hit"} ' \
    'memcached_commands_total{command="get",status="miss"} ' \
    'memcached_commands_total{command="set",status="hit"} ' \
    'memcached_commands_total{command="incr",status="hit"} ' \
    'memcached_commands_total{command="touch",status="hit"} ' \
    'memcached_commands_total{command="delete",status="hit"} ' \
    'memcached_slab_current_items{slab="1"} '; do
    value="$(grep -F "$metric" <<<"$metrics" | head -n 1)" || { echo "no $metric" && exit 1; }
    # Of what was done above none is nothing.
    if [[ "$value" == *" 0" && "$metric" == *@(command|items_total|current|bytes_total|malloced)* ]]; then
        echo "nothing in $value"
        exit 1
    fi
done
