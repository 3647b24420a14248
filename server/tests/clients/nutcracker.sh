#!/usr/bin/env bash
# nutcracker (twemproxy) in front of what it takes for two servers, for Redis and for memcached.
set -euo pipefail
server="$1"
scratch="$(mktemp -d)"
trap 'kill "${proxy:-}" 2>/dev/null || true; rm -rf "$scratch"' EXIT
port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
for pool in redis memcached; do
    cat <<END
$pool:
  listen: $scratch/$pool
  redis: $([[ $pool == redis ]] && echo true || echo false)
  servers:
    - 127.0.0.1:$server:1 one
    - 127.0.0.1:$server:1 two
END
done >"$scratch/nutcracker.yml"
nutcracker -c "$scratch/nutcracker.yml" -a 127.0.0.1 -s "$(port)" -o "$scratch/log" &
proxy=$!
python3 - "$scratch" <<'END'
import pathlib, socket, sys, time

scratch = pathlib.Path(sys.argv[1])


def connect(path):
    for _ in range(100):
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(10)
        try:
            line.connect(str(scratch / path))
            return line
        except (FileNotFoundError, ConnectionRefusedError):
            line.close()
            time.sleep(0.1)
    raise AssertionError("the proxy does not start")


def expect(line, words, answer):
    line.sendall(words)
    got = b""
    while len(got) < len(answer):
        got += (more := line.recv(4096)) or b"(closed)"
        if not more:
            break
    assert got == answer, got


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


keys = [b"key:%d" % number for number in range(50)]
redis = connect("redis")
expect(redis, command(b"PING"), b"+PONG\r\n")
expect(redis, command(b"MSET", *(word for key in keys for word in (key, b"1"))), b"+OK\r\n")
expect(redis, command(b"MGET", *keys), b"*50\r\n" + b"$1\r\n1\r\n" * 50)
expect(redis, command(b"EXISTS", *keys, b"none") + command(b"INCRBY", keys[0], b"5"), b":50\r\n:6\r\n")
expect(redis, command(b"SET", b"large", b"x" * 100_000), b"+OK\r\n")
expect(redis, command(b"GET", b"large"), b"$100000\r\n" + b"x" * 100_000 + b"\r\n")
release = b"c3f8721cbb97f72bc19e972846bd7aaf91901658"
expect(redis, command(b"EVALSHA", release, b"1", keys[1], b"1"), b":1\r\n")
expect(redis, command(b"DEL", *keys) + command(b"LPUSH", b"l", b"1"),
       b":49\r\n-ERR unknown command 'LPUSH', with args beginning with: 'l' '1' \r\n")
# What it sends to a memcached has a blank behind the last key.
memcached = connect("memcached")
expect(memcached, b"set a 7 0 1\r\n1\r\nset b 0 0 1\r\n2\r\n", b"STORED\r\n" * 2)
expect(memcached, b"get a\r\nget none\r\n", b"VALUE a 7 1\r\n1\r\nEND\r\nEND\r\n")
memcached.sendall(b"get a b none\r\n")
got = b""
while not got.endswith(b"END\r\n"):
    got += memcached.recv(4096)
values = sorted(got.removesuffix(b"END\r\n").split(b"VALUE "))
assert values == [b"", b"a 7 1\r\n1\r\n", b"b 0 1\r\n2\r\n"], got
expect(memcached, b"incr a 4\r\ndelete b\r\ndelete b\r\ntouch a 9\r\n", b"5\r\nDELETED\r\nNOT_FOUND\r\nTOUCHED\r\n")
END
