/**
 * The way back to a server that was put back to an older state. The newest kept entry that the server still has is found by a binary search
 * over cursors; what was pulled after it is undone by the exact inverses, what the server has since is taken in, and own mutations that
 * are not among it go back into the outbox, made anew on the shared state. All of that is fetched first, then done in one turn and kept
 * as one transaction: a person may go on typing. The rules of src/holdfast/client/recovery.py.
 */
import type { Change, Op, Row, SpliceOp } from "../core/facts.js";
import { follow, undone } from "../core/follow.js";
import { advance, type View } from "../core/rebase.js";
import { diff } from "../core/diff.js";
import * as text from "../core/text.js";
import { transform } from "../core/transform.js";
import type { JsonObject } from "../core/values.js";
import { fitted, without, type Step } from "../core/without.js";
import type { Device } from "../device/device.js";
import { pendingOf, seqOf, uuid7 } from "../device/outbox.js";
import { isOwn, taken, type Page } from "../device/taking.js";
import { keyOf, splitKey, type Kept, type Key, type Meta, type OutboxRow, type Put } from "../device/tables.js";
import { contractsOf } from "./contracts.js";
import type { Event } from "./machine.js";
import { unreachable, type Wire } from "./wire.js";

const RECORDS_ASKED_MAX = 200;

/** One record's lost entries, oldest first, and how it stood before them. */
interface Past {
  row: Row | undefined;
  readonly lost: Kept[];
  isBroken: boolean;
}

/** What to make anew of one record: its past since the shared entry, each own step with its mutation id; which of those may have reached a
 * server. */
interface Plan {
  readonly stood: Row | undefined;
  readonly steps: [step: Step, id: string][];
  readonly sent: ReadonlySet<string>;
}

/** After `reset: history`. Rejects if it cannot be fetched; then nothing was done, and it is begun again. */
export async function recover(device: Device, wire: Wire): Promise<Event> {
  const all = await device.writer.store.kept(0);
  const pull = (cursor: string, limit?: number): Promise<Page> => wire.pull(device.meta.deviceId, cursor, contractsOf(device.schema), limit);
  const positions = [...(device.meta.floor ? [device.meta.floor] : []), ...all.map((one) => one.change.position)];
  let low = 0;
  for (let high = positions.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((await pull(positions[middle]!, 1)).reset === "history") high = middle;
    else low = middle + 1;
  }
  const shared = positions[low - 1];
  if (shared === undefined) {
    const keys = [...new Set([...all.filter((one) => one.sent).map((one) => keyOf(one.change.collection, one.change.record_id)), ...device.lanes.keys()])];
    goOver(device, all, await asTheyStand(wire, keys));
    return "needs_snapshot";
  }
  const pages: Page[] = [];
  let isWhole = true;
  for (let cursor = shared, more = true; more; ) {
    const page = await pull(cursor);
    if (page.reset === "history") throw unreachable("The server's history has changed again.");
    if (page.reset) isWhole = false; // new rights: a snapshot tells the rest
    else pages.push(page);
    more = !page.reset && page.more;
    cursor = page.cursor;
  }
  goBack(device, shared, all.filter((one) => one.change.seq > seqOf(shared)), pages, isWhole ? {} : { isReset: true });
  return isWhole ? "rebuilt" : "needs_snapshot";
}

/** All changes that the server has of these records. */
async function asTheyStand(wire: Wire, keys: readonly Key[]): Promise<Map<Key, readonly Change[]>> {
  const found = new Map<Key, readonly Change[]>();
  for (let at = 0; at < keys.length; at += RECORDS_ASKED_MAX) {
    const lines = await wire.records(keys.slice(at, at + RECORDS_ASKED_MAX).map((key) => ({ collection: splitKey(key)[0], record_id: splitKey(key)[1], base: null })));
    for (const line of lines) found.set(keyOf(line.collection, line.id), line.changes ?? []);
  }
  return found;
}

// -- a shared entry

function goBack(device: Device, shared: string, lost: readonly Kept[], pages: readonly Page[], more: Partial<Meta>): void {
  const plans = new Map<Key, Plan>();
  const puts = returned(device, lost, seqOf(shared), plans);
  let meta: Partial<Meta> = { ...more, cursor: shared, head: 0 };
  Object.assign(device.meta, meta);
  for (const page of pages) {
    const [taking, state] = taken(device, page);
    const [some, after] = taking.collect(state);
    puts.push(...some);
    meta = { ...meta, ...after };
  }
  for (const [key, plan] of plans) {
    const lane = new Map((device.lanes.get(key) ?? []).map((row) => [row.id, row]));
    if (!lane.size) continue;
    for (const [id, ops] of ownSteps(device, key, plan, new Set(lane.keys()))) {
      const row = lane.get(id);
      if (row) put(device, puts, anew(row, ops, plan.stood?.position ?? null, plan.sent.has(id)));
    }
  }
  void device.write(puts, meta, true);
  device.tell(new Set([...device.records.keys(), ...device.lanes.keys()]));
}

function put(device: Device, puts: Put[], row: OutboxRow): void {
  device.adopt(row);
  puts.push(["outbox", row.id, row]);
}

/** The device as it was at the shared entry, with all own work since then in the outbox. */
function returned(device: Device, lost: readonly Kept[], since: number, plans: Map<Key, Plan>): Put[] {
  const pasts = undoneTo(device, lost);
  const puts: Put[] = lost.map((one) => ["kept", one.change.seq, undefined]);
  for (const key of new Set([...pasts.keys(), ...device.lanes.keys()])) {
    const plan = planned(device, key, pasts.get(key), since);
    if (plan) plans.set(key, plan);
  }
  for (const [key, plan] of plans) {
    const own = (pasts.get(key)?.lost ?? []).flatMap((one) => (one.sent ? [one.sent] : []));
    const line = [...own, ...(device.lanes.get(key) ?? [])];
    device.lanes.set(key, []);
    for (const row of line) put(device, puts, { ...row, state: plan.sent.has(row.id) ? "sent" : "unsent", isElsewhere: seqOf(row.base) > since, answer: undefined });
    setLine(device, puts, key, line[0]!.after && { id: line[0]!.after, deviceId: line[0]!.deviceId ?? device.meta.deviceId, seq: since });
  }
  for (const [key, work] of [...device.works]) {
    const texts = Object.entries(work.context?.texts ?? {}).map(([name, waiting]) => [name, waiting.filter((one) => one.seq <= since)]);
    const context = plans.has(key) ? undefined : work.context && { texts: Object.fromEntries(texts), through: Math.min(work.context.through, since) };
    const shortened = { since: work.since.filter((entry) => entry.seq <= since), context };
    device.works.set(key, shortened);
    puts.push(["works", key, shortened]);
  }
  for (const [key, { row, isBroken }] of pasts) {
    const stood = isBroken ? undefined : row;
    if (stood) device.records.set(key, stood);
    else device.records.delete(key);
    puts.push(["records", key, stood]);
    if (isBroken && !device.meta.wanted.includes(key)) device.meta.wanted.push(key);
  }
  return puts;
}

function setLine(device: Device, puts: Put[], key: Key, line: { id: string; deviceId: string; seq: number } | "" | null): void {
  if (line) device.lines.set(key, line);
  else device.lines.delete(key);
  puts.push(["lines", key, line || undefined]);
}

function undoneTo(device: Device, lost: readonly Kept[]): Map<Key, Past> {
  const pasts = new Map<Key, Past>();
  for (const one of [...lost].reverse()) {
    const { collection: name, record_id, seq } = one.change;
    const collection = device.schema.collections[name];
    if (!collection) continue;
    const key = keyOf(name, record_id);
    const past = pasts.get(key) ?? { row: device.records.get(key), lost: [], isBroken: false };
    pasts.set(key, past);
    past.lost.unshift(one);
    const { row } = past;
    if (past.isBroken || !row || row.last !== seq) {
      past.isBroken = true;
      continue;
    }
    try {
      const { row: before, stamped } = one.before;
      past.row = before ? { ...before, fields: { ...undone(row, one.undo, collection).fields, ...stamped } } : undefined;
    } catch {
      past.isBroken = true;
    }
  }
  return pasts;
}

/** What has to be made anew of a record; undefined: what was made on the shared state or before, and never answered, stays. */
function planned(device: Device, key: Key, past: Past | undefined, since: number): Plan | undefined {
  const lane = device.lanes.get(key) ?? [];
  const lost = past?.lost ?? [];
  if (!lost.some((one) => one.sent) && !lane.some((row) => row.state === "acknowledged" || seqOf(row.base) > since)) return undefined;
  const mayHaveArrived = lane.filter((row) => row.state !== "unsent" || row.first);
  const sent = new Set([...lost.flatMap((one) => (one.sent ? [one.sent.id] : [])), ...mayHaveArrived.map((row) => row.id)]);
  return { stood: past ? past.row : device.records.get(key), steps: stepsOf(device, key, lost, lane), sent };
}

/** The record's past since the shared entry: what others did, what was one's own, and what is pending as it would be applied now. */
function stepsOf(device: Device, key: Key, lost: readonly Kept[], lane: readonly OutboxRow[]): [Step, string][] {
  const steps: [Step, string][] = lost.map(({ change, sent, held }) => {
    if (!sent) return [{ ops: change.ops, isMine: false }, ""];
    const isApplied = change.outcome !== "held";
    return [{ ops: withTexts(sent.ops, isApplied ? change.ops : (held ?? [])), isMine: true, isApplied }, sent.id];
  });
  const work = device.works.get(key) ?? { since: [] };
  let view: View = { row: device.records.get(key), context: work.context, ops: [] };
  for (const row of lane) {
    view = advance(view, pendingOf(row), work.since, device.self(), device.collection(row.collection));
    steps.push([{ ops: withTexts(row.ops, view.ops), isMine: true }, row.id]);
  }
  return steps;
}

/** The mutation as it was sent, its splices as they were applied. */
function withTexts(sent: readonly Op[], applied: readonly Op[]): Op[] {
  const splices = applied.filter((op): op is SpliceOp => op.op === "splice");
  return sent.map((op) => (op.op === "splice" ? (splices.shift() ?? op) : op));
}

/** Each own step's id with what it comes to; what the server has (not `left`) is what it is. */
function ownSteps(device: Device, key: Key, plan: Plan, left: ReadonlySet<string>): [id: string, ops: Op[]][] {
  const steps = plan.steps.map(([step, id]) => (!step.isMine || left.has(id) ? step : { ...step, frozen: step.ops }));
  const made = without(steps, device.collection(splitKey(key)[0]), plan.stood?.fields);
  return plan.steps.filter(([step]) => step.isMine).map(([, id], at) => [id, made[at]!]);
}

function anew(row: OutboxRow, ops: readonly Op[], base: string | null, isResent: boolean): OutboxRow {
  const { first, ...rest } = row;
  const kept: OutboxRow | undefined = isResent ? { ...(first ?? rest), isElsewhere: false } : undefined;
  return { ...rest, ops, base, state: "unsent", first: kept, deviceId: undefined, isElsewhere: false, answer: undefined };
}

// -- nothing shared

/** The server is another one under the same name, or was put back further than anything kept here. Own work that it does not have is made
 * anew on what stands there: texts are carried over by what differs. The device takes a new id, because its lines there are not the ones
 * it knows. A snapshot is to follow. */
function goOver(device: Device, lost: readonly Kept[], found: ReadonlyMap<Key, readonly Change[]>): void {
  const plans = new Map<Key, Plan>();
  const pasts = undoneTo(device, lost);
  for (const key of new Set([...pasts.keys(), ...device.lanes.keys()])) {
    const plan = planned(device, key, pasts.get(key), -1);
    if (plan) plans.set(key, plan);
  }
  const { deviceId, formerIds } = device.meta;
  const puts = returned(device, lost, 0, new Map(plans));
  for (const [key, plan] of plans) makeOver(device, puts, key, plan, found.get(key) ?? []);
  void device.write(puts, { cursor: null, isReset: true, isForking: false, deviceId: uuid7(), formerIds: [...formerIds, deviceId] }, true);
  delete device.meta.floor;
  device.tell(new Set([...device.records.keys(), ...device.lanes.keys()]));
}

function makeOver(device: Device, puts: Put[], key: Key, plan: Plan, changes: readonly Change[]): void {
  const collection = device.collection(splitKey(key)[0]);
  let there: Row | undefined;
  for (const change of changes) there = follow(there, change, collection)?.row ?? there;
  const known = new Set(changes.filter((change) => isOwn(device, change.device_id)).map((change) => change.mutation_id));
  const lane = new Map((device.lanes.get(key) ?? []).map((row) => [row.id, row]));
  const own = { ...plan.stood?.fields };
  const now = { ...there?.fields };
  let after: string | null = null;
  for (const [id, ops] of ownSteps(device, key, plan, new Set([...lane.keys()].filter((one) => !known.has(one))))) {
    const carried = ops.map((op) => carriedOver(op, own, now, known.has(id)));
    const row = lane.get(id);
    if (!row) continue;
    if (known.has(id)) {
      device.leave(row);
      puts.push(["outbox", id, undefined]);
    } else {
      put(device, puts, { ...anew(row, carried, there?.position ?? null, plan.sent.has(id)), after, forkedFrom: undefined });
      after = id;
    }
  }
  setLine(device, puts, key, null);
  if (there) device.records.set(key, there);
  else device.records.delete(key);
  device.works.set(key, { since: [] });
  puts.push(["records", key, there], ["works", key, { since: [] }]);
}

/** A splice of the own text on the text as it stands there; both go on with it. */
function carriedOver(op: Op, own: JsonObject, now: JsonObject, isThere: boolean): Op {
  const name = "path" in op ? op.path.slice(1) : "";
  if (op.op !== "splice" || typeof now[name] !== "string") return op;
  const change = text.fromEdits(op.edits);
  const before = (own[name] as string | undefined) ?? "";
  own[name] = fitted(before, change);
  if (isThere) return op;
  const meanwhile = text.fromEdits(diff(before, now[name]));
  const moved = transform(meanwhile, change, true)[1];
  now[name] = fitted(now[name], moved);
  return { ...op, edits: text.toEdits(moved) };
}

