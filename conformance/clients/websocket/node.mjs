// The story in Node, over its own WebSocket.
//
// Usage: node.mjs FOLDER URL TOKEN COMPRESSED; the folder has node_modules. The last line of a good run is `done`.

import { createRequire } from "node:module";
import { isCompressed, story } from "./story.mjs";

const [folder, url, token, compressed] = process.argv.slice(2);
const core = createRequire(`${folder}/`)("@nats-io/nats-core");
// Node may do without compression where the server has it, not the other way round.
if (compressed === "false" && (await isCompressed(url))) throw new Error("compressed without need");
await story(core, url, { token });
console.log("done");
