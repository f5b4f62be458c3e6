/**
 * What a device expects the server to make of an own mutation: the server's `decide` (src/holdfast/core/decide.py and places.py) without
 * what only the server judges. Rights, limits, references and checks have no place here; what the rules would hold is shown anyway, in
 * the end, because a device shows its own changes until the server has spoken. Only typing that goes on in a held text is not shown.
 */
import { applyOps, valueAt } from "./apply.js";
import type { Context, Entry, Op, Pending, PlaceOp, Row, SetOp, SpliceOp, UnsetOp, Waiting } from "./facts.js";
import { parse } from "./pointer.js";
import { lengthOf } from "./points.js";
import { defaults, isFiner, textDefault, type Collection, type Field } from "./schema.js";
import * as text from "./text.js";
import { same, type Json, type JsonObject } from "./values.js";
import type * as concurrent from "./concurrent.js";

/** What it takes where others are concerned. A device that has not pulled anything since an edit was made needs none of it, so a page can
 * show and edit before that part is loaded (`concurrent`); whoever pulls has it. */
export let rules: typeof concurrent | undefined;
export const mergeBy = (by: typeof concurrent | undefined): void => void (rules = by);

/** The seq of an entry that is only expected: newer than any that exists. */
export const EXPECTED = 2 ** 52;

export interface Decision {
  readonly fields: JsonObject;
  readonly deleted: boolean;
  readonly context: Context | undefined;
  /** The ops as they would be applied; of what would wait, as sent. */
  readonly ops: readonly Op[];
}

/** `since`: entries of others newer than the mutation's base, rising. undefined: there is no such record, nothing is shown. */
export function decide(
  row: Row | undefined, mutation: Pending, since: readonly Entry[], context: Context | undefined, deviceId: string, actorId: string, collection: Collection,
): Decision | undefined {
  const first = mutation.ops[0]!;
  const working = new Working(row?.fields ?? {}, mutation, since, context, deviceId, collection);
  let deleted = row?.deleted ?? false;
  if (first.op === "create") {
    if (!row) {
      if (isForSomebodyElse(first.value, actorId, collection)) return undefined;
      working.create(first.value);
    } else {
      if (deleted && mutation.base < row.rev && since.some((entry) => entry.seq === row.rev)) {
        return { fields: row.fields, deleted, context: rules?.contextAfter(context, mutation.base, EXPECTED, undefined, false), ops: mutation.ops };
      }
      if (deleted) working.ops.push({ op: "undelete" });
      deleted = false;
      working.merge(first.value);
    }
  } else if (!row) {
    return undefined;
  } else if (first.op === "delete" || first.op === "undelete") {
    deleted = first.op === "delete";
    working.ops.push(first);
  } else {
    for (const op of mutation.ops) working.takeOp(op as PlaceOp);
  }
  if (mutation.atomic && working.held.length) working.holdAll();
  const touched = working.texts.size || working.ops.some((op) => op.op === "splice");
  return {
    fields: working.shown(), deleted, ops: working.held.length ? mutation.ops : working.ops,
    context: rules?.contextAfter(context, mutation.base, EXPECTED, touched ? rules.eachText(collection, (name) => working.waiting(name)) : undefined, since.length > 0),
  };
}

/** Who creates a record may be part of its key: nobody takes somebody else's place. */
function isForSomebodyElse(value: JsonObject, actorId: string, { key = [], fields }: Collection): boolean {
  return key.some((name) => fields[name]?.stamped === "created_by" && value[name] !== actorId);
}

class Working {
  ops: Op[] = [];
  held: Op[] = [];
  texts = new Map<string, readonly Waiting[]>();
  private readonly before: JsonObject;

  constructor(
    private fields: JsonObject, private readonly mutation: Pending, private readonly since: readonly Entry[],
    private readonly context: Context | undefined, private readonly deviceId: string, private readonly collection: Collection,
  ) {
    this.before = fields;
  }

  /** The fields with what would be held put on top, where that is possible. */
  shown(): JsonObject {
    let { fields } = this;
    for (const op of this.held) {
      if (op.op === "splice") continue;
      try {
        fields = applyOps(fields, [op], this.collection).fields;
      } catch {
        // It fits nowhere; the server will say so.
      }
    }
    return fields;
  }

  private field(name: string): Field | undefined {
    return Object.hasOwn(this.collection.fields, name) ? this.collection.fields[name] : undefined;
  }

  create(value: JsonObject): void {
    const given: JsonObject = {};
    for (const name in value) {
      const field = this.field(name);
      if (field?.stamped) continue;
      if (field && (value[name] !== null || mayBeNull(field))) given[name] = value[name]!;
      else this.held.push({ op: "set", path: "/" + name, value: value[name]! });
    }
    this.fields = { ...defaults(this.collection), ...given };
    this.ops = [{ op: "create", value: given }];
  }

  /** A create of a record that exists: the fields given, as the ops they come to. */
  merge(value: JsonObject): void {
    const names = Object.keys(value).filter((name) => this.field(name) && !this.field(name)!.stamped);
    for (const name of names) {
      if (this.isIdenticalText(name, value[name]!)) this.texts.set(name, rules?.pastIdentical(this.waiting(name), [value[name] as string]) ?? []);
    }
    const skipped = new Set(this.texts.keys());
    for (const name of names) {
      const given = value[name]!;
      const { kind, default: standard = null } = this.field(name)!;
      const path = "/" + name;
      if (kind === "text") {
        if (!skipped.has(name) && given !== (standard ?? "")) this.takeOp({ op: "splice", path, edits: [[0, lengthOf((standard as string) ?? ""), given as string]] });
      } else if (kind === "counter") this.takeOp({ op: "add", path, by: (given as number) - ((standard as number) ?? 0) });
      else if (kind === "set") this.takeOp({ op: "include", path, items: given as string[] });
      else this.takeOp({ op: "set", path, value: given });
    }
  }

  private isIdenticalText(name: string, value: Json): boolean {
    const field = this.field(name)!;
    if (field.kind !== "text" || value === textDefault(field)) return false;
    return value === this.fields[name] || this.since.some(({ ops }) => ops[0]?.op === "create" && ops[0].value[name] === value);
  }

  /** All or none: everything is held anew, in order, so that texts are composed as they were typed. */
  holdAll(): void {
    this.fields = this.before;
    this.ops = [];
    this.held = [];
    this.texts = new Map();
    for (const op of this.mutation.ops) op.op === "splice" ? this.holdText(op) : this.held.push(op);
  }

  waiting(name: string): readonly Waiting[] {
    return this.texts.get(name) ?? rules?.gather(this.context, name, this.mutation.base, this.since, textDefault(this.field(name)!)) ?? [];
  }

  private take(op: Op): void {
    this.fields = applyOps(this.fields, [op], this.collection).fields;
    this.ops.push(op);
  }

  takeOp(op: PlaceOp): void {
    const segments = parse(op.path);
    const field = this.field(segments[0]!);
    if (field?.stamped) return;
    if (!field || (segments.length > 1 && field.kind !== "json")) this.held.push(op);
    else if (op.op === "set" || op.op === "unset") this.takeSet(op, field, segments);
    else if (op.op === "splice") this.takeSplice(op, segments[0]!);
    else if (op.op === "exclude") {
      const kept = this.since.length ? rules!.included(this.since, op.path) : undefined;
      const items = op.items.filter((item) => !kept?.has(item));
      if (items.length) this.take(items.length < op.items.length ? { ...op, items } : op);
    } else if (op.op === "add" && !Number.isSafeInteger((this.fields[segments[0]!] as number) + op.by)) this.held.push(op);
    else this.take(op);
  }

  private takeSet(op: SetOp | UnsetOp, field: Field, segments: readonly string[]): void {
    const isNull = op.op === "unset" || op.value === null;
    if ((segments.length < 2 && isNull && !mayBeNull(field)) || isFiner(field.kind)) {
      this.held.push(op);
      return;
    }
    const rivals = this.since.length ? rules!.rivalsAt(this.since, op.path) : [];
    if (rivals.length && field.merge === "ask") {
      const mine = op.op === "set" ? op.value : null;
      if (same(mine, valueAt(this.fields, segments) ?? null)) this.take(op);
      else this.held.push(op);
      return;
    }
    const inside = rivals.length ? rules!.newerInside(rivals, op.path, this.mutation.stamp, this.deviceId) : [];
    if (!inside) return;
    this.take(op);
    for (const one of inside) this.take(one);
  }

  private takeSplice(op: SpliceOp, name: string): void {
    const change = text.fromEdits(op.edits);
    const waiting = this.waiting(name);
    const [after, rebased] = waiting.length ? rules!.passOver(waiting, change, this.deviceId) : [[], change];
    const now = this.fields[name] as string;
    if (waiting.some((other) => other.deviceId === rules!.TAKEN_BACK) || text.span(rebased) > lengthOf(now)) {
      this.holdText(op);
      return;
    }
    this.texts.set(name, after);
    this.take(waiting.length ? { ...op, edits: text.toEdits(rebased) } : op);
  }

  private holdText(op: SpliceOp): void {
    const name = parse(op.path)[0]!;
    if (rules) this.texts.set(name, rules.takenBack(this.waiting(name), text.fromEdits(op.edits), this.deviceId, EXPECTED));
    this.held.push(op);
  }
}

const mayBeNull = (field: Field): boolean => field.optional === true || field.kind === "json";
