/** Building the device's records anew; rare enough to be loaded when it happens. */
import type { Device } from "../device/device.js";
import { Taking, type RecordLine, type RecordView } from "../device/taking.js";
import { keyOf, splitKey, type Key } from "../device/tables.js";
import { contractsOf } from "./contracts.js";
import type { Event } from "./machine.js";
import { unreachable, type Wire } from "./wire.js";

export { recover } from "./recovery.js";

const LINES_AT_ONCE = 500;
const PENDING_NAMED_MAX = 4_000;

/** How far a snapshot has come, for the next try. */
const begun = new WeakMap<Device, { cursor: string; after: string | null; seen: Set<Key> }>();

/** Takes a snapshot, or goes on with one that was cut off; what is not in it is forgotten, the outbox stays. */
export async function takeSnapshot(device: Device, wire: Wire): Promise<Event> {
  const contracts = contractsOf(device.schema);
  let progress = begun.get(device);
  let lines: RecordLine[] = [];
  const take = async (): Promise<void> => {
    const taking = new Taking(device);
    for (const line of lines) {
      if (line.changes || line.forget) taking.line(line);
      else taking.whole(line as RecordView);
    }
    await taking.end();
    for (const line of lines) {
      progress!.after = keyOf(line.collection, line.id);
      if (!line.forget) progress!.seen.add(progress!.after);
    }
    lines = [];
  };
  for await (const line of wire.snapshot(Object.keys(contracts), progress?.after ?? null, pending(device))) {
    if (line.cursor && !line.id) {
      if (!progress) begun.set(device, (progress = { cursor: line.cursor, after: null, seen: new Set() }));
      continue;
    }
    lines.push(line);
    if (lines.length >= LINES_AT_ONCE) await take();
  }
  if (!progress) throw unreachable("The snapshot did not say where it starts.");
  await take();
  begun.delete(device);
  const { cursor, seen } = progress;
  const taking = new Taking(device);
  for (const key of [...device.records.keys()]) if (!seen.has(key)) taking.forget(key);
  await taking.end({ cursor, contracts, isReset: false, isInboxStale: true, floor: device.meta.floor ?? cursor, head: Math.max(device.meta.head, parseInt(cursor, 10)) });
  return "rebuilt";
}

/** The records with own work, each with the position that is here. */
function pending(device: Device): { [key: string]: string | null } {
  const found: { [key: string]: string | null } = {};
  for (const key of [...device.lanes.keys()].slice(0, PENDING_NAMED_MAX)) if (device.schema.collections[splitKey(key)[0]]) found[key] = device.records.get(key)?.position ?? null;
  return found;
}
