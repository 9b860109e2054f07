// @nats-io/transport-node over TLS: a round trip with INFO first, and one with the handshake first.
//
// Usage: tls.mjs URL AUTHORITY CERTIFICATE KEY [first]. The last line of a good run is `done`.

import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-node";

const [url, caFile, certFile, keyFile, first] = process.argv.slice(2);
const connection = await connect({
  servers: url.replace("127.0.0.1", "localhost"),
  tls: { caFile, certFile, keyFile, handshakeFirst: first === "first" },
  reconnect: false,
});
const subscription = connection.subscribe("tls.*");
const messages = subscription[Symbol.asyncIterator]();
for (const size of [0, 100, 100_000, 1_000_000]) {
  const body = Uint8Array.from({ length: size }, (_, at) => at % 251);
  connection.publish("tls.body", body);
  const { value } = await messages.next();
  assert.ok(Buffer.from(value.data).equals(Buffer.from(body)), `${size}`);
}
await connection.drain();
console.log("done");
