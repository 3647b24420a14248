"""Locks and rate limits of Python's libraries, which are scripts: redis-py, redlock-py, aiocache, limits."""

import asyncio
import sys
import threading
import time

import redis
import redlock
from aiocache import Cache
from aiocache.lock import OptimisticLock, OptimisticLockError, RedLock
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

port = int(sys.argv[1])
client = redis.Redis(port=port)
client.flushdb()

lock = client.lock("lock", timeout=30)
assert lock.acquire() and lock.locked() and lock.owned()
assert not client.lock("lock", timeout=30).acquire(blocking=False)
assert lock.extend(30) and 30_000 < client.pttl("lock") <= 60_000
assert lock.extend(20, replace_ttl=True) and client.pttl("lock") <= 20_000
assert lock.reacquire() and 20_000 < client.pttl("lock") <= 30_000
client.set("lock", "somebody else's")
for call in (lock.release, lock.reacquire, lambda: lock.extend(1)):
    try:
        call()
        raise AssertionError("it is somebody else's")
    except redis.exceptions.LockNotOwnedError:
        pass
    lock.local.token = lock.local.token or b"mine"
assert client.get("lock") == b"somebody else's"
client.delete("lock")


def add_one():
    """What is read is what the one before has written, if the lock is one."""
    own = redis.Redis(port=port)
    for _ in range(25):
        with own.lock("guard", timeout=30, sleep=0.001):
            total = int(own.get("total") or 0)
            own.set("total", total + 1)


threads = [threading.Thread(target=add_one) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert client.get("total") == b"100" and not client.exists("guard")

manager = redlock.Redlock([{"host": "127.0.0.1", "port": port, "db": 0}], retry_count=1)
held = manager.lock("red", 30_000)
assert held and not manager.lock("red", 30_000)
manager.unlock(held)
assert not client.exists("red")


async def cache_aside():
    """aiocache: a lock, and a value that is only written if it is the one that was read."""
    cache = Cache(Cache.REDIS, endpoint="127.0.0.1", port=port, namespace="aiocache")
    async with RedLock(cache, "item", lease=30):
        assert client.exists("aiocache:item-lock")
        await cache.set("item", "one", ttl=30)
    assert not client.exists("aiocache:item-lock")
    async with OptimisticLock(cache, "item") as lock:
        assert await lock.cas("two", ttl=60)
    assert await cache.get("item") == "two" and 30 < client.ttl("aiocache:item") <= 60
    async with OptimisticLock(cache, "item") as lock:
        await cache.set("item", "three")
        try:
            await lock.cas("four")
            raise AssertionError("it was changed")
        except OptimisticLockError:
            pass
    assert await cache.get("item") == "three"
    await cache.close()


asyncio.run(cache_aside())

limiter = FixedWindowRateLimiter(RedisStorage(f"redis://127.0.0.1:{port}"))
limit = RateLimitItemPerMinute(3)
# A minute may end in between.
until = time.time() + 90
while not (passed := [limiter.hit(limit, "who") for _ in range(4)]) == [True, True, True, False]:
    assert time.time() < until, passed
    limiter.clear(limit, "who")
assert limiter.get_window_stats(limit, "who").remaining == 0
