<?php
// PHP's memcached, which is libmemcached, in its text protocol.
$client = new Memcached();
$client->addServer('127.0.0.1', (int) $argv[1]);
$client->flush();

function expect(bool $so): void
{
    global $client;
    if (!$so) {
        throw new Exception('not so: ' . $client->getResultMessage());
    }
}

expect($client->set('a', ['x' => 1], 60) && $client->get('a') === ['x' => 1]);
expect($client->get('none') === false && $client->getResultCode() === Memcached::RES_NOTFOUND);
expect(!$client->add('a', 1) && $client->getResultCode() === Memcached::RES_NOTSTORED && $client->add('n', 5));
expect($client->increment('n', 3) === 8 && $client->decrement('n') === 7 && $client->replace('n', 1));
expect($client->setMulti(['b' => 1, 'c' => 'two'], 60) && $client->getMulti(['b', 'c', 'none']) === ['b' => 1, 'c' => 'two']);
['value' => $value, 'cas' => $cas] = $client->get('c', null, Memcached::GET_EXTENDED);
expect($value === 'two' && $client->cas($cas, 'c', 'three') && !$client->cas($cas, 'c', 'four'));
expect($client->getResultCode() === Memcached::RES_DATA_EXISTS);
$client->setOption(Memcached::OPT_COMPRESSION, false);
expect($client->set('s', 'b') && $client->append('s', 'c') && $client->prepend('s', 'a') && $client->get('s') === 'abc');
expect($client->touch('s', 100) && $client->delete('s') && !$client->delete('s'));
$large = str_repeat('x', 1 << 20);
expect($client->set('large', $large) && $client->get('large') === $large);
expect(array_values($client->getStats())[0]['curr_items'] === 5);
expect(count($client->getVersion()) === 1);
