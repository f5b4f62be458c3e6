/** What a device keeps is there when it is opened again: IndexedDB and memory by one suite. fake-indexeddb stands for the browser's logic,
 * not for its disk. Defends P1 (kept). */
import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Row } from "../src/core/facts.js";
import { IndexedStore } from "../src/device/indexed.js";
import { MemoryStore } from "../src/device/memory.js";
import type { Kept, Meta, Put, Store } from "../src/device/tables.js";
import { Writer } from "../src/device/writer.js";

const meta = (more: Partial<Meta> = {}): Meta => ({ deviceId: "d", formerIds: [], server: "", cursor: null, head: 0, backedUpSeq: 0, contracts: {}, wanted: [], inbox: [], ...more });
const row = (id: string, last = 1): Row => ({ collection: "pages", id, fields: { n: last }, deleted: false, contract: 1, rev: last, last, position: `${last}.00000000`, stamp: BigInt(last) << 16n });
const kept = (seq: number): Kept => ({ change: { seq } as Kept["change"], undo: [], before: { row: null, stamped: {} }, at: seq });

beforeEach(() => {
  globalThis.indexedDB = new IDBFactory();
});

const memory = new Map<string, MemoryStore["tables"]>();
const stores: [string, (name: string) => Store][] = [
  ["IndexedDB", (name) => new IndexedStore(name)],
  ["memory", (name) => new MemoryStore(memory.get(name) ?? memory.set(name, {}).get(name))],
];

describe.each(stores)("%s", (_, make) => {
  const name = (): string => expect.getState().currentTestName!;

  test("everything that was written is there again, in its tables", async () => {
    const store = make(name());
    expect(await store.open()).toMatchObject({ meta: undefined, outbox: [] });
    await store.write([["meta", "meta", meta({ cursor: "3.aaaaaaaa" })], ["records", "pages/a", row("a")], ["lines", "pages/a", { id: "m", deviceId: "d", seq: 3 }], ["works", "pages/a", { since: [] }]]);
    await store.write([["outbox", "m1", { id: "m1", stamp: 7n } as never], ["outbox", "m2", { id: "m2", stamp: 8n } as never]]);
    await store.write([["outbox", "m1", undefined]], true);
    store.close();
    const held = await make(name()).open();
    expect(held.meta).toEqual(meta({ cursor: "3.aaaaaaaa" }));
    expect(held.records).toEqual(new Map([["pages/a", row("a")]]));
    expect(held.outbox).toEqual([{ id: "m2", stamp: 8n }]);
    expect(held.lines.get("pages/a")).toEqual({ id: "m", deviceId: "d", seq: 3 });
    expect(held.works.get("pages/a")).toEqual({ since: [] });
  });

  test("the later write of a record wins, also after tidying up, and what was dropped stays away", async () => {
    const store = make(name());
    await store.open();
    const records = new Map<string, Row>();
    for (let i = 1; i <= 900; i++) {
      const key = `pages/${i % 50}`;
      const isGone = i % 7 === 0;
      isGone ? records.delete(key) : records.set(key, row(`${i % 50}`, i));
      await store.write([["records", key, isGone ? undefined : row(`${i % 50}`, i)]]);
      if (i % 150 === 0) await store.compact?.(records);
    }
    store.close();
    const held = await make(name()).open();
    expect(new Map([...held.records].sort())).toEqual(new Map([...records].sort()));
  });

  test("kept entries come back rising, and up to the one that is pruned they are gone", async () => {
    const store = make(name());
    await store.open();
    const puts: Put[] = [5, 2, 9, 11].map((seq) => ["kept", seq, kept(seq)]);
    await store.write(puts);
    expect((await store.kept(2)).map((one) => one.change.seq)).toEqual([5, 9, 11]);
    await store.prune(9);
    expect((await store.kept(0)).map((one) => one.change.seq)).toEqual([11]);
  });
});

describe("IndexedDB", () => {
  test("tidying up leaves few values, however many writes there were", async () => {
    const store = new IndexedStore("tidy");
    await store.open();
    const records = new Map<string, Row>();
    for (let i = 0; i < 700; i++) {
      records.set(`pages/${i}`, row(`${i}`, i));
      await store.write([["records", `pages/${i}`, row(`${i}`, i)]]);
    }
    await store.compact(records);
    const database = await new Promise<IDBDatabase>((resolve) => (indexedDB.open("tidy").onsuccess = (event) => resolve((event.target as IDBOpenDBRequest).result)));
    const count = await new Promise((resolve) => (database.transaction("records").objectStore("records").count().onsuccess = (event) => resolve((event.target as IDBRequest).result)));
    expect(count).toBe(1);
  });

  test("a transaction that is aborted after its requests succeeded was not kept, and says so", async () => {
    const store = new IndexedStore("abort");
    await store.open();
    const commit = vi.spyOn(IDBTransaction.prototype, "commit").mockImplementationOnce(function (this: IDBTransaction) {
      this.abort();
    });
    await expect(store.write([["lines", "pages/a", { id: "m", deviceId: "d", seq: 1 }]])).rejects.toBeTruthy();
    commit.mockRestore();
    await store.write([["lines", "pages/b", { id: "m", deviceId: "d", seq: 1 }]]);
    expect([...(await store.open()).lines.keys()]).toEqual(["pages/b"]);
  });

  test("a handle that the browser closed is replaced by the next write", async () => {
    const store = new IndexedStore("dead");
    await store.open();
    const handle = (store as unknown as { database: IDBDatabase }).database;
    handle.close();
    await expect(store.write([["lines", "pages/a", undefined]])).rejects.toBeTruthy();
    await store.write([["lines", "pages/a", { id: "m", deviceId: "d", seq: 1 }]]);
    expect((await new IndexedStore("dead").open()).lines.size).toBe(1);
  });

  test("another version of the program gets the database, and this one says that it is outdated", async () => {
    const outdated = vi.fn();
    const store = new IndexedStore("old", outdated);
    await store.open();
    await new Promise((resolve, reject) => {
      const request = indexedDB.open("old", 2);
      request.onsuccess = resolve;
      request.onblocked = request.onerror = reject;
    });
    expect(outdated).toHaveBeenCalledOnce();
  });

  test("a device that the browser has evicted is told from a new one", async () => {
    const items = new Map<string, string>();
    vi.stubGlobal("localStorage", { getItem: (key: string) => items.get(key) ?? null, setItem: (key: string, value: string) => items.set(key, value) });
    const store = new IndexedStore("evicted");
    expect((await store.open()).isEvicted).toBe(false);
    await store.write([["meta", "meta", meta()]]);
    store.close();
    expect((await new IndexedStore("evicted").open()).isEvicted).toBe(false);
    globalThis.indexedDB = new IDBFactory();
    expect((await new IndexedStore("evicted").open()).isEvicted).toBe(true);
    vi.unstubAllGlobals();
  });
});

describe("a disk that fails", () => {
  /** Fails while told to; counts what each transaction held. */
  class Failing extends MemoryStore {
    isFull = false;
    written: Put[][] = [];
    override async write(puts: readonly Put[]): Promise<void> {
      if (this.isFull) throw new DOMException("The disk is full.", "QuotaExceededError");
      this.written.push([...puts]);
      await super.write(puts);
    }
  }

  test("what could not be written is written with what comes after it, once, as one", async () => {
    const store = new Failing();
    const writer = new Writer(store, () => undefined);
    store.isFull = true;
    expect(await writer.write([["lines", "a", { id: "1", deviceId: "d", seq: 1 }]])).toBe(false);
    expect(await writer.write([["lines", "b", { id: "2", deviceId: "d", seq: 2 }], ["lines", "a", { id: "3", deviceId: "d", seq: 3 }]])).toBe(false);
    expect(writer.has("lines", "a")).toBe(true);
    expect((writer.failure as Error).name).toBe("QuotaExceededError");
    store.isFull = false;
    expect(await writer.write([["lines", "c", { id: "4", deviceId: "d", seq: 4 }]])).toBe(true);
    expect(store.written).toHaveLength(1);
    expect([...(await store.open()).lines].map(([key, line]) => [key, line.id])).toEqual([["b", "2"], ["a", "3"], ["c", "4"]]);
    expect([writer.failure, writer.has("lines", "a")]).toEqual([undefined, false]);
  });

  test("a write that fails late never puts back what a later one has replaced", async () => {
    const store = new Failing();
    const writer = new Writer(store, () => undefined);
    let fail!: (error: Error) => void;
    vi.spyOn(store, "write").mockImplementationOnce(() => new Promise((_, reject) => (fail = reject)));
    const first = writer.write([["lines", "a", { id: "old", deviceId: "d", seq: 1 }]]);
    const second = writer.write([["lines", "a", { id: "new", deviceId: "d", seq: 2 }]]);
    await second;
    fail(new Error("late"));
    await first;
    await writer.write([]);
    expect((await store.open()).lines.get("a")?.id).toBe("new");
  });
});
