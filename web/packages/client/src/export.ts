/** What is unsent, as JSON: to look at, to keep, to take elsewhere. The form is that of `holdfast replica export`: either side takes in what
 * the other gave. */
import type { Client } from "./client.js";
import { HoldfastError, malformed } from "./core/errors.js";
import type { Op, SpliceOp } from "./core/facts.js";
import { lengthOf } from "./core/points.js";
import { render } from "./core/stamp.js";
import * as text from "./core/text.js";
import { transform } from "./core/transform.js";
import type { JsonObject } from "./core/values.js";
import { typed } from "./changes.js";
import { keyOf } from "./device/tables.js";

const VERSION = 1;

export interface ExportedMutation {
  readonly mutation_id: string;
  readonly collection: string | null;
  readonly record_id: string | null;
  readonly ops: readonly Op[];
  readonly why?: string;
}

export interface Exported {
  readonly holdfast_replica: number;
  readonly mutations: readonly ExportedMutation[];
  readonly [more: string]: unknown;
}

/** Everything that the server has not acknowledged, refused work included, and what each record looks like with it. */
export function exportUnsent({ device }: Client): Exported {
  const { meta, writer } = device;
  const rows = [...device.unanswered(), ...device.refused.values()];
  const iso = (ms: number): string => new Date(ms).toISOString();
  const records: { [key: string]: JsonObject } = {};
  for (const { collection, recordId } of rows) {
    const shown = device.view(keyOf(collection, recordId)).row;
    if (shown) records[keyOf(collection, recordId)] = shown.fields;
  }
  const mutations = rows.map((row) => ({
    mutation_id: row.id, collection: row.collection, record_id: row.recordId, state: row.state, made_at: iso(row.madeAt), edited_at: render(row.stamp), base: row.base,
    after: row.after, contract: row.contract, ops: row.ops, on_disk: !writer.has("outbox", row.id), ...(row.answer?.problem && { error: row.answer.problem }),
  }));
  return {
    holdfast_replica: VERSION, server: meta.server, tenant: meta.tenant ?? null, actor_id: meta.actorId ?? null, device_id: meta.deviceId, exported_at: iso(Date.now()),
    mutations, records,
  };
}

/** Makes exported changes again here, under new ids, on what stands here: how many, and those that could not be made, with why. Raises
 * malformed for what is no export. */
export function importUnsent({ device }: Client, exported: Exported): { made: number; left: ExportedMutation[] } {
  if (exported?.holdfast_replica !== VERSION || !Array.isArray(exported.mutations)) throw malformed("This is no export of a device.");
  const left: ExportedMutation[] = [];
  for (const one of exported.mutations as ExportedMutation[]) {
    try {
      if (!one.collection || !one.record_id) throw malformed("This client calls no actions.");
      const key = keyOf(one.collection, one.record_id);
      device.edit(key, (row) => one.ops.map((op) => (op.op === "splice" && row ? fitted(op, String(row.fields[op.path.slice(1)] ?? "")) : op)));
    } catch (error) {
      left.push({ ...one, why: error instanceof HoldfastError ? error.message : String(error) });
    }
  }
  return { made: exported.mutations.length - left.length, left };
}

/** A splice that was made on another text reaches at most to the end of this one. */
function fitted(op: SpliceOp, now: string): Op {
  const change = text.fromEdits(op.edits);
  const missing = text.span(change) - lengthOf(now);
  if (missing <= 0) return op;
  const stretched = now + text.PLACEHOLDER.repeat(missing);
  const shortened = text.fromEdits([typed(stretched, now)]);
  return { ...op, edits: text.toEdits(transform(shortened, change, true)[1]) };
}
