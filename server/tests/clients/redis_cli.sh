#!/usr/bin/env bash
# redis-cli in the ways in which people use it, and redis-benchmark.
set -euo pipefail
cli=(redis-cli -p "$1")

# The output of a command has to hold this.
expect() {
    local wanted="$1" got
    shift
    got="$("$@" 2>&1)" || true
    if [[ "$got" != *"$wanted"* ]]; then
        printf 'expected %s of %s, got:\n%s\n' "$wanted" "$*" "$got"
        exit 1
    fi
}

expect "OK" "${cli[@]}" flushall
expect "OK" "${cli[@]}" mset apple 1 berry 22 cherry 333
expect 'Biggest string found '"'"'"cherry"'"'"' has 3 bytes' "${cli[@]}" --bigkeys
expect "3 strings with" "${cli[@]}" --memkeys
expect "berry" "${cli[@]}" --scan --pattern 'b*'
expect "keys       mem" timeout 2 stdbuf -oL "${cli[@]}" --stat -i 1
expect "avg" timeout 3 stdbuf -oL script -qec "${cli[*]} --latency" /dev/null
expect '1# "server" => "redis"' "${cli[@]}" --no-raw -3 hello
expect '1# "maxclients" => "10000"' "${cli[@]}" --no-raw -3 config get maxclients
# Its help is made from COMMAND DOCS.
expect "key seconds [NX|XX|GT|LT]" "${cli[@]}" <<<"help expire"
expect "CLIENT KILL" "${cli[@]}" <<<"help client kill"
expect "replies: 2" "${cli[@]}" --pipe <<<$'SET one 1\r\nSET two 2\r\n'
expect "crabcache" "${cli[@]}" info server
# Version 7.0.15 now and then hangs at its start, before it has sent anything: then once more.
benchmark() {
    timeout 40 redis-benchmark "$@" || timeout 40 redis-benchmark "$@"
}
expect "requests per second" benchmark -p "$1" -q -n 2000 -c 10 -P 8 -t ping,set,get,incr,mset
