/**
 * The size gate, as a test of `npm run check`: each entry point bundled and minified by esbuild and compressed by gzip. *At once* is what a
 * page must have to show and edit what is kept; *in all* adds every part that is loaded behind it: the one that connects, always and
 * right after, and those for rare cases. Prints a line for each; exits with 1 over budget.
 */
import { build } from "esbuild";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
const BUDGETS = [
  { entry: "packages/client/src/index.ts", atOnce: 12_000, everyday: 20_500, inAll: 26_500 },
];

/** What the entry always loads sooner or later, as one file. */
const ENGINE = "packages/client/src/net/engine.ts";

/** Leaves parts that are loaded later out of the bundle. */
const later = { name: "later", setup: ({ onResolve }) => onResolve({ filter: /^\./ }, ({ kind, path }) => (kind === "dynamic-import" ? { path, external: true } : undefined)) };

async function bundled(entries, options) {
  const { outputFiles } = await build({ ...entries, bundle: true, minify: true, format: "esm", target: "es2022", outdir: FOLDER + "out", write: false, absWorkingDir: FOLDER, logLevel: "error", ...options });
  return outputFiles.reduce((sum, file) => sum + gzipSync(file.contents, { level: 9 }).length, 0);
}

let isOver = false;
for (const { entry, ...budget } of BUDGETS) {
  const both = `export * from "./${entry}"; export * as engine from "./${ENGINE}";`;
  const sizes = {
    atOnce: await bundled({ entryPoints: [entry] }, { plugins: [later] }),
    everyday: await bundled({ stdin: { contents: both, resolveDir: FOLDER } }, { plugins: [later] }),
    inAll: await bundled({ entryPoints: [entry] }, {}),
  };
  for (const [what, bytes] of Object.entries(sizes)) {
    const isTooMuch = bytes > budget[what];
    console.log(`${entry}: ${what} ${bytes} bytes of gzip, at most ${budget[what]}${isTooMuch ? ": OVER BUDGET" : ""}`);
    isOver ||= isTooMuch;
  }
}
process.exit(isOver ? 1 : 0);
