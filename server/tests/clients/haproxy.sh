#!/usr/bin/env bash
# HAProxy in front, for Redis and for memcached, with its checks of either.
set -euo pipefail
server="$1"
scratch="$(mktemp -d)"
trap 'kill "${proxy:-}" 2>/dev/null || true; rm -rf "$scratch"' EXIT
cat >"$scratch/haproxy.cfg" <<END
global
    stats socket $scratch/admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 10s
    timeout server 10s
listen redis
    bind unix@$scratch/redis
    option redis-check
    server cache 127.0.0.1:$server check inter 100
listen memcached
    bind unix@$scratch/memcached
    option tcp-check
    tcp-check send version\r\n
    tcp-check expect rstring ^VERSION
    server cache 127.0.0.1:$server check inter 100
END
haproxy -f "$scratch/haproxy.cfg" 2>"$scratch/log" &
proxy=$!
python3 - "$scratch" <<'END'
import pathlib, socket, sys, time

scratch = pathlib.Path(sys.argv[1])


def ask(path, words):
    for _ in range(100):
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(10)
                line.connect(str(scratch / path))
                line.sendall(words)
                line.shutdown(socket.SHUT_WR)
                return line.makefile("rb").read()
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.1)
    raise AssertionError("the proxy does not start")


def expect(path, words, answer):
    got = ask(path, words)
    assert got == answer, got


expect("redis", b"SET proxied 1\r\nMGET proxied none\r\nQUIT\r\n", b"+OK\r\n*2\r\n$1\r\n1\r\n$-1\r\n+OK\r\n")
expect("memcached", b"set proxied 0 0 1\r\n2\r\nget proxied\r\nquit\r\n", b"STORED\r\nVALUE proxied 0 1\r\n2\r\nEND\r\n")
# By now it has checked several times; each check of Redis ends in a reset.
time.sleep(1)
checks = [line.split(",") for line in ask("admin", b"show stat\n").decode().splitlines()]
head = checks[0]
for row in (dict(zip(head, row)) for row in checks if row[1:2] == ["cache"]):
    assert row["status"] == "UP" and row["chkfail"] == row["chkdown"] == "0", row
    # A star in front: the next check is on its way.
    assert row["check_status"].removeprefix("* ") == "L7OK", row
END
