/**
 * Applying ops to a record's fields, and their exact inverse; the rules of src/holdfast/core/apply.py.
 *
 * Nothing given is mutated; objects are copied along the path that changes. The inverse is a list of ops in the order to be applied.
 * A `set` whose parents are missing makes them, and its inverse removes the leaf, then each parent it made if that is empty by then
 * (`if_empty`). A parent that is no object becomes one; the inverse puts back what it was. At the top a field always holds a value.
 */
import { malformed } from "./errors.js";
import type { Op, PlaceOp, SetOp, UnsetOp } from "./facts.js";
import { isWhole } from "./facts.js";
import { first, parse, render } from "./pointer.js";
import { byPoints, lengthOf } from "./points.js";
import { isFiner, type Collection, type Field, type Kind } from "./schema.js";
import * as text from "./text.js";
import { isObject, member, put, type Json, type JsonObject } from "./values.js";

const COUNTER_MAX = Number.MAX_SAFE_INTEGER;
const KINDS: { [op: string]: Kind } = { splice: "text", add: "counter", include: "set", exclude: "set" };

export interface Applied {
  readonly fields: JsonObject;
  readonly undo: Op[];
}

/** The fields after `ops`, which apply in order, and their inverse. Raises malformed for an op that does not fit its field. */
export function applyOps(fields: JsonObject, ops: readonly Op[], collection: Collection): Applied {
  const undo: Op[] = [];
  for (const op of ops) {
    if (isWhole(op)) throw malformed(`${op.op} changes the record, not its fields`);
    const made = applied(fields, op, collection);
    fields = made.fields;
    undo.unshift(...made.undo);
  }
  return { fields, undo };
}

function applied(fields: JsonObject, op: PlaceOp, collection: Collection): Applied {
  const name = first(op.path);
  const field = Object.hasOwn(collection.fields, name) ? collection.fields[name]! : undefined;
  if (!field) throw malformed("There is no such field", op.path);
  const segments = parse(op.path);
  const wanted = KINDS[op.op];
  if (wanted ? field.kind !== wanted || segments.length > 1 : isFiner(field.kind)) throw malformed(`${op.op} does not fit ${name}`, op.path);
  if (segments.length > 1 && field.kind !== "json") throw malformed(`${name} has no places inside it`, op.path);
  const change = (value: Json, ...undo: Op[]): Applied => ({ fields: { ...fields, [name]: value }, undo });
  switch (op.op) {
    case "set":
      return segments.length > 1 ? setInside(fields, op, segments) : change(op.value, { op: "set", path: op.path, value: fields[name] ?? null });
    case "unset":
      return segments.length > 1 ? unsetInside(fields, op, segments) : unset(fields, op, field, name);
    case "splice": {
      const done = text.fromEdits(op.edits);
      if (!done.length) return { fields, undo: [] };
      const now = fields[name] as string;
      if (text.span(done) > lengthOf(now)) throw malformed("An edit lies outside of the text", op.path);
      return change(text.apply(now, done), { op: "splice", path: op.path, edits: text.toEdits(text.invert(now, done)) });
    }
    case "add": {
      const before = fields[name] as number;
      const after = Math.max(-COUNTER_MAX, Math.min(COUNTER_MAX, before + op.by));
      return after === before ? { fields, undo: [] } : change(after, { op: "add", path: op.path, by: before - after });
    }
    default: {
      const held = new Set(fields[name] as string[]);
      const isAdding = op.op === "include";
      const items = [...new Set(op.items)].filter((item) => held.has(item) !== isAdding).sort(byPoints);
      for (const item of items) isAdding ? held.add(item) : held.delete(item);
      return items.length ? change([...held].sort(byPoints), { op: isAdding ? "exclude" : "include", path: op.path, items }) : { fields, undo: [] };
    }
  }
}

function unset(fields: JsonObject, op: UnsetOp, field: Field, name: string): Applied {
  if (!field.optional && field.kind !== "json") throw malformed(`${name} is not optional: it always has a value`, op.path);
  const before = fields[name] ?? null;
  if (before === null || (op.if_empty && !isEmpty(before))) return { fields, undo: [] };
  return { fields: { ...fields, [name]: null }, undo: [{ op: "set", path: op.path, value: before }] };
}

const isEmpty = (value: Json): boolean => isObject(value) && !Object.keys(value).length;

function setInside(fields: JsonObject, op: SetOp, segments: readonly string[]): Applied {
  const after = { ...fields };
  const last = segments.length - 1;
  let node: JsonObject = after;
  for (let depth = 0; depth < last; depth++) {
    const segment = segments[depth]!;
    const child = member(node, segment);
    if (isObject(child)) {
      const copy = { ...child };
      put(node, segment, copy);
      node = copy;
      continue;
    }
    let value = op.value;
    for (const made of segments.slice(depth + 1).reverse()) {
      const parent: JsonObject = {};
      put(parent, made, value);
      value = parent;
    }
    put(node, segment, value);
    if (child !== undefined && (depth || child !== null)) return { fields: after, undo: [{ op: "set", path: render(segments.slice(0, depth + 1)), value: child }] };
    const undo: Op[] = [{ op: "unset", path: op.path }];
    for (let end = last; end > depth; end--) undo.push({ op: "unset", path: render(segments.slice(0, end)), if_empty: true });
    return { fields: after, undo };
  }
  const leaf = segments[last]!;
  const before = member(node, leaf);
  put(node, leaf, op.value);
  return { fields: after, undo: [before === undefined ? { op: "unset", path: op.path } : { op: "set", path: op.path, value: before }] };
}

function unsetInside(fields: JsonObject, op: UnsetOp, segments: readonly string[]): Applied {
  const found = valueAt(fields, segments);
  if (found === undefined || (op.if_empty && !isEmpty(found))) return { fields, undo: [] };
  const after = { ...fields };
  let node: JsonObject = after;
  for (const segment of segments.slice(0, -1)) {
    const copy = { ...(member(node, segment) as JsonObject) };
    put(node, segment, copy);
    node = copy;
  }
  delete node[segments.at(-1)!];
  return { fields: after, undo: [{ op: "set", path: op.path, value: found }] };
}

/** The value at a place; undefined where nothing is. */
export function valueAt(fields: JsonObject, segments: readonly string[]): Json | undefined {
  let value: Json | undefined = fields;
  for (const segment of segments) value = isObject(value) ? member(value, segment) : undefined;
  return value;
}
