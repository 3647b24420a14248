"""pymemcache: the text protocol as it speaks it, and the meta commands through it."""

import sys

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError

port = int(sys.argv[1])
client = Client(("127.0.0.1", port), default_noreply=False, connect_timeout=5, timeout=5)
client.flush_all()

assert client.set("a", "one", expire=60, flags=7) and client.get("a") == b"one"
assert client.add("a", "two") is False and client.replace("none", "x") is False
assert client.append("a", "!") and client.prepend("a", ">") and client.get("a") == b">one!"
assert client.set_many({"b": "1", "c": "2"}) == [] and client.get_many(["a", "b", "none"]).keys() == {"a", "b"}

value, cas = client.gets("b")
assert value == b"1" and client.cas("b", "10", cas) is True and client.cas("b", "11", cas) is False
assert client.cas("none", "x", cas) is None
assert client.incr("b", 5) == 15 and client.decr("b", 20) == 0 and client.incr("none", 1) is None
assert client.touch("b", 60) and client.get("b") == b"0"
assert client.delete("b") and not client.delete("b")
client.set("noreply", "x", noreply=True)
assert client.get("noreply") == b"x"

stats = client.stats()
assert stats[b"curr_items"] == 3 and stats[b"cas_hits"] >= 1 and stats[b"limit_maxbytes"] > 0, stats
assert client.stats("settings")[b"maxconns"] == 10000 and int(client.stats("items")[b"items:1:number"]) == 3
assert client.version() and client.cache_memlimit(64)


def meta(line, end=b"\r\n"):
    return client.raw_command(line, end)


assert meta("mg none v") == b"EN" and meta("mg a s f t v", b">one!\r\n").startswith(b"VA 5 s5 f7 t")
won = meta("mg lease N30 c")
assert won.startswith(b"HD c") and won.endswith(b" W") and meta("mg lease N30") == b"HD Z", won
cas = won.split()[1][1:].decode()
assert meta(f"ms lease 1 C{cas}\r\nv") == b"HD" and client.get("lease") == b"v"
assert meta("md lease I") == b"HD" and meta("mg lease") == b"HD X W" and meta("mn") == b"MN"

for wrong in ("k" * 251, "with blank"):
    try:
        client.get(wrong)
        raise AssertionError(wrong)
    except MemcacheClientError:
        pass
client.quit()
