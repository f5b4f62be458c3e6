/**
 * What a pulled change does to a record here, and to the context of what is pending: `follow` and `came_back` of
 * src/holdfast/core/rebase.py. The context row moves on by what the server did with an own entry, not by what was expected.
 */
import { applyOps } from "./apply.js";
import { latest } from "./clock.js";
import { parse as parseStamp } from "./stamp.js";
import type { Change, Context, Entry, Op, Pending, Row, SpliceOp, Waiting } from "./facts.js";
import { isWhole } from "./facts.js";
import { stamped, type Ground } from "./rebase.js";
import { defaults, textDefault, textFields, type Collection } from "./schema.js";
import { changeOf, contextAfter, gather, passOver, pastIdentical, takenBack } from "./waiting.js";

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

const stampOf = (change: Change): bigint => (change.stamp ? parseStamp(change.stamp) : 0n);

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
