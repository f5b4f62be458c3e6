/**
 * JSON values: the canonical form (RFC 8785), and what a value must be to be kept at all. The rules are the server's
 * (docs/values.md); a device applies them when an edit is made, so that what cannot be kept is told to whoever made it.
 *
 * In this language most of RFC 8785 comes for free: its numbers are those of ECMAScript, its keys are sorted by UTF-16 code units.
 */
import { invalid } from "./errors.js";
import { join } from "./pointer.js";

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export const JSON_DEPTH_MAX = 32;
export const JSON_BYTES_MAX = 256 << 10;
export const TEXT_CODE_POINTS_MAX = 200_000;

export const isObject = (value: unknown): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value);

/** The canonical form of a value that `kept` has taken. */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value);
  const members = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key]!)}`);
  return `{${members.join()}}`;
}

/** Whether two values have one canonical form. */
export const same = (left: Json, right: Json): boolean => left === right || (typeof left === "object" && typeof right === "object" && canonical(left) === canonical(right));

/** Bytes of UTF-8 text. */
export const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

const NOT_KEPT = /[\0\p{Surrogate}]/u;

/**
 * `value` as it is kept: a copy of its own, checked. `path` is where it will stand, the field first. Raises invalid, naming the place:
 * U+0000, half a surrogate pair, numbers that are not finite or whole beyond ±(2^53 - 1), what is no JSON, too deep, too long.
 */
export function kept(value: unknown, path = ""): Json {
  const copy = taken(value, path, JSON_DEPTH_MAX - Math.max(path.split("/").length - 2, 0));
  if (typeof copy === "object" && copy && bytesOf(canonical(copy)) > JSON_BYTES_MAX) throw invalid(`The value is longer than ${JSON_BYTES_MAX} bytes`, path);
  return copy;
}

/** Of an object literal or of JSON, from whatever frame; no Date, no Map, no class of somebody's own. */
const isPlain = (value: object): boolean => Object.getPrototypeOf(Object.getPrototypeOf(value) ?? Object.prototype) === null;

function taken(value: unknown, path: string, room: number): Json {
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "string") {
    if (NOT_KEPT.test(value)) throw invalid("The value holds U+0000 or half a surrogate pair", path);
    return value;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21)) throw invalid("The value is no number that every reader can hold", path);
    return value || 0;
  }
  if (Array.isArray(value) || (isObject(value) && isPlain(value))) {
    if (room <= 0) throw invalid(`The value is nested deeper than ${JSON_DEPTH_MAX} levels`, path);
    if (Array.isArray(value)) return Array.from(value, (item, index) => taken(item, join(path, `${index}`), room - 1));
    const made: JsonObject = {};
    for (const key of Object.keys(value)) {
      if (NOT_KEPT.test(key)) throw invalid("A key holds U+0000 or half a surrogate pair", path);
      put(made, key, taken(value[key], join(path, key), room - 1));
    }
    return made;
  }
  throw invalid("The value is no JSON value", path);
}

/** Sets a member also where its name is "__proto__", which an assignment would take for something else. */
export function put(object: JsonObject, key: string, value: Json): void {
  if (key === "__proto__") Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}

/** A member of the object itself, never one of its prototype. */
export const member = (object: JsonObject, key: string): Json | undefined => (Object.hasOwn(object, key) ? object[key] : undefined);
