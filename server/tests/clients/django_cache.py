"""Django's cache by its own backend, by django-redis, and by pymemcache: every call, locks included."""

import sys

import django
from django.conf import settings

port = int(sys.argv[1])
settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{port}/4",
        },
        "django_redis": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{port}/5"},
        "memcached": {
            "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
            "LOCATION": f"127.0.0.1:{port}",
        },
    }
)
django.setup()

from django.core.cache import caches  # noqa: E402: it needs the settings

# memcached first: there, to clear is to clear everything.
for name in ("memcached", "default", "django_redis"):
    cache = caches[name]
    cache.clear()
    cache.set("a", {"x": [1, None]}, 60)
    assert cache.get("a") == {"x": [1, None]} and cache.get("none", "other") == "other"
    assert not cache.add("a", 1) and cache.add("n", 5, 60) and cache.has_key("n") and "none" not in cache
    assert (cache.incr("n"), cache.incr("n", 10), cache.decr("n", 3)) == (6, 16, 13)
    try:
        cache.incr("none")
        raise AssertionError("there is nothing to add to")
    except ValueError:
        pass
    assert not cache.set_many({"b": 1, "c": "two"}, timeout=30)
    assert cache.get_many(["b", "c", "none"]) == {"b": 1, "c": "two"}
    assert cache.touch("b", 100) and not cache.touch("none", 100)
    assert cache.get_or_set("computed", lambda: 42, 10) == 42 == cache.get("computed")
    assert cache.delete("computed") and not cache.delete("computed")
    cache.set("ever", 1, None)
    cache.set("never", 1, 0)
    assert cache.get("ever") == 1 and cache.get("never") is None
    assert cache.incr_version("ever") == 2 and cache.get("ever") is None and cache.get("ever", version=2) == 1
    cache.delete_many(["b", "c", "none"])
    assert cache.get_many(["b", "c"]) == {}

cache = caches["django_redis"]
assert cache.ttl("a") in range(50, 61) and cache.ttl("none") == 0 and cache.persist("a") and cache.ttl("a") is None
assert cache.expire("a", 50) and cache.pexpire("a", 50_000) and 0 < cache.pttl("a") <= 50_000
assert sorted(cache.keys("*")) == sorted(cache.iter_keys("*")) == ["a", "n"]
assert cache.set("p1", 1) and cache.set("p2", 1) and cache.delete_pattern("p*") == 2
assert cache.set("once", 1, nx=True) and not cache.set("once", 2, nx=True) and cache.get("once") == 1
cache.set("large", 2**62)
assert cache.incr("large", 2**62) == 2**63
with cache.lock("lock", timeout=30) as lock:
    assert not cache.lock("lock", timeout=30, blocking_timeout=0).acquire()
    assert lock.extend(60) and lock.reacquire()
assert cache.get("lock") is None
for name in ("default", "django_redis"):
    caches[name].clear()
    assert caches[name].get("a") is None
