// Loads CommonJS packages from /node_modules, as they are on npm, without a bundler.

const loaded = new Map();

function text(path) {
  const request = new XMLHttpRequest();
  // Waiting is fine here: nothing else goes on.
  request.open("GET", path, false);
  request.send();
  if (request.status !== 200) throw new Error(`${path}: ${request.status}`);
  return request.responseText;
}

/** The file of a package or of a relative path. */
function resolve(name, from) {
  if (name.startsWith(".")) {
    const path = new URL(name, new URL(from, location.origin)).pathname;
    return path.endsWith(".js") ? path : `${path}.js`;
  }
  const folder = `/node_modules/${name}`;
  const { exports, main } = JSON.parse(text(`${folder}/package.json`));
  return new URL(exports?.["."] ?? main, new URL(`${folder}/`, location.origin)).pathname;
}

/** The exports of a package. */
export function load(name, from = "/") {
  const path = resolve(name, from);
  const known = loaded.get(path);
  if (known) return known.exports;
  const module = { exports: {} };
  loaded.set(path, module);
  const run = new Function("module", "exports", "require", `${text(path)}\n//# sourceURL=${path}`);
  run(module, module.exports, (inner) => load(inner, path));
  return module.exports;
}
