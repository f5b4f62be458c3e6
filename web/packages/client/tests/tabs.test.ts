/** Two tabs of one person never write one line of edits beside each other. Defends P2 (once). */
import "fake-indexeddb/auto";
import { afterEach, expect, test, vi } from "vitest";
import { open } from "../src/client.js";
import { collectionOf } from "./vectors.js";

const schema = { collections: { pages: collectionOf("decide") } };
const CLOSED = "http://127.0.0.1:9";

/** Locks as a browser has them, as far as one holder goes. */
function locks(): LockManager {
  const held = new Set<string>();
  return {
    async request(name: string, _: LockOptions, take: (lock: Lock | null) => unknown) {
      if (held.has(name)) return take(null);
      held.add(name);
      try {
        return await take({ name, mode: "exclusive" });
      } finally {
        held.delete(name);
      }
    },
  } as never;
}

afterEach(() => vi.unstubAllGlobals());

test("the second tab is told so, and gets the device, with its work, once the first is closed", async () => {
  vi.stubGlobal("navigator", { locks: locks() });
  const first = await open({ server: CLOSED, schema, account: "ada" });
  const id = first.create("pages", { notes: "typed" });
  await expect(open({ server: CLOSED, schema, account: "ada" })).rejects.toMatchObject({ code: "storage_locked" });
  const other = await open({ server: CLOSED, schema, account: "grace" });
  expect(other.list("pages")).toEqual([]);
  await first.close();
  const second = await open({ server: CLOSED, schema, account: "ada" });
  expect(second.get("pages", id)?.fields.notes).toBe("typed");
  expect(second.receipt("pages", id)).toBe("local");
  await Promise.all([second.close(), other.close()]);
});

test("a browser that keeps nothing is worked in all the same, and says so", async () => {
  vi.stubGlobal("indexedDB", undefined);
  const one = await open({ server: CLOSED, schema });
  const id = one.create("pages", { title: "in memory" });
  expect(one.get("pages", id)?.fields.title).toBe("in memory");
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(one.status()).toMatchObject({ name: "error", phrase: "Not saved on this device either – keep this tab open", isOnDisk: false });
  expect(one.receipt("pages", id)).toBe("memory");
  await one.close();
});

test("what cannot be kept is told to whoever makes the edit, and nothing is done", async () => {
  const one = await open({ server: CLOSED, schema, account: "strict" });
  const id = one.create("pages", { notes: "a" });
  const before = one.get("pages", id);
  const refused = (what: () => void, code: string): void => expect(what).toThrow(expect.objectContaining({ code }));
  refused(() => one.change("pages", id, { title: "\0" }), "invalid");
  refused(() => one.change("pages", id, { j: { deep: NaN } }), "invalid");
  refused(() => one.change("pages", id, { nothing: 1 }), "invalid");
  refused(() => one.change("pages", id, { title: null }), "invalid");
  refused(() => one.change("pages", "unknown", { title: "a" }), "not_found");
  refused(() => one.edit("pages", id, [{ op: "splice", path: "/notes", edits: [[5, 0, "x"]] }]), "malformed");
  refused(() => one.edit("pages", id, [{ op: "splice", path: "/notes", edits: [[1, 0, "x".repeat(200_000)]] }]), "limit");
  refused(() => one.edit("pages", id, [{ op: "delete" }, { op: "undelete" }]), "invalid");
  refused(() => one.list("unknown"), "not_found");
  expect(one.get("pages", id)).toEqual(before);
  await one.close();
});
