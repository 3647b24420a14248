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
expect "1" "${cli[@]}" -r 3 get apple
expect 'hot key found with counter: 3	keyname: "apple"' "${cli[@]}" --hotkeys
expect "berry" "${cli[@]}" --scan --pattern 'b*'
expect "apple" "${cli[@]}" -3 --scan
expect "keys       mem" timeout 2 stdbuf -oL "${cli[@]}" --stat -i 1
expect "avg" timeout 3 stdbuf -oL script -qec "${cli[*]} --latency" /dev/null
expect "---------------------------------------------" timeout 3 script -qec "${cli[*]} --latency-dist -i 1" /dev/null
expect '1# "server" => "redis"' "${cli[@]}" --no-raw -3 hello
expect '1# "maxclients" => "10000"' "${cli[@]}" --no-raw -3 config get maxclients
# Its help is made from COMMAND DOCS.
expect "key seconds [NX|XX|GT|LT]" "${cli[@]}" <<<"help expire"
expect "CLIENT KILL" "${cli[@]}" <<<"help client kill"
# So are the hints that it shows while somebody types.
typed() {
    { sleep 1 && printf "$1" && sleep 1 && printf '\rquit\r' && sleep 1; } |
        TERM=xterm timeout 20 script -qec "stty cols 120 rows 24; ${cli[*]}" /dev/null
}
expect "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]" typed 'getex '
expect "key1 key2 [LEN] [IDX]" typed 'lcs '
expect '["1",null]' "${cli[@]}" --json -3 mget apple none
expect '"1",NULL' "${cli[@]}" --csv mget apple none
expect "(integer) 3" "${cli[@]}" --no-raw -r 3 -n 9 incr repeated
expect "NOSCRIPT" "${cli[@]}" evalsha ffffffffffffffffffffffffffffffffffffffff 0
expect "replies: 2" "${cli[@]}" --pipe <<<$'SET one 1\r\nSET two 2\r\n'
expect "crabcache" "${cli[@]}" info server
# Version 7.0.15 now and then hangs at its start, before it has sent anything: then once more.
benchmark() {
    timeout 40 redis-benchmark "$@" || timeout 40 redis-benchmark "$@"
}
told="$(benchmark -p "$1" -q -n 2000 -c 10 -P 8 -r 100 -d 100 -t ping,set,get,incr,mset 2>&1 | tr '\r' '\n')"
for test in PING_INLINE PING_MBULK SET GET INCR "MSET (10 keys)"; do
    [[ "$told" == *"$test: "[0-9]*" requests per second"* ]] || { echo "no $test in $told" && exit 1; }
done
expect "requests per second" benchmark -p "$1" -q -n 2000 -3 --threads 2 -t get
expect "requests per second" benchmark -p "$1" -q -n 2000 --enable-tracking append grown x
