/**
 * What is rare enough to be loaded when it happens: a mutation that is refused for good, and an outbox that was copied.
 */
import { without } from "../core/without.js";
import type { Device } from "./device.js";
import { uuid7 } from "./outbox.js";
import { keyOf, type OutboxRow, type Put } from "./tables.js";

/** A final refusal: the row leaves its line, and what stands behind it is made anew, as if it had never been. None of that can be at the
 * server: each names the one before it, and this one is not there. */
export async function refuse(device: Device, row: OutboxRow): Promise<void> {
  const key = keyOf(row.collection, row.recordId);
  const lane = device.lanes.get(key) ?? [];
  const at = lane.findIndex((one) => one.id === row.id);
  if (at < 0) return;
  const behind = lane.slice(at + 1);
  const refused: OutboxRow = { ...row, state: "refused" };
  const puts: Put[] = [["outbox", row.id, refused]];
  const made = without([{ ops: row.ops, isMine: false }, ...behind.map((one) => ({ ops: one.ops, isMine: true }))], device.collection(row.collection));
  let { after, forkedFrom } = row;
  for (const one of [row, ...behind]) device.leave(one);
  device.adopt(refused);
  behind.forEach((one, index) => {
    const anew: OutboxRow = { ...one, id: uuid7(), state: "unsent", ops: made[index]!, after, forkedFrom, deviceId: undefined, first: undefined, answer: undefined };
    device.adopt(anew);
    puts.push(["outbox", one.id, undefined], ["outbox", anew.id, anew]);
    after = anew.id;
    forkedFrom = undefined;
  });
  await device.writer.write(puts);
  device.tell(new Set([key]));
}

/** Leaves a copied identity, once everything that may have arrived under it has its answer: what is left is sent under a new id, and the
 * first of each record says where it was forked from. False: something is still unanswered. */
export async function takeNewId(device: Device): Promise<boolean> {
  const forked = new Set<string>();
  for (const row of device.unanswered()) {
    const key = keyOf(row.collection, row.recordId);
    if (row.answer) forked.add(key);
    else if (row.state === "sent" && !forked.has(key)) return false;
  }
  const puts: Put[] = [];
  for (const [key, lane] of device.lanes) {
    const line = device.lines.get(key);
    let isFirst = true;
    for (const row of [...lane]) {
      if (row.state === "acknowledged") continue;
      const anew: OutboxRow = {
        ...row, state: "unsent", deviceId: undefined, answer: undefined,
        ...(isFirst && { after: null, forkedFrom: line && { device_id: line.deviceId, mutation_id: line.id } }),
      };
      device.adopt(anew);
      puts.push(["outbox", row.id, anew]);
      isFirst = false;
    }
  }
  const { deviceId, formerIds } = device.meta;
  await device.write(puts, { deviceId: uuid7(), formerIds: [...formerIds, deviceId], isForking: false });
  device.tell();
  return true;
}
