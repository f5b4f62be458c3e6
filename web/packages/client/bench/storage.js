/**
 * How long the device's database takes in a real Chromium: `node packages/client/bench/storage.js [chromium]`, from `web/`. Opens a device with
 * 1,000 and 10,000 records of 500 bytes, and waits for edits to be on the disk. Prints one line of JSON.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const CHROMIUM = process.argv[2] ?? "chromium";
const SOURCE = fileURLToPath(new URL("../src/", import.meta.url));

/** Runs in the page. */
const PAGE = `
import { open } from "${SOURCE}index.ts";
import { IndexedStore } from "${SOURCE}device/indexed.ts";
import { uuid7 } from "${SOURCE}device/outbox.ts";

const schema = { collections: { pages: { contract: 1, fields: { title: { kind: "string", default: "" }, notes: { kind: "text", default: "" } } } } };
const server = "http://127.0.0.1:9";
const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
const at = (times, share) => times.sort((a, b) => a - b)[Math.floor(times.length * share)];

async function seeded(account, count) {
  const store = new IndexedStore("holdfast " + server + " " + account);
  await store.open();
  const meta = { deviceId: uuid7(), formerIds: [], server, cursor: "1.00000000", head: 1, backedUpSeq: 0, contracts: { pages: 1 }, wanted: [], inbox: [] };
  const text = "0123456789".repeat(46);
  for (let i = 0; i < count; i += 500) {
    const puts = Array.from({ length: 500 }, (_, j) => {
      const id = uuid7();
      return ["records", "pages/" + id, { collection: "pages", id, fields: { title: "Page " + (i + j), notes: text }, deleted: false, contract: 1, rev: 1, last: 1, position: "1.00000000", stamp: 1n }];
    });
    await store.write([["meta", "meta", meta], ...puts]);
  }
  store.close();
}

async function opened(account, count) {
  const times = [];
  for (let i = 0; i < 9; i++) {
    const start = performance.now();
    const client = await open({ server, schema, account });
    if (client.list("pages").length !== count) throw new Error("Not all records are there.");
    times.push(performance.now() - start);
    await client.close();
  }
  return { first_ms: times[0], median_ms: median(times) };
}

const results = { agent: navigator.userAgent };
for (const count of [1000, 10000]) {
  await seeded("n" + count, count);
  results["open_" + count] = await opened("n" + count, count);
}
const client = await open({ server, schema, account: "n1000" });
const id = client.list("pages")[0].id;
const text = client.text("pages", id, "notes");
const durable = [];
const shown = [];
for (let i = 0; i < 500; i++) {
  const start = performance.now();
  text.splice(0, 0, "x");
  shown.push(performance.now() - start);
  while (client.receipt("pages", id) === "memory") await new Promise((resolve) => { const stop = client.subscribe(() => { stop(); resolve(); }); });
  durable.push(performance.now() - start);
  await new Promise((resolve) => setTimeout(resolve, 2));
}
results.edit_in_view_ms = { p50: at(shown, 0.5), p95: at(shown, 0.95) };
results.edit_on_disk_ms = { p50: at(durable, 0.5), p95: at(durable, 0.95), max: at(durable, 0.999) };
await fetch("/done", { method: "POST", body: JSON.stringify(results) });
`;

const { outputFiles } = await build({ stdin: { contents: PAGE, resolveDir: SOURCE, loader: "js" }, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
const profile = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
let browser;
const done = new Promise((resolve) => {
  const server = createServer((request, response) => {
    if (request.url === "/done") {
      let body = "";
      request.on("data", (part) => (body += part));
      request.on("end", () => {
        response.end();
        resolve(JSON.parse(body));
      });
      return;
    }
    response.setHeader("content-type", request.url === "/page.js" ? "text/javascript" : "text/html");
    response.end(request.url === "/page.js" ? outputFiles[0].contents : '<!doctype html><script type="module" src="/page.js"></script>');
  }).listen(0, "127.0.0.1", () => {
    browser = spawn(CHROMIUM, ["--headless=new", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`, `http://localhost:${server.address().port}/`], { stdio: "ignore", detached: true });
  });
});
/** The browser's processes are a group of their own. */
function end(code) {
  browser.on("exit", () => {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    process.exit(code);
  });
  process.kill(-browser.pid, "SIGKILL");
}

setTimeout(() => {
  console.error("The browser did not answer within two minutes.");
  end(1);
}, 120_000);
console.log(JSON.stringify(await done));
end(0);
