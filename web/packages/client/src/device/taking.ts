/**
 * Taking in what the server tells: pages of changes, records that come whole, snapshots. Each is one transaction: records, kept entries,
 * outbox and cursor move together or not at all.
 *
 * Rules of the file.
 * - An entry is applied only if it is newer than the record's position; a page's cursor never moves this device back.
 * - An own entry takes its row out of the outbox. A row whose entry the cursor has passed without showing it leaves too: its record is
 *   hidden from this person.
 * - A record that comes whole while own work of its stands in the outbox is not taken over: it may hold that work already. It is asked for
 *   (`wanted`), as the entries since the position that is here.
 */
import type { Change, Row } from "../core/facts.js";
import { cameBack, entryOf, follow, heldSplices, type Followed } from "../core/follow.js";
import { advance } from "../core/rebase.js";
import type { JsonObject } from "../core/values.js";
import type { Device } from "./device.js";
import { baseOf, pendingOf, seqOf } from "./outbox.js";
import { asSent } from "./sent.js";
import { keyOf, type Kept, type Key, type Meta, type OutboxRow, type Put, type Work } from "./tables.js";

const DAY_MS = 86_400_000;
const KEPT_DAYS = 30;

/** A record as the wire shows it. */
export interface RecordView {
  readonly collection: string;
  readonly id: string;
  readonly rev: number;
  readonly position: string;
  readonly contract: number;
  readonly deleted: boolean;
  readonly fields: JsonObject;
}

/** What a pull answers, and the socket's `changes`. */
export interface Page {
  readonly changes: readonly Change[];
  readonly cursor: string;
  readonly head: number;
  readonly backed_up_seq: number;
  readonly more: boolean;
  readonly records?: readonly RecordView[];
  readonly forget?: readonly { readonly collection: string; readonly id: string }[];
  readonly reset?: "history" | "access" | null;
}

/** A line of a snapshot or of the answer about wanted records. */
export type RecordLine = Partial<RecordView> & { collection: string; id: string; changes?: readonly Change[]; forget?: boolean };

const rowOf = (view: RecordView): Row => ({
  collection: view.collection, id: view.id, fields: view.fields, contract: view.contract, deleted: view.deleted, rev: view.rev, last: seqOf(view.position),
  position: view.position, stamp: 0n,
});

/** Whether it is this device's id, or one it had before. */
export const isOwn = ({ meta }: Device, deviceId: string): boolean => deviceId === meta.deviceId || meta.formerIds.includes(deviceId);

/** What others did to a record with own work, without what no pending mutation needs any longer. */
function pruned(device: Device, key: Key): Work | undefined {
  const lane = device.lanes.get(key);
  const work = device.works.get(key) ?? { since: [] };
  if (!lane) return undefined;
  const oldest = Math.min(...lane.map(baseOf));
  return { ...work, since: work.since.filter((entry) => entry.seq > oldest) };
}

/** What is taken in at once: memory changes here and now, `puts` is what is to be kept of it. */
export class Taking {
  readonly changed = new Set<Key>();
  private readonly puts: Put[] = [];
  private readonly touched = new Set<Key>();
  private readonly wanted: Set<Key>;
  private hasSettled = false;

  constructor(private readonly device: Device, asked: readonly Key[] = []) {
    this.wanted = new Set(device.meta.wanted);
    for (const key of asked) this.wanted.delete(key);
  }

  /** A record as it stands at the server. */
  whole(view: RecordView): void {
    const key = keyOf(view.collection, view.id);
    const row = rowOf(view);
    if (!this.device.schema.collections[view.collection] || (this.device.records.get(key)?.last ?? -1) >= row.last) return;
    if (this.device.lanes.has(key)) this.wanted.add(key);
    else this.put(key, row);
  }

  /** This person may not see the record any longer. Outbox and base stay. */
  forget(key: Key): void {
    this.device.records.delete(key);
    this.puts.push(["records", key, undefined]);
    this.changed.add(key);
  }

  private put(key: Key, row: Row): void {
    this.device.records.set(key, row);
    this.device.noteStamp(row.stamp);
    this.puts.push(["records", key, row]);
    this.changed.add(key);
  }

  change(change: Change): void {
    const { device } = this;
    const collection = device.schema.collections[change.collection];
    const key = keyOf(change.collection, change.record_id);
    if (!collection || this.wanted.has(key)) return; // what is wanted comes with all entries since
    const lane = device.lanes.get(key);
    const mine = isOwn(device, change.device_id) ? lane?.find((row) => row.id === change.mutation_id) : undefined;
    const row = device.records.get(key);
    let followed: Followed | undefined;
    try {
      followed = follow(row, change, collection);
    } catch {
      this.wanted.add(key);
      return;
    }
    if (change.kind === "resolve" || change.kind === "redecide" || change.inbox_id) this.hasSettled = true;
    if (!followed) {
      if (mine && row) this.finish(mine, change.seq); // it came with the record as a whole
      return;
    }
    const work = device.works.get(key) ?? { since: [] };
    this.keep(change, followed, row, mine, work);
    if (lane) {
      const after: Work = mine
        ? { since: work.since, context: cameBack({ row, ...work }, asSent(mine), change, mine.deviceId ?? device.meta.deviceId, collection) }
        : { since: [...work.since, entryOf(change)], context: work.context };
      device.works.set(key, after);
      this.touched.add(key);
    }
    if (mine) this.finish(mine, change.seq);
    this.put(key, followed.row);
  }

  private keep(change: Change, { undo }: Followed, row: Row | undefined, mine: OutboxRow | undefined, work: Work): void {
    const stamped: JsonObject = {};
    const { fields, ...before } = row ?? { fields: {} as JsonObject };
    const collection = this.device.collection(change.collection);
    for (const name in collection.fields) if (collection.fields[name]!.stamped && row) stamped[name] = fields[name] ?? null;
    const held = mine && change.outcome === "held" ? heldSplices(mine.ops, change) : [];
    const view = { row, context: work.context, ops: [] };
    const expected = held.length ? advance(view, pendingOf(mine!), work.since, this.device.self(), collection).ops.filter((op) => op.op === "splice") : [];
    const kept: Kept = {
      change, undo, before: { row: row ? (before as Kept["before"]["row"]) : null, stamped }, at: Date.now(), sent: mine,
      held: expected.slice(expected.length - held.length),
    };
    this.puts.push(["kept", change.seq, kept]);
  }

  /** A row leaves the outbox: the server has it. */
  private finish(row: OutboxRow, seq: number): void {
    const key = keyOf(row.collection, row.recordId);
    const line = { id: row.id, deviceId: row.deviceId ?? this.device.meta.deviceId, seq };
    this.device.leave(row);
    this.device.lines.set(key, line);
    this.puts.push(["outbox", row.id, undefined], ["lines", key, line]);
    this.touched.add(key);
    this.changed.add(key);
  }

  /** Acknowledged rows whose entry the cursor has passed. */
  private passHidden(cursor: number): void {
    for (const row of [...this.device.lanes.values()].flat()) {
      const isPassed = row.state === "acknowledged" && row.answer!.seq <= cursor && !this.wanted.has(keyOf(row.collection, row.recordId));
      if (isPassed) this.finish(row, row.answer!.seq);
    }
  }

  /** A line about one record: the entries since what is here, the whole record, or that it is not to be seen. */
  line(line: RecordLine): void {
    const key = keyOf(line.collection, line.id);
    if (line.forget) this.forget(key);
    else if (line.changes) for (const change of line.changes) this.change(change);
    else this.standing(key, line as RecordView);
  }

  /** A record whose entries are not to be had. What the server has acknowledged of it is in it; what may have arrived must be answered
   * first. */
  private standing(key: Key, view: RecordView): void {
    const lane = this.device.lanes.get(key) ?? [];
    const row = rowOf(view);
    if (lane.some((one) => one.state === "sent")) this.wanted.add(key);
    else {
      for (const one of lane) if (one.state === "acknowledged" && one.answer!.seq <= row.last) this.finish(one, one.answer!.seq);
      this.put(key, row);
    }
  }

  /** Keeps it all, with the cursor it leads to. True once it is kept. */
  end(meta: Partial<Meta> = {}): Promise<boolean> {
    const written = this.device.write(...this.collect(meta));
    this.device.tell(this.changed);
    return written;
  }

  /** What is to be kept of it. */
  collect(meta: Partial<Meta>): [Put[], Partial<Meta>] {
    const { device } = this;
    if (meta.cursor) this.passHidden(seqOf(meta.cursor));
    for (const key of this.touched) {
      const work = pruned(device, key);
      if (work) device.works.set(key, work);
      else device.works.delete(key);
      this.puts.push(["works", key, work]);
    }
    if (this.touched.size) meta = { syncedAt: Date.now(), ...meta };
    if (this.hasSettled) meta = { isInboxStale: true, ...meta };
    meta = { ...meta, wanted: [...this.wanted] };
    Object.assign(device.meta, meta);
    return [this.puts, meta];
  }
}

/** Takes in the reply of a pull from cursor `start`, or a message of the socket that follows it. False: it is for another cursor, and
 * nothing was done. Otherwise true, once it is kept (or in memory alone, and the writer's `failure` says so). */
export async function takePage(device: Device, page: Page, start: string | null): Promise<boolean> {
  if (device.meta.cursor !== start || seqOf(page.cursor) < seqOf(start)) return false;
  const [taking, meta] = taken(device, page);
  await taking.end(meta);
  await prune(device);
  return true;
}

/** A page in memory, and the state of the device that it leads to. */
export function taken(device: Device, page: Page): [Taking, Partial<Meta>] {
  const taking = new Taking(device);
  for (const view of page.records ?? []) taking.whole(view);
  for (const one of page.forget ?? []) taking.forget(keyOf(one.collection, one.id));
  for (const change of page.changes) taking.change(change);
  return [taking, { cursor: page.cursor, head: Math.max(page.head, seqOf(page.cursor)), backedUpSeq: page.backed_up_seq }];
}

/** Drops kept entries that are backed up, or, where there is no backup, that are a month old; now and then. */
async function prune(device: Device): Promise<void> {
  const { meta } = device;
  const now = Date.now();
  if (now - (meta.prunedAt ?? 0) < DAY_MS / 24) return;
  meta.prunedAt = now;
  const old = (await device.writer.store.kept(0)).filter((one) => one.change.seq <= meta.backedUpSeq || one.at < now - KEPT_DAYS * DAY_MS).at(-1);
  if (!old) return;
  await device.writer.store.prune(old.change.seq);
  await device.write([], { floor: old.change.position });
}
