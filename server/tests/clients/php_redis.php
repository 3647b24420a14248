<?php
// phpredis, and with it what Laravel's cache and locks send.
$client = new Redis();
$client->connect('127.0.0.1', (int) $argv[1], 5);
$client->select(6);
$client->flushDb();

function expect(bool $so): void
{
    if (!$so) {
        throw new Exception('not so');
    }
}

expect($client->set('a', '1', ['nx', 'ex' => 10]) && !$client->set('a', '2', ['nx', 'ex' => 10]));
expect($client->get('a') === '1' && $client->get('none') === false);
expect($client->mset(['b' => 2, 'c' => 3]) && $client->mget(['b', 'none', 'c']) === ['2', false, '3']);
expect(!$client->msetnx(['b' => 1, 'd' => 2]) && $client->exists(['a', 'b', 'none']) === 2);
expect([$client->incr('n'), $client->incrBy('n', 5), $client->decrBy('n', 2)] === [1, 6, 4]);
expect($client->incrByFloat('n', 0.5) === 4.5);
expect([$client->append('s', 'hello'), $client->strlen('s'), $client->getRange('s', 1, -2)] === [5, 5, 'ell']);
expect($client->setRange('s', 1, 'a') === 5 && $client->getSet('s', 'x') === 'hallo');
expect($client->expire('b', 100) && $client->ttl('b') === 100 && $client->persist('b') && $client->ttl('b') === -1);
expect($client->rename('b', 'bb') && $client->type('bb') === Redis::REDIS_STRING && $client->unlink('bb') === 1);
expect($client->multi()->set('m', 1)->incr('m')->get('m')->exec() === [true, 2, '2']);
expect($client->pipeline()->set('m', 1)->incr('m')->get('m')->exec() === [true, 2, '2']);
$client->watch('m');
$other = new Redis();
$other->connect('127.0.0.1', (int) $argv[1], 5);
$other->select(6);
$other->set('m', 9);
expect($client->multi()->get('m')->exec() === false);
$client->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
[$iterator, $found] = [null, []];
while ($keys = $client->scan($iterator, '*', 2)) {
    array_push($found, ...$keys);
}
sort($found);
expect($found === ['a', 'c', 'm', 'n', 's'] && $client->dbSize() === 5);
expect($client->info()['role'] === 'master' && $client->config('GET', 'maxclients') === ['maxclients' => '10000']);
expect($client->rawCommand('lpush', 'l', '1') === false && str_contains($client->getLastError(), 'unknown command'));
$client->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
expect($client->set('o', ['k' => [1, 2]]) && $client->get('o') === ['k' => [1, 2]]);
$client->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_NONE);
$client->setOption(Redis::OPT_PREFIX, 'laravel_cache:');

// A cache's put, putMany and increment; the scripts of its add and of its lock, called by their names.
expect($client->setex('item', 60, serialize('value')) && unserialize($client->get('item')) === 'value');
$client->multi();
$client->setex('one', 60, '1');
$client->setex('two', 60, '2');
expect($client->exec() === [true, true] && $client->incrBy('one', 4) === 5);
$add = 'a08c9c69b7c07ae2485190873b90d128a23e502d';
expect($client->script('exists', $add) === [1]);
expect($client->evalSha($add, ['new', 'value', 60], 1) === true && $client->evalSha($add, ['new', 'x', 60], 1) === false);
expect($client->get('new') === 'value' && $client->ttl('new') > 50);
$release = '647c65a442733a1aa440f99908d249d13b4d6c4a';
expect($client->set('lock', 'owner', ['EX' => 60, 'NX']) && !$client->set('lock', 'other', ['EX' => 60, 'NX']));
expect($client->evalSha($release, ['lock', 'other'], 1) === 0 && $client->evalSha($release, ['lock', 'owner'], 1) === 1);
expect($client->eval('return 1') === false && str_contains($client->getLastError(), 'not interpreted'));
expect($client->flushDb() && $client->dbSize() === 0);
