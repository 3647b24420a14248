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

# What the exporter for Prometheus reads and dashboards show: each is there, and a number.
read = """uptime time cmd_set cmd_flush cas_badval rusage_user rusage_system bytes limit_maxbytes curr_items total_items
    bytes_read bytes_written curr_connections total_connections rejected_connections max_connections conn_yields
    listen_disabled_num evictions reclaimed store_too_large store_no_memory lru_crawler_starts direct_reclaims
    crawler_reclaimed moves_to_cold moves_to_warm moves_within_lru accepting_conns threads""".split()
read += [f"{op}_{came}" for op in ("get", "delete", "incr", "decr", "cas", "touch") for came in ("hits", "misses")]
for name in read:
    assert float(stats[name.encode()]) >= 0, name
items = """number age evicted evicted_nonzero evicted_time evicted_unfetched expired_unfetched outofmemory reclaimed
    tailrepairs crawler_reclaimed mem_requested""".split()
stats = client.stats("items")
assert all(int(stats[f"items:1:{name}".encode()]) >= 0 for name in items), stats
slabs = """chunk_size chunks_per_page total_pages total_chunks used_chunks free_chunks free_chunks_end mem_requested
    get_hits delete_hits incr_hits decr_hits cas_hits touch_hits cas_badval cmd_set""".split()
stats = client.stats("slabs")
assert all(int(stats[f"1:{name}".encode()]) >= 0 for name in slabs), stats
assert int(stats[b"total_malloced"]) > 0


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
