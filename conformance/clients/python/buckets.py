"""Key-value buckets and the Object Store with nats-py, over two restarts of the server.

Usage: buckets.py URL. See run.py for what is said to whoever started it.
"""

import asyncio
import sys

import nats
from nats.js.errors import KeyDeletedError, KeyNotFoundError, KeyWrongLastSequenceError, ObjectNotFoundError

TIMEOUT = 20
# More than two chunks of 128 KiB.
LARGE = bytes(range(256)) * 1200


async def ask(what: str) -> None:
    print(what, flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert line, "our starter is gone"


async def value(bucket, key: str) -> bytes | None:
    try:
        return (await bucket.get(key)).value
    except (KeyNotFoundError, KeyDeletedError):
        return None


async def gone(bucket, key: str) -> None:
    """Waits until a key has no value any more."""
    for _ in range(TIMEOUT * 20):
        if await value(bucket, key) is None:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{key} is still there")


async def next_update(watcher, key: str, operation: str | None, body: bytes | None) -> None:
    entry = await watcher.updates(timeout=TIMEOUT)
    assert entry is not None, f"the watcher has nothing, not {key}"
    assert (entry.key, entry.operation) == (key, operation), (entry, key, operation)
    assert (entry.value or None) == body, entry


async def keys(js) -> None:
    bucket = await js.create_key_value(bucket="TEST", history=5, direct=True)
    assert await bucket.put("a", b"1") == 1
    assert await bucket.put("a", b"2") == 2
    assert await bucket.update("a", b"3", last=2) == 3
    try:
        await bucket.update("a", b"4", last=2)
        raise AssertionError("somebody else was first")
    except KeyWrongLastSequenceError:
        pass
    assert await bucket.create("b.c", b"new") == 4
    try:
        await bucket.create("b.c", b"again")
        raise AssertionError("it is there")
    except KeyWrongLastSequenceError:
        pass
    assert await value(bucket, "a") == b"3"
    assert (await bucket.get("a", revision=2)).value == b"2"
    assert [entry.value for entry in await bucket.history("a")] == [b"1", b"2", b"3"]

    watcher = await bucket.watch("a")
    await next_update(watcher, "a", None, b"3")
    assert await watcher.updates(timeout=TIMEOUT) is None, "these are all"
    await bucket.delete("a")
    await next_update(watcher, "a", "DEL", None)
    assert await value(bucket, "a") is None
    await bucket.put("a", b"5")
    await next_update(watcher, "a", None, b"5")
    await bucket.purge("a")
    await next_update(watcher, "a", "PURGE", None)
    await watcher.stop()
    assert [entry.operation for entry in await bucket.history("a")] == ["PURGE"]
    assert await bucket.keys() == ["b.c"]
    assert await bucket.create("a", b"6") > 0
    assert sorted(await bucket.keys()) == ["a", "b.c"]
    status = await bucket.status()
    assert (status.history, status.values) == (5, 3), status


async def lifetimes(js) -> None:
    bucket = await js.create_key_value(bucket="SHORT", direct=True)
    await bucket.create("short", b"x", msg_ttl=1)
    await bucket.create("long", b"x", msg_ttl=3600)
    await bucket.put("purged", b"x")
    await bucket.purge("purged", msg_ttl=1)
    await gone(bucket, "short")
    assert await bucket.keys() == ["long"]
    for _ in range(TIMEOUT * 20):
        if (await bucket.status()).values == 1:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the purged key's marker is still there")

    # A key that grew too old is told to those who watch.
    bucket = await js.create_key_value(bucket="AGING", direct=True, ttl=1, limit_marker_ttl=3600)
    watcher = await bucket.watch("aging")
    assert await watcher.updates(timeout=TIMEOUT) is None, "nothing is there"
    await bucket.put("aging", b"x")
    await next_update(watcher, "aging", None, b"x")
    entry = await watcher.updates(timeout=TIMEOUT)
    assert entry.key == "aging" and not entry.value, entry
    await watcher.stop()
    info = await js.stream_info("KV_AGING")
    message = await js.get_last_msg("KV_AGING", "$KV.AGING.aging")
    assert message.headers["Nats-Marker-Reason"] == "MaxAge", (message, info)


async def objects(js) -> None:
    store = await js.create_object_store(bucket="OBJECTS")
    info = await store.put("large", LARGE)
    assert (info.size, info.chunks) == (len(LARGE), 3), info
    await store.put("small", b"first")
    await store.put("small", b"second")
    assert (await store.get("small")).data == b"second"
    assert (await store.get("large")).data == LARGE
    state = (await js.stream_info("OBJ_OBJECTS")).state
    # Three chunks and one, and what is said about each object.
    assert state.messages == 6, state
    await store.put("other", b"x")
    await store.delete("other")
    try:
        await store.get("other")
        raise AssertionError("it was deleted")
    except ObjectNotFoundError:
        pass
    names = sorted(entry.name for entry in await store.list() if not entry.deleted)
    assert names == ["large", "small"], names


async def main(url: str) -> None:
    connection = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    js = connection.jetstream(timeout=TIMEOUT)
    await keys(js)
    await lifetimes(js)
    await objects(js)

    for how in ["restart", "kill"]:
        await ask(how)
        bucket = await js.key_value("TEST")
        assert await value(bucket, "a") == b"6"
        assert sorted(await bucket.keys()) == ["a", "b.c"]
        store = await js.object_store("OBJECTS")
        assert (await store.get("large")).data == LARGE
        assert (await store.get("small")).data == b"second"

    assert await js.delete_key_value("TEST")
    assert await js.delete_object_store("OBJECTS")
    await connection.close()
    print("done", flush=True)


asyncio.run(main(sys.argv[1]))
