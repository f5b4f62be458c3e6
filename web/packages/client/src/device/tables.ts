/**
 * What a device holds, and the port to where it is kept. The tables are those of docs/internals/browser.md; all of it but `kept` is in
 * memory while the device is open.
 */
import type { Stamp } from "../core/clock.js";
import type { Change, Context, Entry, Fork, Op, Outcome, Row } from "../core/facts.js";
import type { JsonObject } from "../core/values.js";

/** "collection/id" */
export type Key = string;
export const keyOf = (collection: string, id: string): Key => `${collection}/${id}`;
export const splitKey = (key: Key): [collection: string, id: string] => {
  const at = key.indexOf("/");
  return [key.slice(0, at), key.slice(at + 1)];
};

/** `unsent` may still take in the next edit; `sent` may have arrived, its content never changes again; `acknowledged` waits for its entry
 * to come back; `refused` has left the line and is shown until a person drops it. */
export type State = "unsent" | "sent" | "acknowledged" | "refused";

/** Why a mutation was refused, or what went wrong with a call. */
export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly hint?: string;
  readonly field?: string;
  readonly retry_after?: number;
}

export interface Answer {
  readonly outcome: Outcome;
  readonly receipt: "committed" | "backed_up" | "held" | "refused";
  readonly seq: number;
  readonly position?: string | undefined;
  readonly inboxId?: string | undefined;
  readonly problem?: Problem | undefined;
}

/** A mutation as it was made; rows are replaced, never changed. Times are ms. */
export interface OutboxRow {
  readonly id: string;
  readonly collection: string;
  readonly recordId: string;
  readonly state: State;
  readonly ops: readonly Op[];
  readonly stamp: Stamp;
  readonly contract: number;
  readonly madeAt: number;
  readonly changedAt: number;
  readonly base: string | null;
  readonly after: string | null;
  readonly atomic?: boolean;
  readonly forkedFrom?: Fork | undefined;
  /** Set when it is sent first. */
  readonly deviceId?: string | undefined;
  /** Put back after a reset: the server may know the id, with this first content. */
  readonly first?: OutboxRow | undefined;
  /** Its base is of a history that the server no longer has; only while that is repaired. */
  readonly isElsewhere?: boolean;
  readonly answer?: Answer | undefined;
}

/** The last own mutation of a record that the server took. */
export interface Line {
  readonly id: string;
  readonly deviceId: string;
  readonly seq: number;
}

/** A record with own work: others' entries newer than the oldest base in its lane, and the context row. */
export interface Work {
  readonly since: readonly Entry[];
  readonly context?: Context | undefined;
}

/** An entry as pulled, with what leads back to before it; until it is backed up. `sent`: the own row that it was. */
export interface Kept {
  readonly change: Change;
  readonly undo: readonly Op[];
  readonly before: { readonly row: Omit<Row, "fields"> | null; readonly stamped: JsonObject };
  readonly at: number;
  readonly sent?: OutboxRow | undefined;
  readonly held?: readonly Op[] | undefined;
}

export interface Meta {
  deviceId: string;
  formerIds: string[];
  server: string;
  tenant?: string;
  actorId?: string;
  cursor: string | null;
  head: number;
  backedUpSeq: number;
  contracts: { [collection: string]: number };
  /** Rights have changed: a snapshot is due. */
  isReset?: boolean;
  /** The outbox was copied: a new id is due. */
  isForking?: boolean;
  wanted: Key[];
  inbox: { id: string; collection?: string; record_id?: string }[];
  isInboxStale?: boolean;
  syncedAt?: number;
  /** The oldest position that `kept` reaches back to. */
  floor?: string;
  prunedAt?: number;
}

/** One row to be kept; undefined: to be dropped. Keys of `kept` are seqs. */
export type Put =
  | readonly ["meta", "meta", Meta]
  | readonly ["records", Key, Row | undefined]
  | readonly ["outbox", string, OutboxRow | undefined]
  | readonly ["works", Key, Work | undefined]
  | readonly ["lines", Key, Line | undefined]
  | readonly ["kept", number, Kept | undefined];

/** What was kept, as it is read when a device opens. */
export interface Held {
  readonly meta?: Meta | undefined;
  readonly records: Map<Key, Row>;
  readonly outbox: OutboxRow[];
  readonly works: Map<Key, Work>;
  readonly lines: Map<Key, Line>;
  /** Something was kept here once and is gone: the browser has evicted it, or a person has cleared it. */
  readonly isEvicted?: boolean;
}

/** Where a device keeps what it holds. */
export interface Store {
  /** Everything but `kept`. Rejects if it cannot be read. */
  open(): Promise<Held>;
  /** Keeps all of it or nothing, in the order of the calls; begins before it returns. Resolves once it is kept. `isStrict`: on the disk, not
   * only with the browser. */
  write(puts: readonly Put[], isStrict?: boolean): Promise<void>;
  /** Entries kept after `seq`, rising. */
  kept(seq: number): Promise<Kept[]>;
  /** Drops kept entries up to `seq`. */
  prune(seq: number): Promise<void>;
  /** Tidies up how records are kept, when there is time; `records` is what they are now. */
  compact?(records: ReadonlyMap<Key, Row>): Promise<void>;
  close(): void;
}
