// What clients over WebSocket do with a server, the same in a browser and in Node: messages in order, large ones, headers, requests,
// drains.

function check(condition, what) {
  if (!condition) throw new Error(what);
}

/** Whether connections to this URL are compressed; asked of the platform, because the client does not tell. */
export function isCompressed(url) {
  return new Promise((done, failed) => {
    const socket = new WebSocket(url);
    socket.onopen = () => {
      const compressed = socket.extensions.includes("permessage-deflate");
      socket.onclose = () => done(compressed);
      socket.close();
    };
    socket.onerror = () => failed(new Error(`no WebSocket at ${url}`));
  });
}

/** Runs the story with the client `core`; `options` go to its connections. */
export async function story(core, url, options) {
  const { headers, wsconnect } = core;
  const connect = () => wsconnect({ ...options, servers: url, reconnect: false, timeout: 20_000 });
  const one = await connect();
  const two = await connect();
  check(`${one.info.port}` === new URL(url).port, `INFO tells port ${one.info.port}`);

  // A thousand messages of growing size, in order.
  const COUNT = 1_000;
  const news = two.subscribe("news.*", { max: COUNT });
  await two.flush();
  for (let number = 0; number < COUNT; number++) {
    one.publish("news.web", `${number} ${"x".repeat(number)}`);
  }
  let expected = 0;
  for await (const message of news) {
    const text = `${expected} ${"x".repeat(expected)}`;
    check(message.string() === text, `message ${expected} is ${message.string().slice(0, 20)}`);
    expected++;
  }
  check(expected === COUNT, `${expected} of ${COUNT} messages`);

  // A service that sends back what it gets, headers included.
  const service = two.subscribe("echo", {
    callback: (error, message) => {
      if (error) throw error;
      const reply = headers();
      reply.set("X-Back", message.headers?.get("X-There") ?? "none");
      message.respond(message.data, { headers: reply });
    },
  });
  await two.flush();
  const there = headers();
  there.set("X-There", "züge");
  const large = new Uint8Array(400_000).map((_, index) => (index * index * 31) >> 3);
  const answer = await one.request("echo", large, { headers: there, timeout: 20_000 });
  check(answer.headers.get("X-Back") === "züge", `the header is ${answer.headers.get("X-Back")}`);
  check(answer.data.length === large.length, `${answer.data.length} bytes come back`);
  check(answer.data.every((byte, index) => byte === large[index]), "other bytes come back");
  const many = await Promise.all(
    Array.from({ length: 100 }, (_, number) => one.request("echo", `${number}`, { timeout: 20_000 })),
  );
  many.forEach((reply, number) => check(reply.string() === `${number}`, `answer ${number}`));

  const nobody = await one.request("nobody", "", { timeout: 20_000 }).then(() => "an answer", (error) => error);
  check(nobody.isNoResponders?.() || `${nobody}`.includes("no responders"), `nobody answers: ${nobody}`);

  // Draining delivers what is on its way, then ends.
  await service.drain();
  const rest = two.subscribe("rest");
  await two.flush();
  for (let number = 0; number < 10; number++) one.publish("rest", `${number}`);
  await one.flush();
  const drained = two.drain();
  let count = 0;
  for await (const _ of rest) count++;
  check(count === 10, `${count} of 10 messages while draining`);
  await drained;
  check(two.isClosed(), "drained and not closed");
  await one.close();
  check((await one.closed()) === undefined, "closed with an error");
}
