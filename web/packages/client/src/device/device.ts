/**
 * The device: what it holds, what is shown of it, and the edit. Everything here happens in memory, in place; what is to be kept goes to
 * the writer in the same turn, as one transaction.
 *
 * Rules of the file.
 * - `records` are as pulled; nothing of one's own is in them before it came back. What people see is the view.
 * - A row of the outbox is replaced, never changed; from its first sending on its content stays.
 */
import { latest, tick, type Stamp } from "../core/clock.js";
import { invalid, HoldfastError } from "../core/errors.js";
import type { Op, Row } from "../core/facts.js";
import { isWhole } from "../core/facts.js";
import { applyOps } from "../core/apply.js";
import { advance, show, type Self, type View } from "../core/rebase.js";
import { lengthOf } from "../core/points.js";
import type { Collection, Schema } from "../core/schema.js";
import { kept, TEXT_CODE_POINTS_MAX } from "../core/values.js";
import { byStamp, joined, JOIN_MS_MAX, pendingOf, uuid7 } from "./outbox.js";
import { keyOf, splitKey, type Held, type Key, type Line, type Meta, type OutboxRow, type Put, type Store, type Work } from "./tables.js";
import { Writer } from "./writer.js";

const MUTATION_OPS_MAX = 1_000;
const MUTATION_BYTES_MAX = (1 << 20) - 2_000;

/** Makes the ops of an edit from the record as it stands in the view. */
export type Make = (row: Row | undefined) => readonly Op[];

export class Device {
  readonly lanes = new Map<Key, OutboxRow[]>();
  readonly refused = new Map<string, OutboxRow>();
  readonly records: Map<Key, Row>;
  readonly works: Map<Key, Work>;
  readonly lines: Map<Key, Line>;
  readonly meta: Meta;
  readonly writer: Writer;
  /** Told of records that may look different now; undefined: of the device as a whole. */
  readonly onChanged = new Set<(keys?: ReadonlySet<Key>) => void>();
  private readonly views = new Map<Key, View>();
  private readonly joinable = new Set<string>();
  private clock: Stamp = 0n;

  constructor(store: Store, readonly schema: Schema, held: Held, server: string) {
    this.writer = new Writer(store, () => this.tell());
    this.records = held.records;
    this.works = held.works;
    this.lines = held.lines;
    this.meta = held.meta ?? { deviceId: uuid7(), formerIds: [], server, cursor: null, head: 0, backedUpSeq: 0, contracts: {}, wanted: [], inbox: [] };
    for (const row of held.outbox.sort(byStamp)) this.adopt(row);
    if (!held.meta) void this.write([]);
  }

  // -- what is kept

  /** Keeps `puts` and what `meta` has become, as one. */
  write(puts: readonly Put[], meta: Partial<Meta> = {}, isStrict = false): Promise<boolean> {
    Object.assign(this.meta, meta);
    return this.writer.write([...puts, ["meta", "meta", { ...this.meta }]], isStrict);
  }

  /** Takes a row into memory, in its place. */
  adopt(row: OutboxRow): void {
    this.clock = latest(this.clock, row.stamp);
    const key = keyOf(row.collection, row.recordId);
    const lane = this.lanes.get(key) ?? [];
    const at = lane.findIndex((one) => one.id === row.id);
    if (row.state === "refused") {
      this.refused.set(row.id, row);
      this.leave(row);
    } else if (at < 0) this.lanes.set(key, [...lane, row]);
    else lane[at] = row;
  }

  /** Takes a row out of its lane. */
  leave(row: OutboxRow): void {
    const key = keyOf(row.collection, row.recordId);
    const lane = (this.lanes.get(key) ?? []).filter((one) => one.id !== row.id);
    if (lane.length) this.lanes.set(key, lane);
    else this.lanes.delete(key);
  }

  /** Everything the server has not acknowledged, in the order in which it was made. */
  unanswered(): OutboxRow[] {
    return [...this.lanes.values()].flat().filter((row) => row.state === "unsent" || row.state === "sent").sort(byStamp);
  }

  collection(name: string): Collection {
    const found = this.schema.collections[name];
    if (!found) throw new HoldfastError("not_found", `There is no collection ${name}.`);
    return found;
  }

  noteStamp(stamp: Stamp): void {
    this.clock = latest(this.clock, stamp);
  }

  /** These records look different now. */
  tell(keys?: ReadonlySet<Key>): void {
    for (const key of keys ?? []) this.views.delete(key);
    for (const listener of [...this.onChanged]) listener(keys);
  }

  // -- what is shown

  self(): Self {
    return { deviceId: this.meta.deviceId, actorId: this.meta.actorId ?? "", now: Date.now() };
  }

  /** The record as a person sees it, and the context of the next edit. */
  view(key: Key): View {
    const lane = this.lanes.get(key);
    const row = this.records.get(key);
    if (!lane) return { row, context: undefined, ops: [] };
    let view = this.views.get(key);
    if (!view) {
      const [name, id] = splitKey(key);
      view = named(show({ row, since: [], ...this.works.get(key) }, lane.map(pendingOf), this.self(), this.collection(name)), name, id);
      this.views.set(key, view);
    }
    return view;
  }

  /** All records of a collection as they are shown, by id. Deleted ones too. */
  list(collection: string): Row[] {
    const found: Row[] = [];
    const prefix = collection + "/";
    const look = (key: Key): void => {
      const row = key.startsWith(prefix) ? this.view(key).row : undefined;
      if (row) found.push(row);
    };
    for (const key of this.records.keys()) look(key);
    for (const key of this.lanes.keys()) if (!this.records.has(key)) look(key);
    return found.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  // -- the edit

  /** Puts an edit into the record's line. Nothing to do: undefined. Raises what `make` raises, and invalid or malformed for ops that do
   * not fit; then nothing was done. */
  edit(key: Key, make: Make, atomic = false): OutboxRow | undefined {
    const [name, id] = splitKey(key);
    const collection = this.collection(name);
    const view = this.view(key);
    const ops = make(view.row);
    if (!ops.length) return undefined;
    check(ops, view.row, collection);
    const row = this.made(key, ops, atomic);
    const since = this.works.get(key) ?? { since: [] };
    const next = advance(view, { ...pendingOf(row), ops }, since.since, this.self(), collection);
    const isNew = !this.lanes.has(key);
    this.adopt(row);
    this.joinable.add(row.id);
    if (isNew) this.works.set(key, since);
    const isKept = this.writer.write([["outbox", row.id, row], ...(isNew ? ([["works", key, since]] as const) : [])]);
    this.tell(new Set([key]));
    this.views.set(key, named(next, name, id));
    void isKept;
    return row;
  }

  private made(key: Key, ops: readonly Op[], atomic: boolean): OutboxRow {
    const [collection, recordId] = splitKey(key);
    const now = Date.now();
    const pulled = this.records.get(key);
    const base = pulled?.position ?? null;
    const stamp = tick(latest(this.clock, pulled?.stamp ?? 0n), now);
    const last = this.lanes.get(key)?.at(-1);
    const mayJoin = last?.state === "unsent" && this.joinable.has(last.id) && last.base === base && !atomic && !last.atomic && now - last.madeAt < JOIN_MS_MAX;
    const both = mayJoin && joined(last.ops, ops);
    if (both) return { ...last, ops: both, stamp, changedAt: now };
    const line = this.lines.get(key);
    const isForked = !last && line && line.deviceId !== this.meta.deviceId;
    return {
      id: uuid7(now), collection, recordId, state: "unsent", ops, stamp, contract: this.collection(collection).contract, madeAt: now, changedAt: now, base,
      after: last?.id ?? (isForked ? null : (line?.id ?? null)), atomic,
      ...(isForked && { forkedFrom: { device_id: line.deviceId, mutation_id: line.id } }),
    };
  }

  /** How far the work on a record has come. */
  receipt(key: Key): Receipt {
    const lane = this.lanes.get(key) ?? [];
    const waiting = lane.filter((row) => row.state !== "acknowledged");
    if ([...this.refused.values()].some((row) => keyOf(row.collection, row.recordId) === key)) return "refused";
    if (this.openItems().some((item) => keyOf(item.collection ?? "", item.record_id ?? "") === key)) return "held";
    if (waiting.some((row) => this.writer.has("outbox", row.id))) return "memory";
    if (waiting.length) return "local";
    const seq = Math.max(this.lines.get(key)?.seq ?? 0, ...lane.map((row) => row.answer?.seq ?? 0));
    return seq && seq <= this.meta.backedUpSeq ? "backed_up" : "committed";
  }

  /** What waits for this person's decision, as far as this device knows. */
  openItems(): Meta["inbox"] {
    const items = new Map(this.meta.inbox.map((item) => [item.id, item]));
    for (const { collection, recordId, answer } of [...this.lanes.values()].flat()) {
      if (answer?.receipt === "held" && answer.inboxId) items.set(answer.inboxId, { id: answer.inboxId, collection, record_id: recordId });
    }
    return [...items.values()];
  }

  /** Takes a refused row off the list. */
  drop(id: string): void {
    this.refused.delete(id);
    void this.writer.write([["outbox", id, undefined]]);
    this.tell();
  }
}

/** `memory`: not even on this device's disk. The others are the server's, and `local` between them. */
export type Receipt = "memory" | "local" | "committed" | "backed_up" | "held" | "refused";

/** A record that is not there yet has its id from the edit. */
const named = (view: View, collection: string, id: string): View => (view.row && !view.row.id ? { ...view, row: { ...view.row, collection, id } } : view);

/** Raises what is wrong with an edit: it is told to whoever makes it, not to the person who finds it refused. */
function check(ops: readonly Op[], row: Row | undefined, collection: Collection): void {
  if (ops.length > MUTATION_OPS_MAX || JSON.stringify(ops).length > MUTATION_BYTES_MAX) throw new HoldfastError("limit", "This change is too large: save in smaller steps.");
  for (const op of ops) {
    if (isWhole(op) && ops.length > 1) throw invalid(`${op.op} comes alone`);
    if (op.op === "set") kept(op.value, op.path);
    if (op.op === "create") kept(op.value);
    else if (!row) throw new HoldfastError("not_found", "There is no such record on this device.");
  }
  if (!row || isWhole(ops[0]!)) return;
  const { fields } = applyOps(row.fields, ops, collection);
  for (const name in collection.fields) {
    if (collection.fields[name]!.kind !== "text" || fields[name] === row.fields[name]) continue;
    const length = lengthOf(fields[name] as string);
    if (length > TEXT_CODE_POINTS_MAX && length > lengthOf(row.fields[name] as string)) throw new HoldfastError("limit", `${name} holds at most ${TEXT_CODE_POINTS_MAX} characters.`, "", name);
  }
}
