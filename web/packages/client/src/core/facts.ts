/** The facts that devices and server share: ops, mutations, rows, entries. Names on the wire are the server's. Nobody mutates a fact. */
import type { Stamp } from "./clock.js";
import type { Edit, TextChange } from "./text.js";
import type { Json, JsonObject } from "./values.js";

export interface SetOp { readonly op: "set"; readonly path: string; readonly value: Json; readonly restated?: boolean }
export interface UnsetOp { readonly op: "unset"; readonly path: string; readonly if_empty?: boolean; readonly restated?: boolean }
export interface SpliceOp { readonly op: "splice"; readonly path: string; readonly edits: readonly Edit[] }
export interface AddOp { readonly op: "add"; readonly path: string; readonly by: number }
export interface ItemsOp { readonly op: "include" | "exclude"; readonly path: string; readonly items: readonly string[] }
export interface CreateOp { readonly op: "create"; readonly value: JsonObject }
export interface FlipOp { readonly op: "delete" | "undelete" }

/** An op on a place of a record. */
export type PlaceOp = SetOp | UnsetOp | SpliceOp | AddOp | ItemsOp;
export type Op = PlaceOp | CreateOp | FlipOp;

/** Whether an op concerns the record as a whole: each of these comes alone in its mutation. */
export const isWhole = (op: Op): op is CreateOp | FlipOp => op.op === "create" || op.op === "delete" || op.op === "undelete";
export const placeOf = (op: Op): string => ("path" in op ? op.path : "");

export interface Fork { readonly device_id: string; readonly mutation_id: string }

export interface Mutation {
  readonly mutation_id: string;
  readonly collection: string;
  readonly record_id: string;
  readonly ops: readonly Op[];
  readonly after?: string | null;
  readonly contract?: number;
  readonly base?: string | null;
  readonly edited_at?: string;
  readonly atomic?: boolean;
  readonly forked_from?: Fork;
}

/** A record as it stands. `last` is the seq of the newest entry about it, `position` the same as the wire has it. */
export interface Row {
  readonly collection: string;
  readonly id: string;
  readonly fields: JsonObject;
  readonly deleted: boolean;
  readonly contract: number;
  readonly rev: number;
  readonly last: number;
  readonly position: string;
  readonly stamp: Stamp;
}

/** A change as a pull tells it. */
export interface Change {
  readonly position: string;
  readonly seq: number;
  readonly collection: string;
  readonly record_id: string;
  readonly rev: number;
  readonly ops: readonly Op[];
  readonly actor_id: string;
  readonly device_id: string;
  readonly mutation_id: string;
  readonly committed_at: string;
  readonly stamp?: string;
  readonly kind?: string;
  readonly outcome?: Outcome;
  readonly inbox_id?: string;
  readonly reverts?: number;
  readonly partly?: boolean;
  readonly on_behalf_of?: string;
}

export type Outcome = "applied" | "merged" | "held" | "duplicate" | "refused";

/** An entry of somebody else, as merging reads it: what was applied, and when. */
export interface Entry {
  readonly seq: number;
  readonly stamp: Stamp;
  readonly deviceId: string;
  readonly ops: readonly Op[];
  /** The entry that this one took back, all of it; 0: none. */
  readonly reverts: number;
}

/** An entry of somebody else that is not in the device's context of a text yet, as it stands after the device's own later ones. */
export interface Waiting {
  readonly seq: number;
  readonly deviceId: string;
  readonly change: TextChange;
  readonly reverts: number;
}

/** Per Text field what waits. `through`: the seq up to which it is complete. */
export interface Context {
  readonly texts: { readonly [name: string]: readonly Waiting[] };
  readonly through: number;
}

/** An own mutation that has not come back. */
export interface Pending {
  readonly ops: readonly Op[];
  /** Seq of its base; 0 for none. */
  readonly base: number;
  readonly stamp: Stamp;
  readonly atomic?: boolean;
}
