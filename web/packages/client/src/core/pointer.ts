/**
 * JSON Pointers (RFC 6901): the paths of ops. Every place has exactly one spelling, so what compares never parses: two pointers are one
 * place if they are equal as text, one is an ancestor of the other if it is a prefix that ends where a segment ends.
 */
import { malformed } from "./errors.js";

const SEGMENTS_MAX = 200;

/** The segments of `path`: "" -> [], "/a~1b/0" -> ["a/b", "0"]. Raises malformed. */
export function parse(path: string): string[] {
  if (!path) return [];
  const parts = path.split("/");
  if (parts.shift() || parts.length >= SEGMENTS_MAX || /~(?![01])/.test(path)) throw malformed("This is no JSON Pointer (RFC 6901)", path.slice(0, 80));
  return parts.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

const escaped = (segment: string): string => "/" + segment.replaceAll("~", "~0").replaceAll("/", "~1");

/** The inverse of `parse`. */
export const render = (segments: readonly string[]): string => segments.map(escaped).join("");

/** The pointer of the member `segment` of the object at `path`. */
export const join = (path: string, segment: string): string => path + escaped(segment);

/** The first segment, which names the field. Raises malformed. */
export function first(path: string): string {
  const name = parse(path)[0];
  if (name === undefined) throw malformed("A path names a field", path);
  return name;
}

/** Whether `inner` is the place `outer` or lies inside it, by whole segments. */
export const contains = (outer: string, inner: string): boolean => inner === outer || inner.startsWith(outer + "/");

/** Whether two pointers are the same place in the sense of merging. */
export const overlaps = (left: string, right: string): boolean => contains(left, right) || contains(right, left);
