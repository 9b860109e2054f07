// The ORDERS story with @nats-io/jetstream: add a stream, publish, pull and push with acknowledgements, over two restarts of the
// server.
//
// Usage: run.mjs URL. When the script prints `restart` or `kill`, whoever started it stops the server that way, starts it again on
// the same port and directory, and writes a line to our input. The last line of a good run is `done`.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { connect, createInbox, nanos } from "@nats-io/transport-node";

const TIMEOUT = 20_000;
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what) {
  console.log(what);
  const line = await input.next();
  assert.ok(!line.done, "our starter is gone");
}

/** A call that may meet the moment in which the server is away: what left then is lost and must be sent again. */
async function insist(call) {
  const deadline = Date.now() + TIMEOUT;
  for (;;) {
    try {
      return await call({ timeout: 1_000 });
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

async function publish(js, first, last) {
  for (let number = first; number <= last; number++) {
    const ack = await js.publish("order.new", JSON.stringify({ id: `${number}` }), { timeout: TIMEOUT });
    assert.equal(ack.stream, "ORDERS");
    assert.equal(ack.seq, number);
  }
}

async function acknowledge(message, expected) {
  assert.equal(message.seq, expected);
  assert.deepEqual(message.json(), { id: `${expected}` });
  assert.ok(await message.ackAck({ timeout: TIMEOUT }));
}

/** Takes exactly these messages, in order, and waits for the server to confirm each acknowledgement. */
async function pull(consumer, first, last) {
  let expected = first;
  while (expected <= last) {
    const messages = await consumer.fetch({ max_messages: last + 1 - expected, expires: 5_000 });
    for await (const message of messages) {
      await acknowledge(message, expected);
      expected += 1;
    }
  }
  assert.equal(expected, last + 1);
}

async function push(messages, first, last) {
  for (let expected = first; expected <= last; expected++) {
    const { value, done } = await messages.next();
    assert.ok(!done, "the push consumer ended");
    await acknowledge(value, expected);
  }
}

const connection = await connect({
  servers: process.argv[2],
  maxReconnectAttempts: -1,
  reconnectTimeWait: 50,
  timeout: TIMEOUT,
});
const manager = await jetstreamManager(connection, { timeout: TIMEOUT });
const js = jetstream(connection, { timeout: TIMEOUT });

const config = {
  name: "ORDERS",
  subjects: ["order.*"],
  max_age: nanos(7 * 86_400_000),
  max_msg_size: 1024 * 1024,
};
const info = await manager.streams.add(config);
assert.equal(info.config.retention, RetentionPolicy.Limits);
assert.equal(info.config.storage, StorageType.File);
assert.equal(info.state.messages, 0);
assert.equal((await manager.streams.add(config)).created, info.created);
await assert.rejects(manager.streams.add({ name: "ORDERS", subjects: ["other.*"] }), (error) => error.code === 10058);
await assert.rejects(manager.streams.info("NOPE"), (error) => error.code === 10059);

await publish(js, 1, 10);
for (const duplicate of [false, true]) {
  const ack = await js.publish("order.new", JSON.stringify({ id: "11" }), { msgID: "eleven" });
  assert.equal(ack.seq, 11);
  assert.equal(ack.duplicate, duplicate);
}

await manager.consumers.add("ORDERS", { durable_name: "puller", ack_policy: AckPolicy.Explicit });
const puller = await js.consumers.get("ORDERS", "puller");
await pull(puller, 1, 4);
await manager.consumers.add("ORDERS", {
  durable_name: "pusher",
  deliver_subject: createInbox(),
  deliver_policy: DeliverPolicy.All,
  ack_policy: AckPolicy.Explicit,
  max_ack_pending: 5,
});
const pusher = await js.consumers.getPushConsumer("ORDERS", "pusher");
const pushed = (await pusher.consume())[Symbol.asyncIterator]();
await push(pushed, 1, 7);

await ask("restart");

const duplicate = await insist((options) =>
  js.publish("order.new", JSON.stringify({ id: "11" }), { msgID: "eleven", ...options })
);
assert.equal(duplicate.seq, 11);
assert.equal(duplicate.duplicate, true);
const { state } = await manager.streams.info("ORDERS");
assert.deepEqual([state.messages, state.first_seq, state.last_seq], [11, 1, 11]);
assert.equal((await manager.consumers.info("ORDERS", "puller")).ack_floor.stream_seq, 4);
await pull(puller, 5, 8);
await push(pushed, 8, 11);
await publish(js, 12, 20);
await push(pushed, 12, 20);

await ask("kill");

await insist(async (options) => (await jetstreamManager(connection, options)).streams.info("ORDERS"));
await publish(js, 21, 25);
assert.equal((await manager.consumers.info("ORDERS", "puller")).ack_floor.stream_seq, 8);
await pull(puller, 9, 25);
await push(pushed, 21, 25);
const end = await manager.consumers.info("ORDERS", "pusher");
assert.deepEqual([end.num_pending, end.num_ack_pending], [0, 0]);
const stored = await manager.streams.getMessage("ORDERS", { seq: 25 });
assert.deepEqual(stored.json(), { id: "25" });

assert.ok(await manager.consumers.delete("ORDERS", "puller"));
assert.ok(await manager.streams.delete("ORDERS"));
console.log("done");
process.exit(0);
