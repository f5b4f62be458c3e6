/** Rows of the outbox as the server gets them. */
import { render } from "../core/stamp.js";
import type { Mutation, Pending } from "../core/facts.js";
import { pendingOf } from "./outbox.js";
import type { OutboxRow } from "./tables.js";

export const mutationOf = (row: OutboxRow): Mutation => ({
  mutation_id: row.id, collection: row.collection, record_id: row.recordId, ops: row.ops, after: row.after, contract: row.contract, base: row.base,
  edited_at: render(row.stamp), ...(row.atomic && { atomic: true }), ...(row.forkedFrom && { forked_from: row.forkedFrom }),
});

/** What the server has, if it has the row: one that was made anew and not sent since can be there only with its first content. */
export const asSent = (row: OutboxRow): Pending => pendingOf(row.state === "unsent" && row.first ? row.first : row);
