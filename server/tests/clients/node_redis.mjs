// node-redis: both protocols, a transaction, publish and subscribe, reports.
import assert from 'node:assert/strict';
import { createClient } from 'redis';

const port = process.argv[2];
for (const RESP of [2, 3]) {
    const client = createClient({ url: `redis://127.0.0.1:${port}`, RESP });
    await client.connect();
    await client.set('node', '1');
    assert.equal(await client.get('node'), '1');
    assert.deepEqual(await client.multi().incr('node').get('node').exec(), [2, '2']);
    assert.match(await client.info(), /redis_version:7/);
    assert.ok((await client.clientList()).some(({ libName }) => libName === 'node-redis'));
    assert.equal((await client.commandInfo(['get']))[0].name, 'get');
    assert.equal((await client.configGet('maxmemory')).maxmemory, String(64 << 20));
    const subscriber = client.duplicate();
    await subscriber.connect();
    const received = new Promise((resolve) => subscriber.subscribe('news', resolve).then(() => client.publish('news', 'hello')));
    assert.equal(await received, 'hello');
    await subscriber.unsubscribe('news');
    await subscriber.close();
    await client.close();
}
