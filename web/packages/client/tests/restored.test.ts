/** A server that was put back to an older backup gets today's work back from the devices. Defends P1 (kept), P2 (once), P3 (never dropped). */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Server, settled, until, type Connected } from "./server.js";

let server: Server;
beforeAll(async () => {
  server = await new Server().start();
});
afterAll(() => server.end());

const agree = (id: string, ...devices: Connected[]): Promise<void> =>
  until(async () => {
    const { fields } = await server.record("pages", id).catch(() => ({ fields: null }));
    return devices.every((one) => !one.device.lanes.size && JSON.stringify(one.get("pages", id)?.fields) === JSON.stringify(fields));
  }, () => `agreement: ${devices.map((one) => JSON.stringify([one.get("pages", id)?.fields, one.status()])).join()}`);

const away = (...devices: Connected[]): void => devices.forEach((one) => one.sync.tell("went_offline"));
const back = (...devices: Connected[]): void => devices.forEach((one) => one.sync.tell("came_online"));

test("what two devices did after the backup is there again, once, and what was typed meanwhile too", async () => {
  const [one, two] = [await server.device(), await server.device()];
  const id = one.create("pages", { notes: "shared. ", title: "before" });
  await settled(one, two);
  await until(() => !!two.get("pages", id), "the other's record");
  away(one, two);
  await server.kill();
  server.backup("monday");
  await server.start();
  back(one, two);
  await settled(one, two);

  one.text("pages", id, "notes").splice(8, 0, "One wrote this. ");
  await settled(one);
  await until(() => two.get("pages", id)!.fields.notes === one.get("pages", id)!.fields.notes, "one's text at two");
  const text = two.text("pages", id, "notes");
  text.splice(text.value.length, 0, "Two wrote that. ");
  two.change("pages", id, { views: 3 });
  const fresh = two.create("pages", { title: "made after the backup" });
  await settled(two);
  away(one, two);
  one.text("pages", id, "notes").splice(0, 0, "Offline. ");

  await server.kill();
  server.restore("monday");
  await server.start();
  expect((await server.record("pages", id)).fields.notes).toBe("shared. ");
  back(one, two);
  await agree(id, one, two);
  const { fields } = await server.record("pages", id);
  for (const part of ["Offline. ", "shared. ", "One wrote this. ", "Two wrote that. "]) expect((fields.notes as string).split(part)).toHaveLength(2);
  expect(fields.views).toBe(3);
  await agree(fresh, two);
  expect((await server.record("pages", fresh)).fields.title).toBe("made after the backup");
  await Promise.all([one.close(), two.close()]);
});

test("a server that was put back only to this device's cursor is found out too", async () => {
  const one = await server.device();
  const id = one.create("pages", { notes: "a" });
  await settled(one);
  away(one);
  await server.kill();
  server.backup("tuesday");
  await server.start();
  back(one);
  await settled(one);
  away(one);
  one.text("pages", id, "notes").splice(1, 0, "b");
  await one.sync.leave(); // the server acknowledges, and goes before it could tell this device of its own entry
  expect(one.receipt("pages", id)).toBe("committed");
  await server.kill();
  server.restore("tuesday");
  await server.start();
  back(one);
  await agree(id, one);
  expect((await server.record("pages", id)).fields.notes).toBe("ab");
  await one.close();
});

test("a server that knows nothing of this device gets its records made anew", async () => {
  const one = await server.device();
  const id = one.create("pages", { notes: "kept here", views: 2 });
  one.text("pages", id, "notes").splice(9, 0, ", and typed on");
  await settled(one);
  away(one);
  await server.kill();
  server.restore("monday");
  delete one.device.meta.floor; // what is kept reaches back to nothing that this server has
  await server.start();
  back(one);
  await agree(id, one);
  expect((await server.record("pages", id)).fields).toMatchObject({ notes: "kept here, and typed on", views: 2 });
  await one.close();
});
