/**
 * The device's side of merging: what a person sees of a record, and what becomes of pending work when the ground under it changes. The
 * rules of src/holdfast/core/rebase.py.
 *
 * A device holds each record as pulled, and its own mutations that have not come back in a pull. The *view* is those mutations decided on
 * top (`decide`), each past the others' entries newer than its base and in the device's own context. It bears the position of the record
 * as pulled: entries that are only expected have no number yet. It is never stored.
 */
import { latest } from "./clock.js";
import { decide } from "./decide.js";
import type { Context, Entry, Op, Pending, Row } from "./facts.js";
import { isWhole } from "./facts.js";
import type { Collection } from "./schema.js";
import { same, type JsonObject } from "./values.js";

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
export function stamped(fields: JsonObject, collection: Collection, by: string, at: string, isFresh: boolean): JsonObject {
  const made: JsonObject = { ...fields };
  for (const name in collection.fields) {
    const kind = collection.fields[name]!.stamped;
    if (kind && (isFresh || kind.startsWith("updated"))) made[name] = kind.endsWith("by") ? by : at;
  }
  return made;
}
