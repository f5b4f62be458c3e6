/** From new values of a record's fields to the smallest ops that say so: texts as splices, counters as sums, sets by item, Json place by
 * place. The finer the op, the less it can conflict with. */
import { invalid } from "./core/errors.js";
import type { Op } from "./core/facts.js";
import { join } from "./core/pointer.js";
import { isWithinPair, lengthOf } from "./core/points.js";
import type { Collection } from "./core/schema.js";
import type { Edit } from "./core/text.js";
import { isObject, same, type JsonObject } from "./core/values.js";

/** A Json value that differs in more places is set as a whole. */
const PLACES_MAX = 100;

/** The ops that bring `now` to the values `given`. Raises invalid. */
export function opsOf(collection: Collection, given: JsonObject, now: JsonObject): Op[] {
  return Object.entries(given).flatMap(([name, value]): Op[] => {
    const field = Object.hasOwn(collection.fields, name) ? collection.fields[name]! : undefined;
    if (!field || field.stamped) throw invalid(`There is no field ${name} to set`, name);
    const path = "/" + name;
    const before = now[name] ?? null;
    if (same(value, before)) return [];
    if (field.immutable) throw invalid(`${name} never changes once the record exists`, name);
    switch (field.kind) {
      case "text": return [{ op: "splice", path, edits: [typed(before as string, (value as string | null) ?? "")] }];
      case "counter": return [{ op: "add", path, by: (value as number) - (before as number) }];
      case "set": {
        const had = before as string[];
        const has = (value ?? []) as string[];
        const ops: Op[] = [{ op: "include", path, items: has.filter((item) => !had.includes(item)) }, { op: "exclude", path, items: had.filter((item) => !has.includes(item)) }];
        return ops.filter((op) => "items" in op && op.items.length);
      }
      case "json": {
        const places = isObject(value) && isObject(before) ? placesOf(path, before, value) : [];
        return places.length && places.length <= PLACES_MAX ? places : [{ op: "set", path, value }];
      }
      default:
        if (value === null && !field.optional) throw invalid(`${name} always has a value`, name);
        return [value === null ? { op: "unset", path } : { op: "set", path, value }];
    }
  });
}

function placesOf(path: string, before: JsonObject, after: JsonObject): Op[] {
  const ops: Op[] = [];
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const place = join(path, key);
    const old = before[key];
    const now = after[key];
    if (now === undefined) ops.push({ op: "unset", path: place });
    else if (isObject(old) && isObject(now) && Object.keys(old).length && Object.keys(now).length) ops.push(...placesOf(place, old, now));
    else if (old === undefined || !same(old, now)) ops.push({ op: "set", path: place, value: now });
  }
  return ops;
}

/** The one edit that typing comes to: what lies between the ends that both texts share. `caret` (UTF-16 units, in the new text) says which
 * of several equal letters was typed. */
export function typed(before: string, after: string, caret = after.length): Edit {
  const most = Math.min(before.length, after.length);
  let end = 0;
  const endMax = Math.min(most, after.length - caret);
  while (end < endMax && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  let start = 0;
  while (start < most - end && before[start] === after[start]) start++;
  while (end < most - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  if (isWithinPair(before, start) || isWithinPair(after, start)) start--;
  if (isWithinPair(before, before.length - end) || isWithinPair(after, after.length - end)) end--;
  return [lengthOf(before.slice(0, start)), lengthOf(before.slice(start, before.length - end)), after.slice(start, after.length - end)];
}
