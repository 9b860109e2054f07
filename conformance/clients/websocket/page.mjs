// The story in a browser, with what the test server at our origin says in /plan.json: URLs, whether they let us in, and whether they
// compress.

import { load } from "./loader.mjs";
import { isCompressed, story } from "./story.mjs";

async function run() {
  const plan = await (await fetch("/plan.json")).json();
  document.cookie = `token=${plan.token}; path=/; SameSite=Strict`;
  const core = load("@nats-io/nats-core");
  for (const { url, welcome, compressed, options = {} } of plan.servers) {
    if (!welcome) {
      const refused = await isCompressed(url).then(() => false, () => true);
      if (!refused) throw new Error(`${url} lets pages of ${location.origin} in`);
      continue;
    }
    if ((await isCompressed(url)) !== compressed) throw new Error(`${url}: compressed is not ${compressed}`);
    await story(core, url, options);
  }
}

const result = document.getElementById("result");
try {
  await run();
  result.textContent = "all is well";
} catch (error) {
  result.textContent = `${error}\n${error.stack}`;
}
await fetch("/finished");
