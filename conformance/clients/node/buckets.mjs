// Key-value buckets and the Object Store with @nats-io/kv and @nats-io/obj, over two restarts of the server.
//
// Usage: buckets.mjs URL. See run.mjs for what is said to whoever started it.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { connect } from "@nats-io/transport-node";

const TIMEOUT = 20_000;
// More than two chunks of 128 KiB.
const LARGE = Uint8Array.from({ length: 300 * 1024 }, (_, at) => at % 251);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what) {
  console.log(what);
  const line = await input.next();
  assert.ok(!line.done, "our starter is gone");
}

/** A call that may meet the moment in which the server is away. */
async function insist(call) {
  const deadline = Date.now() + TIMEOUT;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

async function value(bucket, key) {
  const entry = await bucket.get(key);
  return entry?.operation === "PUT" ? entry.string() : null;
}

async function list(iterator) {
  const found = [];
  for await (const one of iterator) found.push(one);
  return found;
}

async function nextUpdate(updates, key, operation, body) {
  const { value: entry, done } = await updates.next();
  assert.ok(!done, "the watcher ended");
  assert.deepEqual([entry.key, entry.operation, entry.string()], [key, operation, body]);
}

const connection = await connect({
  servers: process.argv[2],
  maxReconnectAttempts: -1,
  reconnectTimeWait: 50,
  timeout: TIMEOUT,
});
const js = jetstream(connection, { timeout: TIMEOUT });
const manager = await jetstreamManager(connection, { timeout: TIMEOUT });

async function keys() {
  const bucket = await new Kvm(js).create("TEST", { history: 5 });
  assert.equal(await bucket.put("a", "1"), 1);
  assert.equal(await bucket.put("a", "2"), 2);
  assert.equal(await bucket.update("a", "3", 2), 3);
  await assert.rejects(bucket.update("a", "4", 2), (error) => error.code === 10071);
  assert.equal(await bucket.create("b.c", "new"), 4);
  await assert.rejects(bucket.create("b.c", "again"));
  assert.equal(await value(bucket, "a"), "3");
  assert.equal((await bucket.get("a", { revision: 2 })).string(), "2");
  const history = await list(await bucket.history({ key: "a" }));
  assert.deepEqual(history.map((entry) => entry.string()), ["1", "2", "3"]);

  const watcher = await bucket.watch({ key: "a" });
  const updates = watcher[Symbol.asyncIterator]();
  await nextUpdate(updates, "a", "PUT", "3");
  await bucket.delete("a");
  await nextUpdate(updates, "a", "DEL", "");
  assert.equal(await value(bucket, "a"), null);
  await bucket.put("a", "5");
  await nextUpdate(updates, "a", "PUT", "5");
  await bucket.purge("a");
  await nextUpdate(updates, "a", "PURGE", "");
  watcher.stop();
  const left = await list(await bucket.history({ key: "a" }));
  assert.deepEqual(left.map((entry) => entry.operation), ["PURGE"]);
  assert.deepEqual(await list(await bucket.keys()), ["b.c"]);
  await bucket.create("a", "6");
  assert.deepEqual((await list(await bucket.keys())).sort(), ["a", "b.c"]);
  assert.equal((await bucket.status()).values, 3);
}

/** Buckets whose keys have lifetimes; set up as the client does it for servers of API level 1. */
async function lifetimes() {
  const bucket = await new Kvm(js).create("SHORT", { history: 1, ttl: 1_000, markerTTL: 3_600_000 });
  const watcher = await bucket.watch();
  const updates = watcher[Symbol.asyncIterator]();
  await bucket.put("aging", "x");
  await nextUpdate(updates, "aging", "PUT", "x");
  await nextUpdate(updates, "aging", "PURGE", "");
  watcher.stop();
  await js.publish("$KV.SHORT.never", "x", { ttl: "never" });
  await js.publish("$KV.SHORT.short", "x", { ttl: "1s" });
  await insist(async () => assert.equal(await value(bucket, "short"), null));
  assert.equal(await value(bucket, "never"), "x");
}

async function objects() {
  const store = await new Objm(js).create("OBJECTS");
  const info = await store.putBlob({ name: "large" }, LARGE);
  assert.deepEqual([info.size, info.chunks], [LARGE.length, 3]);
  await store.putBlob({ name: "small" }, new TextEncoder().encode("first"));
  await store.putBlob({ name: "small" }, new TextEncoder().encode("second"));
  assert.equal(new TextDecoder().decode(await store.getBlob("small")), "second");
  assert.deepEqual(await store.getBlob("large"), LARGE);
  // Three chunks and one, and what is said about each object.
  assert.equal((await manager.streams.info("OBJ_OBJECTS")).state.messages, 6);
  await store.putBlob({ name: "other" }, new TextEncoder().encode("x"));
  await store.delete("other");
  assert.equal(await store.get("other"), null);
  const names = (await store.list()).map((entry) => entry.name);
  assert.deepEqual(names.sort(), ["large", "small"]);
}

await keys();
await lifetimes();
await objects();
// What leaves in the moment in which the server is away is lost and must be sent again.
const brief = jetstream(connection, { timeout: 1_000 });
for (const how of ["restart", "kill"]) {
  await ask(how);
  const bucket = await insist(() => new Kvm(brief).open("TEST"));
  assert.equal(await insist(() => value(bucket, "a")), "6");
  assert.deepEqual((await list(await bucket.keys())).sort(), ["a", "b.c"]);
  const store = await insist(() => new Objm(brief).open("OBJECTS"));
  assert.deepEqual(await store.getBlob("large"), LARGE);
  assert.equal(new TextDecoder().decode(await store.getBlob("small")), "second");
}
console.log("done");
process.exit(0);
