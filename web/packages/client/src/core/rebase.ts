/**
 * The device's side of merging: what a person sees of a record, and what becomes of pending work when the ground under it changes. The
 * rules of src/holdfast/core/rebase.py.
 *
 * A device holds each record as pulled, and its own mutations that have not come back in a pull. The *view* is those mutations decided on
 * top (`decide`), each past the others' entries newer than its base and in the device's own context. It bears the position of the record
 * as pulled: entries that are only expected have no number yet. It is never stored.
 */
import { applyOps } from "./apply.js";
import { latest, parse as parseStamp, pack } from "./clock.js";
import { decide } from "./decide.js";
import type { Change, Context, Entry, Op, Pending, Row, SpliceOp, Waiting } from "./facts.js";
import { isWhole } from "./facts.js";
import { defaults, textDefault, textFields, type Collection } from "./schema.js";
import { same, type JsonObject } from "./values.js";
import { changeOf, contextAfter, gather, passOver, pastIdentical, takenBack } from "./waiting.js";

/** Whose view it is. `now` (ms) is what stamped fields show until the server says. */
export interface Self {
  readonly deviceId: string;
  readonly actorId: string;
  readonly now: number;
}

/** A record as pulled: its row, others' entries newer than the oldest pending base (rising), the context row. */
export interface Ground {
  readonly row?: Row | undefined;
  readonly since: readonly Entry[];
  readonly context?: Context | undefined;
}

/** What a person sees, and the context of the next own mutation. `ops`: what was put on top last, as expected. */
export interface View {
  readonly row: Row | undefined;
  readonly context: Context | undefined;
  readonly ops: readonly Op[];
}

/** The view of a record. */
export function show(ground: Ground, pending: readonly Pending[], self: Self, collection: Collection): View {
  let view: View = { row: ground.row, context: ground.context, ops: [] };
  for (const one of pending) view = advance(view, one, ground.since, self, collection);
  return view;
}

/** The view with one more mutation on top. `key` names a record that is not there yet. */
export function advance(
  view: View, one: Pending, since: readonly Entry[], self: Self, collection: Collection,
): View {
  const { row } = view;
  const isLife = isWhole(one.ops[0]!);
  const stood = row && !isLife && row.deleted ? { ...row, deleted: false } : row;
  const newer = since.filter((entry) => entry.seq > one.base);
  const decision = decide(stood, one, newer, view.context, self.deviceId, self.actorId, collection);
  if (!decision) return { row, context: view.context, ops: [] };
  const deleted = isLife ? decision.deleted : (row?.deleted ?? false);
  const isChanged = !stood || stood.deleted !== decision.deleted || differs(stood.fields, decision.fields);
  const fields = isChanged ? stamped(decision.fields, collection, self.actorId, new Date(self.now).toISOString(), !row) : decision.fields;
  const fresh = { collection: "", id: "", contract: collection.contract, rev: 0, last: 0, position: "", stamp: 0n };
  return { row: { ...(row ?? fresh), fields, deleted, stamp: latest(row?.stamp ?? 0n, one.stamp) }, context: decision.context, ops: decision.ops };
}

function differs(before: JsonObject, after: JsonObject): boolean {
  for (const name in after) if (!same(before[name] ?? null, after[name]!)) return true;
  return false;
}

/** `fields` with those that the server fills: all of them in a new record, the updated ones after. */
function stamped(fields: JsonObject, collection: Collection, by: string, at: string, isFresh: boolean): JsonObject {
  const made: JsonObject = { ...fields };
  for (const name in collection.fields) {
    const kind = collection.fields[name]!.stamped;
    if (kind && (isFresh || kind.startsWith("updated"))) made[name] = kind.endsWith("by") ? by : at;
  }
  return made;
}

// -- what was pulled

export interface Followed {
  readonly row: Row;
  readonly undo: readonly Op[];
}

/** The record after a pulled change, and the exact inverse. undefined: it is no news, or the record is not here. Raises malformed if the
 * change does not fit: then the record here is not the server's. */
export function follow(row: Row | undefined, change: Change, collection: Collection): Followed | undefined {
  const first = change.ops[0];
  const isFresh = !row;
  let undo: readonly Op[];
  if (!row) {
    if (first?.op !== "create") return undefined;
    row = {
      collection: change.collection, id: change.record_id, fields: { ...defaults(collection), ...first.value }, contract: collection.contract,
      deleted: false, rev: 0, last: 0, position: "", stamp: 0n,
    };
    undo = [{ op: "delete" }];
  } else {
    if (change.seq <= row.last) return undefined;
    [row, undo] = applied(row, change.ops, collection);
  }
  const fields = change.rev === change.seq ? stamped(row.fields, collection, change.on_behalf_of ?? change.actor_id, change.committed_at, isFresh) : row.fields;
  const stamp = latest(row.stamp, stampOf(change));
  return { row: { ...row, fields, rev: change.rev || row.rev, last: change.seq, position: change.position, stamp }, undo };
}

const stampOf = (change: Change): bigint => (change.stamp ? parseStamp(change.stamp) : pack(0));

function applied(row: Row, ops: readonly Op[], collection: Collection): [Row, Op[]] {
  let { fields, deleted } = row;
  const undo: Op[] = [];
  for (const op of ops) {
    if (isWhole(op)) {
      const isDelete = op.op === "delete";
      if (isDelete !== deleted) undo.unshift({ op: isDelete ? "undelete" : "delete" });
      deleted = isDelete;
    } else {
      const made = applyOps(fields, [op], collection);
      fields = made.fields;
      undo.unshift(...made.undo);
    }
  }
  return [{ ...row, fields, deleted }, undo];
}

/** The record before an entry, by its inverse; its bookkeeping is the caller's. */
export const undone = (row: Row, undo: readonly Op[], collection: Collection): Row => applied(row, undo, collection)[0];

/** A pulled change as merging reads the entries of others. */
export const entryOf = (change: Change): Entry => ({
  seq: change.seq, stamp: stampOf(change), deviceId: change.device_id, ops: change.ops, reverts: change.partly ? 0 : (change.reverts ?? 0),
});

// -- an own entry comes back

/** The context row once an own entry stands, by what the server did with it. `ground` is that before the entry. */
export function cameBack(ground: Ground, sent: Pending, change: Change, deviceId: string, collection: Collection): Context | undefined {
  const { base, ops } = sent;
  const since = ground.since.filter((entry) => entry.seq > base);
  const isHeld = change.outcome === "held";
  const held = isHeld ? heldSplices(ops, change) : [];
  const isCreated = ops[0]?.op === "create";
  let touched = held.length > 0 || change.ops.some((op) => op.op === "splice");
  const texts = new Map<string, readonly Waiting[]>();
  for (const name of isCreated && isHeld ? [] : textFields(collection)) {
    const byDefault = textDefault(collection.fields[name]!);
    let waiting = gather(ground.context, name, base, since, byDefault);
    const whole = changeOf(ops, name, byDefault);
    if (isCreated && whole.length && ground.row && !change.ops.some((op) => op.op === "splice" && op.path === "/" + name)) {
      waiting = pastIdentical(waiting, whole);
      touched = true;
    } else {
      for (const op of ops) {
        const own = changeOf([op], name, byDefault);
        if (op.op === "splice" && op.path === "/" + name && held.includes(op)) waiting = takenBack(waiting, own, deviceId, change.seq);
        else if (own.length) waiting = passOver(waiting, own, deviceId)[0];
      }
    }
    texts.set(name, waiting);
  }
  return contextAfter(ground.context, base, change.seq, touched && texts.size ? texts : undefined, since.length > 0);
}

/** The splices of a held mutation that were not applied. Once one of a text is held, those after it are too. */
export function heldSplices(sent: readonly Op[], change: Change): SpliceOp[] {
  const left = new Map<string, number>();
  for (const op of change.ops) if (op.op === "splice") left.set(op.path, (left.get(op.path) ?? 0) + 1);
  return sent.filter((op): op is SpliceOp => {
    if (op.op !== "splice") return false;
    const count = (left.get(op.path) ?? 0) - 1;
    left.set(op.path, count);
    return count < 0;
  });
}
