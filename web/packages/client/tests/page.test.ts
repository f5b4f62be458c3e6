/** What happens to the page and to its disk, with the clock in hand. Defends P1 (kept), P5 (answered). */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { open, type Client } from "../src/client.js";
import * as concurrent from "../src/core/concurrent.js";
import { mergeBy } from "../src/core/decide.js";
import type { Change, Pending, Row } from "../src/core/facts.js";
import { cameBack } from "../src/core/follow.js";
import { show } from "../src/core/rebase.js";
import type { Schema } from "../src/core/schema.js";
import { MemoryStore } from "../src/device/memory.js";
import "../src/net/rebuilding.js";
import type { Put } from "../src/device/tables.js";

const schema: Schema = { collections: { pages: { contract: 1, fields: { title: { kind: "string", default: "" }, notes: { kind: "text", default: "" }, other: { kind: "text", default: "" } } } } };

interface Call {
  readonly url: string;
  readonly init: RequestInit;
}

/** A server of two calls: who calls, and pushes that are applied one after the other. No socket comes through. */
class Fake {
  calls: Call[] = [];
  isDown = false;
  seq = 0;
  readonly fetch = vi.fn(async (url: string, init: RequestInit) => {
    this.calls.push({ url, init });
    if (this.isDown) throw new TypeError("The network is down.");
    const say = (body: unknown): Response => new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } });
    if (url.endsWith("/v1/me")) return say({ tenant: "t", account: "ada" });
    if (url.includes("/v1/pull")) return say({ changes: [], cursor: "0.00000000", head: 0, backed_up_seq: 0, more: false });
    if (url.includes("/v1/snapshot")) return new Response('{"cursor":"0.00000000"}\n');
    if (url.includes("/v1/inbox")) return say({ items: [], cursor: null });
    const { mutations } = JSON.parse(init.body as string);
    return say({ head: 0, results: mutations.map((one: { mutation_id: string }) => ({ mutation_id: one.mutation_id, outcome: "applied", receipt: "committed", seq: ++this.seq + 100, position: `${this.seq + 100}.00000000` })) });
  });

  get pushes(): Call[] {
    return this.calls.filter((call) => call.url.endsWith("/v1/push"));
  }
}

class NoSocket {
  onclose: (() => void) | null = null;
  readyState = 3;
  constructor() {
    setTimeout(() => this.onclose?.(), 1);
  }
  close(): void {}
  send(): void {}
}

let server: Fake;
let page: EventTarget & { visibilityState: string };
let view: EventTarget;
let client: Client | undefined;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  server = new Fake();
  page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  view = new EventTarget();
  vi.stubGlobal("fetch", server.fetch);
  vi.stubGlobal("WebSocket", NoSocket);
  vi.stubGlobal("document", page);
  vi.stubGlobal("window", view);
});

afterEach(async () => {
  vi.useRealTimers();
  await client?.close();
  client = undefined;
  vi.unstubAllGlobals();
});

/** Lets time go by; parts of the program and streams, which are read in real time, come in between. */
async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await new Promise((resolve) => setImmediate(resolve));
  await vi.advanceTimersByTimeAsync(0);
}

/** A device that polls, a while after it was opened. */
async function started(store = new MemoryStore()): Promise<Client> {
  client = await open({ server: "http://s", schema, store });
  await client.connected;
  for (let i = 0; i < 500 && client.status().connection !== "polling"; i++) await pass(1);
  expect(client.status().connection).toBe("polling");
  return client;
}

describe("when it is sent", () => {
  test("500 ms after the last change, and at most 2 s after the first", async () => {
    const one = await started();
    const id = one.create("pages", { notes: "" });
    await pass(490);
    expect(server.pushes).toHaveLength(0);
    await pass(40);
    expect(server.pushes).toHaveLength(1);
    const text = one.text("pages", id, "notes");
    for (let i = 0; i < 19; i++) {
      text.splice(i, 0, "x");
      await pass(100);
    }
    expect(server.pushes).toHaveLength(1);
    await pass(150);
    expect(server.pushes).toHaveLength(2);
    expect(JSON.parse(server.pushes[1]!.init.body as string).mutations).toHaveLength(1);
  });

  test.each(["visibilitychange", "pagehide", "blur"])("at once by a keepalive call at %s", async (event) => {
    const one = await started();
    one.create("pages", { notes: "typed" });
    page.visibilityState = event === "visibilitychange" ? "hidden" : "visible";
    (event === "visibilitychange" ? page : view).dispatchEvent(new Event(event));
    expect(server.pushes).toHaveLength(0); // marked first; the call is made in the same turn of the browser
    await pass(1);
    expect(server.pushes).toHaveLength(1);
    expect(server.pushes[0]!.init.keepalive).toBe(true);
    expect(one.device.unanswered()).toEqual([]);
  });

  test("what exceeds a keepalive call stays in the outbox, and is sent as usual", async () => {
    const one = await started();
    one.create("pages", { notes: "x".repeat(61_000) });
    view.dispatchEvent(new Event("pagehide"));
    await pass(1);
    expect(server.pushes).toHaveLength(0);
    await pass(600);
    expect(server.pushes).toHaveLength(1);
  });

  test("the same rows again after a lost answer, under their ids and with their content", async () => {
    const one = await started();
    const id = one.create("pages", { title: "a" });
    await pass(400);
    server.isDown = true;
    await pass(200);
    one.change("pages", id, { title: "b" });
    server.isDown = false;
    one.retryNow();
    await pass(2_000);
    const sent = server.pushes.map((call) => JSON.parse(call.init.body as string).mutations);
    expect(sent[0]).toHaveLength(1);
    expect(sent[1][0]).toEqual(sent[0][0]);
    expect(sent.flat().at(-1).after).toBe(sent[0][0].mutation_id);
  });
});

describe("what it says of itself", () => {
  test("offline with what waits, then an error with the time of the next try, then saved", async () => {
    const one = await started();
    server.isDown = true;
    one.create("pages", { title: "a" });
    await pass(600);
    expect(one.status()).toMatchObject({ name: "offline", phrase: "Offline – saved on this device (1 change waiting)", waiting: 1 });
    await pass(60_000);
    expect(one.status().name).toBe("error");
    expect(one.status().phrase).toMatch(/^Not saved – retrying( in \d+ s)?$/);
    server.isDown = false;
    one.retryNow();
    await pass(1_000);
    expect(one.status().name).toBe("saved");
  });

  test("not on this device either, while the disk is full; it is sent at once, and written once there is room", async () => {
    class Full extends MemoryStore {
      isFull = false;
      override async write(puts: readonly Put[]): Promise<void> {
        if (this.isFull) throw new DOMException("The quota is exceeded.", "QuotaExceededError");
        await super.write(puts);
      }
    }
    const store = new Full();
    const one = await started(store);
    store.isFull = true;
    server.isDown = true;
    const id = one.create("pages", { title: "a" });
    await pass(100);
    expect(one.status()).toMatchObject({ name: "error", phrase: "Not saved on this device either – keep this tab open", isOnDisk: false });
    expect(one.receipt("pages", id)).toBe("memory");
    expect(server.pushes).toHaveLength(1);
    store.isFull = false;
    server.isDown = false;
    one.retryNow();
    await pass(6_000);
    expect(one.status()).toMatchObject({ name: "saved", isOnDisk: true });
    expect((await store.open()).outbox.map((row) => row.state)).toEqual(["acknowledged"]);
  });
});

test("typing into one text stays on the screen while typing into another one is held", () => {
  mergeBy(concurrent);
  const collection = schema.collections.pages!;
  const row: Row = { collection: "pages", id: "r", fields: { title: "", notes: "", other: "" }, deleted: false, contract: 1, rev: 1, last: 1, position: "1.00000000", stamp: 1n };
  const typed = (path: string): Pending => ({ ops: [{ op: "splice", path, edits: [[0, 0, "typed"]] }], base: 1, stamp: 2n });
  const held = { seq: 2, ops: [], device_id: "D", outcome: "held" } as unknown as Change;
  const context = cameBack({ row, since: [] }, typed("/notes"), held, "D", collection);
  const shown = show({ row, since: [], context }, [typed("/other")], { deviceId: "D", actorId: "d", now: 0 }, collection);
  expect(shown.row?.fields).toMatchObject({ notes: "", other: "typed" });
});
