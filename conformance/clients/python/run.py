"""The ORDERS story with nats-py: add a stream, publish, pull and push with acknowledgements, over two restarts of the server.

Usage: run.py URL [COMPRESSION]. When the script prints `restart` or `kill`, whoever started it stops the server that way, starts it again on
the same port and directory, and writes a line to our input. The last line of a good run is `done`.
"""

import asyncio
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StoreCompression
from nats.js.errors import BadRequestError, NotFoundError

TIMEOUT = 20


async def ask(what: str) -> None:
    print(what, flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert line, "our starter is gone"


async def publish(js, first: int, last: int) -> None:
    for number in range(first, last + 1):
        ack = await js.publish("order.new", f'{{"id": "{number}"}}'.encode(), timeout=TIMEOUT)
        assert (ack.stream, ack.seq) == ("ORDERS", number), ack


async def pull(subscription, first: int, last: int) -> None:
    """Takes exactly these messages, in order, and waits for the server to confirm each acknowledgement."""
    expected = first
    while expected <= last:
        for message in await subscription.fetch(last + 1 - expected, timeout=TIMEOUT):
            assert message.metadata.sequence.stream == expected, (message.metadata, expected)
            assert message.data == f'{{"id": "{expected}"}}'.encode(), message.data
            await message.ack_sync(timeout=TIMEOUT)
            expected += 1


async def push(subscription, first: int, last: int) -> None:
    for expected in range(first, last + 1):
        message = await subscription.next_msg(timeout=TIMEOUT)
        assert message.metadata.sequence.stream == expected, (message.metadata, expected)
        await message.ack_sync(timeout=TIMEOUT)


async def main(url: str, compression: StoreCompression = StoreCompression.NONE) -> None:
    connection = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    js = connection.jetstream(timeout=TIMEOUT)

    orders = {"max_age": 7 * 86400, "max_msg_size": 1024 * 1024, "compression": compression}
    info = await js.add_stream(name="ORDERS", subjects=["order.*"], **orders)
    assert (info.config.compression or StoreCompression.NONE) == compression, info
    assert info.config.retention == RetentionPolicy.LIMITS, info
    assert info.config.storage == StorageType.FILE, info
    assert info.state.messages == 0, info
    same = await js.add_stream(name="ORDERS", subjects=["order.*"], **orders)
    assert same.created == info.created, (same, info)
    try:
        await js.add_stream(name="ORDERS", subjects=["other.*"])
        raise AssertionError("another configuration must be refused")
    except BadRequestError as error:
        assert error.err_code == 10058, error
    try:
        await js.stream_info("NOPE")
        raise AssertionError("a missing stream must be an error")
    except NotFoundError as error:
        assert error.err_code == 10059, error

    await publish(js, 1, 10)
    again = [await js.publish("order.new", b'{"id": "11"}', headers={"Nats-Msg-Id": "eleven"}) for _ in range(2)]
    assert [(ack.seq, bool(ack.duplicate)) for ack in again] == [(11, False), (11, True)], again

    puller = await js.pull_subscribe("order.new", durable="puller", stream="ORDERS")
    await pull(puller, 1, 4)
    explicit = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=5)
    pusher = await js.subscribe("order.*", durable="pusher", stream="ORDERS", manual_ack=True, config=explicit)
    await push(pusher, 1, 7)

    await ask("restart")

    duplicate = await js.publish("order.new", b'{"id": "11"}', headers={"Nats-Msg-Id": "eleven"}, timeout=TIMEOUT)
    assert (duplicate.seq, bool(duplicate.duplicate)) == (11, True), duplicate
    state = (await js.stream_info("ORDERS")).state
    assert (state.messages, state.first_seq, state.last_seq) == (11, 1, 11), state
    assert (await js.consumer_info("ORDERS", "puller")).ack_floor.stream_seq == 4
    await pull(puller, 5, 8)
    await push(pusher, 8, 11)
    await publish(js, 12, 20)
    await push(pusher, 12, 20)

    await ask("kill")

    await publish(js, 21, 25)
    info = await js.consumer_info("ORDERS", "puller")
    assert info.ack_floor.stream_seq == 8, info
    await pull(puller, 9, 25)
    await push(pusher, 21, 25)
    info = await js.consumer_info("ORDERS", "pusher")
    assert (info.num_pending, info.num_ack_pending) == (0, 0), info
    message = await js.get_msg("ORDERS", seq=25)
    assert message.data == b'{"id": "25"}', message

    assert await js.delete_consumer("ORDERS", "puller")
    assert await js.delete_stream("ORDERS")
    await connection.close()
    print("done", flush=True)


asyncio.run(main(sys.argv[1], *map(StoreCompression, sys.argv[2:])))
