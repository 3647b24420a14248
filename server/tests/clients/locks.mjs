// Locks and rate limits of Node's libraries, which are scripts: redlock 4, redis-semaphore, rate-limit-redis,
// rate-limiter-flexible.
import assert from 'node:assert/strict';
import Redis from 'ioredis';
import Redlock from 'redlock';
import { Mutex } from 'redis-semaphore';
import { RedisStore } from 'rate-limit-redis';
import { RateLimiterRedis } from 'rate-limiter-flexible';

const client = new Redis(Number(process.argv[2]));
await client.flushdb();

const redlock = new Redlock([client], { retryCount: 0 });
const lock = await redlock.lock(['one', 'two'], 30_000);
await assert.rejects(redlock.lock(['two', 'three'], 30_000));
assert.equal(await client.exists('three'), 0);
await lock.extend(60_000);
assert.ok((await client.pttl('two')) > 30_000);
await lock.unlock();
assert.equal(await client.exists('one', 'two'), 0);
await assert.rejects(lock.unlock());

const [mine, theirs] = [0, 1].map(() => new Mutex(client, 'mutex', { lockTimeout: 30_000, refreshInterval: 20 }));
assert.ok(await mine.tryAcquire());
assert.ok(!(await theirs.tryAcquire()));
await new Promise((resolve) => setTimeout(resolve, 100));
assert.ok(mine.isAcquired);
await mine.release();
assert.ok(await theirs.tryAcquire());
await theirs.release();

const store = new RedisStore({ sendCommand: (command, ...args) => client.call(command, ...args) });
store.init({ windowMs: 30_000 });
assert.equal((await store.increment('who')).totalHits, 1);
const { totalHits, resetTime } = await store.increment('who');
assert.equal(totalHits, 2);
assert.ok(resetTime.getTime() <= Date.now() + 30_000);
assert.equal((await store.get('who')).totalHits, 2);
await store.decrement('who');
assert.equal((await store.get('who')).totalHits, 1);
await store.resetKey('who');

const limiter = new RateLimiterRedis({ storeClient: client, points: 3, duration: 30 });
assert.equal((await limiter.consume('who', 2)).remainingPoints, 1);
const refusal = await limiter.consume('who', 2).then(() => assert.fail('that is too much'), (refused) => refused);
assert.equal(refusal.consumedPoints, 4);
assert.ok(refusal.msBeforeNext > 0 && refusal.msBeforeNext <= 30_000);
client.disconnect();
