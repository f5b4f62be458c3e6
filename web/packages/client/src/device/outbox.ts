/** Rows of the outbox: their order, and which edits become one. */
import type { Stamp } from "../core/clock.js";
import type { Op, Pending } from "../core/facts.js";
import { isWhole, placeOf } from "../core/facts.js";
import * as text from "../core/text.js";
import type { OutboxRow } from "./tables.js";

/** Edits of one record, on one base, that follow each other so closely become one row as long as it is unsent. */
export const JOIN_MS_MAX = 2_000;
const JOIN_BYTES_MAX = 4_096;
const JOIN_OPS_MAX = 50;

/** The seq of a position; 0 for none. */
export const seqOf = (position: string | null | undefined): number => (position ? parseInt(position, 10) : 0);

/** Seq of its base on this history. */
export const baseOf = (row: OutboxRow): number => (row.isElsewhere ? 0 : seqOf(row.base));

export const pendingOf = (row: OutboxRow): Pending => ({ ops: row.ops, base: baseOf(row), stamp: row.stamp, atomic: row.atomic ?? false });

export const byStamp = (left: { stamp: Stamp }, right: { stamp: Stamp }): number => (left.stamp < right.stamp ? -1 : left.stamp > right.stamp ? 1 : 0);

/** One list of ops that does `made`, then `added`; undefined if they had better stay two mutations. */
export function joined(made: readonly Op[], added: readonly Op[]): Op[] | undefined {
  if ([...made, ...added].some(isWhole)) return undefined;
  const ops = [...made];
  for (const op of added) {
    const last = ops.at(-1)!;
    if (placeOf(last) !== placeOf(op)) ops.push(op);
    else if (last.op === "splice" && op.op === "splice") ops[ops.length - 1] = { ...op, edits: text.toEdits(text.compose(text.fromEdits(last.edits), text.fromEdits(op.edits))) };
    else if (last.op === "add" && op.op === "add") ops[ops.length - 1] = { ...op, by: last.by + op.by };
    else if ((last.op === "set" || last.op === "unset") && (op.op === "set" || op.op === "unset")) ops[ops.length - 1] = op;
    else ops.push(op);
  }
  return ops.length > JOIN_OPS_MAX || JSON.stringify(ops).length > JOIN_BYTES_MAX ? undefined : ops;
}

/** An id that sorts by time (UUIDv7, RFC 9562). */
export function uuid7(now = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10));
  bytes[0] = (bytes[0]! & 0x0f) | 0x70;
  bytes[2] = (bytes[2]! & 0x3f) | 0x80;
  const hex = now.toString(16).padStart(12, "0") + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}
