"""pylibmc (libmemcached): the text protocol, and what becomes of somebody who speaks the binary one."""

import sys

import pylibmc

port = int(sys.argv[1])
client = pylibmc.Client([f"127.0.0.1:{port}"], behaviors={"cas": True, "tcp_nodelay": True})
client.flush_all()

assert client.set("a", "one", time=60) and client.get("a") == "one"
assert not client.add("a", "two") and client.add("n", 1) and client.incr("n", 4) == 5 and client.decr("n") == 4
assert client.set_multi({str(i): i for i in range(200)}) == []
assert client.get_multi([str(i) for i in range(200)]) == {str(i): i for i in range(200)}
value, cas = client.gets("a")
assert client.cas("a", "three", cas) and not client.cas("a", "four", cas) and client.get("a") == "three"
assert client.append("a", "!") and client.prepend("a", ">") and client.get("a") == ">three!"
assert client.touch("a", 60) and client.delete("a") and client.get("a") is None
large = b"x" * 500_000
assert client.set("large", large) and client.get("large") == large
((_, stats),) = client.get_stats()
assert int(stats["curr_items"]) == 202, stats

binary = pylibmc.Client([f"127.0.0.1:{port}"], binary=True)
try:
    binary.set("a", "x")
    raise AssertionError("it speaks the binary protocol")
except pylibmc.Error:
    pass
assert client.get("n") == 4
