"""valkey-glide: both protocols, options of SET, batches, a script that is known, publish and subscribe."""

import asyncio
import sys

import glide
from glide import Batch, ConditionalChange, ExpirySet, ExpiryType, GlideClient, NodeAddress, ProtocolVersion

port = int(sys.argv[1])


def configuration(**more):
    return glide.GlideClientConfiguration([NodeAddress("127.0.0.1", port)], request_timeout=5000, **more)


async def speak(protocol):
    client = await GlideClient.create(configuration(protocol=protocol, client_name="script", database_id=3))
    await client.flushdb()
    assert await client.set("a", "1", expiry=ExpirySet(ExpiryType.SEC, 10)) == "OK"
    assert await client.set("a", "2", conditional_set=ConditionalChange.ONLY_IF_DOES_NOT_EXIST) is None
    assert await client.set("a", "2", conditional_set=glide.OnlyIfEqual("1")) == "OK"
    assert await client.mset({"b": "3", "c": "4"}) == "OK"
    assert await client.mget(["a", "b", "none"]) == [b"2", b"3", None]
    assert await client.incrby("b", 4) == 7 and await client.incrbyfloat("c", 0.5) == 4.5
    assert await client.expire("b", 10, glide.ExpireOptions.HasNoExpiry) and await client.ttl("b") == 10
    assert await client.getex("b", glide.ExpiryGetEx(glide.ExpiryTypeGetEx.PERSIST, None)) == b"7"
    assert await client.ttl("b") == -1 and await client.getdel("c") == b"4.5"
    cursor, keys = await client.scan("0", match="*", count=100)
    assert cursor == b"0" and sorted(keys) == [b"a", b"b"] and await client.dbsize() == 2
    assert (await client.lcs_idx("a", "a"))[b"len"] == 1
    assert (await client.config_get(["maxclients"])) == {b"maxclients": b"10000"}
    assert await client.client_getname() == b"script" and b"role:master" in await client.info()
    for atomic in (True, False):
        batch = Batch(is_atomic=atomic)
        batch.set("t", "1")
        batch.incr("t")
        batch.get("t")
        assert await client.exec(batch, raise_on_error=True) == ["OK", 2, b"2"]
    try:
        await client.incr("none two") and await client.lpush("a", ["1"])
        raise AssertionError("lists are not there")
    except glide.RequestError as error:
        assert "unknown command" in str(error), error
    await client.close()


async def main():
    for protocol in (ProtocolVersion.RESP2, ProtocolVersion.RESP3):
        await speak(protocol)
    modes = glide.GlideClientConfiguration.PubSubChannelModes
    subscriptions = glide.GlideClientConfiguration.PubSubSubscriptions(
        {modes.Exact: {"news"}, modes.Pattern: {"old*"}}, None, None
    )
    subscriber = await GlideClient.create(configuration(pubsub_subscriptions=subscriptions))
    publisher = await GlideClient.create(configuration())
    assert await publisher.publish("one", "news") == 1 and await publisher.publish("two", "older") == 1
    messages = [await asyncio.wait_for(subscriber.get_pubsub_message(), 10) for _ in range(2)]
    assert [message.message for message in messages] == [b"one", b"two"], messages
    await subscriber.close()
    await publisher.close()


asyncio.run(main())
