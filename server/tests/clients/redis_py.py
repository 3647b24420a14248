"""redis-py: both protocols, pipelines, publish and subscribe, MONITOR, and its cache of its own."""

import sys
import time

import redis
from redis.cache import CacheConfig

port = int(sys.argv[1])

for protocol in (2, 3):
    client = redis.Redis(port=port, protocol=protocol, decode_responses=True, client_name="script")
    client.flushall()
    assert client.ping() and client.set("a", "1", ex=10) and client.get("a") == "1"
    assert client.pipeline().set("b", 1).incr("b").get("b").execute() == [True, 2, "2"]
    assert client.pipeline(transaction=False).mget("a", "b").ttl("a").execute() == [["1", "2"], 10]

    info = client.info("everything")
    assert info["redis_version"] >= "7" and info["loading"] == 0 and info["role"] == "master"
    assert info["cmdstat_get"]["calls"] >= 1 and info["db0"]["keys"] == 2
    (line,) = [line for line in client.client_list() if line["id"] == str(client.client_id())]
    assert line["name"] == "script" and line["lib-name"] == "redis-py" and line["resp"] == str(protocol), line
    assert client.client_info()["id"] == client.client_id()
    assert client.client_kill_filter(_id="999999999") == 0
    assert client.command_count() == len(client.command()) > 50
    assert client.command_getkeys("SET", "a", "b") == ["a"]
    assert client.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lfu"
    assert client.config_set("slowlog-max-len", 64) and client.config_resetstat()
    assert client.slowlog_reset() and client.slowlog_len() >= 0 and isinstance(client.slowlog_get(), list)
    assert client.latency_latest() == [] and client.module_list() == []
    assert client.acl_whoami() == "default" and "read" in client.acl_cat()
    assert client.memory_usage("a") > 0 and client.memory_stats()["keys.count"] == 2
    assert client.dbsize() == 2 and sorted(client.scan_iter()) == ["a", "b"]

    subscription = client.pubsub()
    subscription.subscribe("news")
    subscription.psubscribe("n*")
    assert [subscription.get_message(timeout=5)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
    assert client.publish("news", "hello") == 2
    assert {subscription.get_message(timeout=5)["type"] for _ in range(2)} == {"message", "pmessage"}
    subscription.close()

    with client.monitor() as monitor:
        client.echo("seen")
        lines = monitor.listen()
        assert any(next(lines)["command"] == "ECHO seen" for _ in range(10))

# Copies that the client keeps go when somebody else writes.
cached = redis.Redis(port=port, protocol=3, decode_responses=True, cache_config=CacheConfig())
writer = redis.Redis(port=port)
writer.set("copy", "1")
assert cached.get("copy") == cached.get("copy") == "1" and cached.get_cache().size == 1
writer.set("copy", "2")
until = time.monotonic() + 5
while cached.get("copy") != "2":
    assert time.monotonic() < until, "the copy was not given up"
