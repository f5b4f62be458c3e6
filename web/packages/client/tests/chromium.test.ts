/** In a real Chromium: every process of the browser is killed in the middle of typing, and opened again. Defends P1 (kept): what the receipt
 * called `local` is there. Skipped, and said so, where there is no Chromium. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const CHROMIUM = process.env.HOLDFAST_CHROMIUM ?? "chromium";
const SOURCE = fileURLToPath(new URL("../src/", import.meta.url));
const KILLED_AFTER = 150;

/** Runs in the page: says what is there, then types, and says of each letter that it is on the disk. */
const PAGE = `
import { open } from "${SOURCE}index.ts";
const say = (what) => fetch("/said", { method: "POST", body: JSON.stringify(what) });
const schema = { collections: { pages: { contract: 1, fields: { notes: { kind: "text", default: "" } } } } };
const client = await open({ server: "http://127.0.0.1:9", schema });
const found = client.list("pages")[0];
await say({ found: found ? found.fields.notes : null, waiting: client.status().waiting, phrase: client.status().phrase });
const id = found ? found.id : client.create("pages", { notes: "" });
const text = client.text("pages", id, "notes");
for (let i = text.value.length; ; i++) {
  text.splice(i, 0, String.fromCharCode(97 + (i % 26)));
  while (client.receipt("pages", id) === "memory") await new Promise((resolve) => { const stop = client.subscribe(() => { stop(); resolve(); }); });
  void say({ local: i + 1 });
  await new Promise((resolve) => setTimeout(resolve, 1));
}
`;

function hasChromium(): boolean {
  try {
    execFileSync(CHROMIUM, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    console.info("There is no Chromium here (HOLDFAST_CHROMIUM names one): what happens in a browser that is killed was not tested.");
    return false;
  }
}

interface Said {
  readonly found?: string | null;
  readonly waiting?: number;
  readonly local?: number;
}

describe.skipIf(!hasChromium())("a browser that is killed", () => {
  const profile = mkdtempSync(join(tmpdir(), "holdfast-chromium-"));
  let server: Server;
  let browser: ChildProcess | undefined;
  let said: (what: Said) => void = () => undefined;

  beforeAll(async () => {
    const { outputFiles } = await build({ stdin: { contents: PAGE, resolveDir: SOURCE, loader: "js" }, bundle: true, format: "esm", target: "es2022", write: false });
    server = createServer((request, response) => {
      if (request.method === "POST") {
        let body = "";
        request.on("data", (part) => (body += part));
        request.on("end", () => {
          response.end();
          said(JSON.parse(body));
        });
        return;
      }
      response.setHeader("content-type", request.url === "/page.js" ? "text/javascript" : "text/html");
      response.end(request.url === "/page.js" ? outputFiles[0]!.contents : '<!doctype html><script type="module" src="/page.js"></script>');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });

  afterAll(() => {
    kill();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  /** All of its processes: it was started as a group of its own. */
  function kill(): void {
    if (browser?.pid) process.kill(-browser.pid, "SIGKILL");
    browser = undefined;
  }

  /** Opens the page and hears what it says until `until`; then kills the browser. */
  async function opened(until: (what: Said) => boolean): Promise<Said[]> {
    const all: Said[] = [];
    const ended = new Promise<void>((resolve) => {
      said = (what) => {
        all.push(what);
        if (until(what)) resolve();
      };
    });
    const { port } = server.address() as AddressInfo;
    browser = spawn(CHROMIUM, ["--headless=new", "--no-sandbox", "--disable-gpu", `--user-data-dir=${profile}`, `http://localhost:${port}/`], { stdio: "ignore", detached: true });
    const gone = new Promise((resolve) => browser!.on("exit", resolve));
    await ended;
    kill();
    await gone;
    return all;
  }

  test("three times in a row, nothing that was on the disk is lost", async () => {
    let least = 0;
    for (let round = 0; round < 3; round++) {
      const all = await opened((what) => (what.local ?? 0) >= least + KILLED_AFTER);
      const { found, waiting } = all.find((what) => what.found !== undefined)!;
      expect((found ?? "").length).toBeGreaterThanOrEqual(least);
      expect(found ?? "").toBe(Array.from({ length: (found ?? "").length }, (_, i) => String.fromCharCode(97 + (i % 26))).join(""));
      if (round) expect(waiting).toBeGreaterThan(0);
      least = Math.max(...all.map((what) => what.local ?? 0));
    }
    const [first] = await opened((what) => what.found !== undefined);
    expect(first!.found!.length).toBeGreaterThanOrEqual(least);
  }, 120_000);
});
