"""Work queues and interest retention with nats-py: publish, fetch, acknowledge, over two restarts of the server.

Usage and protocol as run.py.
"""

import asyncio
import sys

import nats
from nats.js.api import ConsumerConfig, RetentionPolicy
from nats.js.errors import BadRequestError

TIMEOUT = 20


async def ask(what: str) -> None:
    print(what, flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert line, "our starter is gone"


async def held(js, stream: str) -> tuple:
    state = (await js.stream_info(stream)).state
    return (state.messages, state.first_seq, state.last_seq)


async def becomes(js, stream: str, expected: tuple) -> None:
    """nats-server removes a moment later than it confirms; a restarted server is there a moment later."""
    for _ in range(400):
        try:
            if await held(js, stream) == expected:
                return
        except Exception:  # not back yet
            pass
        await asyncio.sleep(0.02)
    raise AssertionError((stream, await held(js, stream), expected))


async def main(url: str) -> None:
    connection = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    js = connection.jetstream(timeout=TIMEOUT)

    info = await js.add_stream(name="JOBS", subjects=["job.*"], retention=RetentionPolicy.WORK_QUEUE)
    assert info.config.retention == RetentionPolicy.WORK_QUEUE, info
    worker = await js.pull_subscribe("job.*", durable="worker", stream="JOBS")
    try:
        await js.add_consumer("JOBS", ConsumerConfig(durable_name="other", ack_policy="explicit"))
        raise AssertionError("a second consumer of everything must be refused")
    except BadRequestError as error:
        assert error.err_code == 10099, error
    for number in range(10):
        await js.publish(f"job.{number}", b"work")
    jobs = await worker.fetch(5, timeout=TIMEOUT)
    for job in jobs[:3]:
        await job.ack_sync(timeout=TIMEOUT)
    await jobs[3].term()
    await jobs[4].nak(delay=3600)
    await becomes(js, "JOBS", (6, 5, 10))

    await js.add_stream(name="NEWS", subjects=["news.*"], retention=RetentionPolicy.INTEREST)
    assert (await js.publish("news.a", b"nobody")).seq == 1
    first = await js.pull_subscribe("news.*", durable="first", stream="NEWS")
    second = await js.pull_subscribe("news.b", durable="second", stream="NEWS")
    for subject in ("news.a", "news.b", "news.b"):
        await js.publish(subject, b"hear")
    for message in await first.fetch(3, timeout=TIMEOUT):
        await message.ack_sync(timeout=TIMEOUT)
    await becomes(js, "NEWS", (2, 3, 4))

    for how in ("restart", "kill"):
        await ask(how)
        await becomes(js, "JOBS", (6, 5, 10))
        await becomes(js, "NEWS", (2, 3, 4))

    numbers = []
    while len(numbers) < 5:
        for job in await worker.fetch(5 - len(numbers), timeout=TIMEOUT):
            numbers.append(job.metadata.sequence.stream)
            await job.ack_sync(timeout=TIMEOUT)
    assert numbers == [6, 7, 8, 9, 10], numbers
    await becomes(js, "JOBS", (1, 5, 10))
    for message in await second.fetch(2, timeout=TIMEOUT):
        await message.ack_sync(timeout=TIMEOUT)
    await becomes(js, "NEWS", (0, 5, 4))
    await connection.close()
    print("done", flush=True)


asyncio.run(main(sys.argv[1]))
