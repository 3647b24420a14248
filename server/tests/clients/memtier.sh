#!/usr/bin/env bash
# memtier_benchmark in each protocol: what was set is found, and no answer is an error.
set -euo pipefail
load=(memtier_benchmark -s 127.0.0.1 -p "$1" --hide-histogram --pipeline 8 -c 4 -t 2 -d 64 --key-maximum 500)
for protocol in redis resp2 resp3 memcache_text; do
    # Every key once; then all reads have to hit.
    "${load[@]}" --protocol "$protocol" --ratio 1:0 --key-pattern P:P -n allkeys &>/dev/null
    told="$("${load[@]}" --protocol "$protocol" --ratio 0:1 -n 1000 2>&1)"
    read -r hits misses < <(awk '$1 == "Gets" { print $3, $4 }' <<<"$told")
    if [[ "$misses" != 0.00 || "$hits" == 0.00 ]] || grep -qi 'error' <<<"$told"; then
        printf '%s: %s hits, %s misses\n%s\n' "$protocol" "$hits" "$misses" "$told"
        exit 1
    fi
done
told="$("${load[@]}" -n 200 --command 'SETRANGE __key__ 2 __data__' --command 'INCR counter' --command 'MGET __key__ none' 2>&1)"
! grep -qi 'error' <<<"$told"
grep -q Setranges <<<"$told"
