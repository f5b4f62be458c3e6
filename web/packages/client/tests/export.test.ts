/** What is unsent can be taken elsewhere, whichever client it was made in. Defends P1 (kept) and P3 (never dropped). */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { open, type Client } from "../src/client.js";
import { MemoryStore } from "../src/device/memory.js";
import { exportUnsent, importUnsent, type Exported } from "../src/export.js";
import { collectionOf, PROJECT } from "./vectors.js";

const schema = { collections: { pages: collectionOf("decide") } };
const device = (): Promise<Client> => open({ server: "http://127.0.0.1:9", schema, store: new MemoryStore() });

test("all of it is made again on another device, under new ids", async () => {
  const [one, two] = [await device(), await device()];
  const id = one.create("pages", { notes: "a😀", views: 1 });
  one.change("pages", id, { title: "b", tags: ["x"], notes: "a😀c" });
  one.edit("pages", id, [{ op: "add", path: "/views", by: 2 }], true);
  const exported = JSON.parse(JSON.stringify(exportUnsent(one))) as Exported;
  expect(importUnsent(two, exported)).toEqual({ made: 3, left: [] });
  expect(two.get("pages", id)?.fields).toEqual(one.get("pages", id)?.fields);
  expect(exported.records).toEqual({ [`pages/${id}`]: one.get("pages", id)?.fields });
  const ids = new Set(exported.mutations.map((made) => made.mutation_id));
  expect(two.device.unanswered().some((row) => ids.has(row.id))).toBe(false);
  await Promise.all([one.close(), two.close()]);
});

test("what does not fit is named with why, and the rest is made", async () => {
  const [one, two] = [await device(), await device()];
  const id = one.create("pages", { notes: "long text" });
  one.edit("pages", id, [{ op: "splice", path: "/notes", edits: [[9, 0, "!"]] }]);
  const { mutations } = exportUnsent(one);
  two.create("pages", { notes: "s" }, id);
  const stray = { mutation_id: "m", collection: "pages", record_id: "unknown", ops: [{ op: "set", path: "/title", value: "x" } as const] };
  const done = importUnsent(two, { holdfast_replica: 1, mutations: [mutations[1]!, stray] });
  expect(done.made).toBe(1);
  expect(done.left).toMatchObject([{ record_id: "unknown", why: "There is no such record on this device." }]);
  expect(two.get("pages", id)?.fields.notes).toBe("s!");
  expect(() => importUnsent(two, { mutations: [] } as never)).toThrow("no export");
  await Promise.all([one.close(), two.close()]);
});

test("the Python replica reads it", async () => {
  const one = await device();
  const id = one.create("pages", { title: "from the browser" });
  one.change("pages", id, { j: { a: 1 }, notes: "😀" });
  const read = `
import json, sys, msgspec
from holdfast.client.export import VERSION
from holdfast.core.ops import Op
from holdfast.core import clock
exported = json.load(sys.stdin)
assert exported["holdfast_replica"] == VERSION
for one in exported["mutations"]:
    msgspec.convert(one["ops"], list[Op])
    clock.parse(one["edited_at"])
print(len(exported["mutations"]))`;
  const said = execFileSync(process.env.HOLDFAST_PYTHON ?? `${PROJECT}.venv/bin/python`, ["-c", read], { input: JSON.stringify(exportUnsent(one)), cwd: PROJECT });
  expect(said.toString().trim()).toBe("2");
  await one.close();
});
