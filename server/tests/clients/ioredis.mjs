// ioredis: what it says when it connects, a pipeline, a transaction, publish and subscribe, MONITOR.
import assert from 'node:assert/strict';
import Redis from 'ioredis';

const port = Number(process.argv[2]);
const client = new Redis(port);
await client.set('io', '2');
assert.equal(await client.get('io'), '2');
assert.deepEqual(await client.pipeline().incr('io').get('io').exec(), [[null, 3], [null, '3']]);
assert.deepEqual(await client.multi().incr('io').mget('io', 'none').exec(), [[null, 4], [null, ['4', null]]]);
assert.match(await client.client('LIST'), /lib-name=ioredis/);
const subscriber = new Redis(port);
await subscriber.subscribe('news');
const message = new Promise((resolve) => subscriber.on('message', (channel, text) => resolve([channel, text])));
assert.equal(await client.publish('news', 'hello'), 1);
assert.deepEqual(await message, ['news', 'hello']);
const monitor = await client.monitor();
const seen = new Promise((resolve) => monitor.on('monitor', (_, words) => words[0] === 'echo' && resolve(words)));
await client.call('echo', 'seen');
assert.deepEqual(await seen, ['echo', 'seen']);
monitor.disconnect();
await subscriber.quit();
await client.quit();
