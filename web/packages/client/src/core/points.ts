/**
 * Code points and UTF-16 units. The wire counts Unicode code points, strings here are UTF-16; the two differ only where a text holds
 * surrogate pairs, which most do not. So everything asks first, and counts only then.
 */
const PAIR = /[\ud800-\udbff][\udc00-\udfff]/g;
const MAY_DIFFER = /[\ud800-\udbff]/;

/** Length in code points. */
export function lengthOf(text: string): number {
  return MAY_DIFFER.test(text) ? text.length - (text.match(PAIR)?.length ?? 0) : text.length;
}

/** The place `units` (UTF-16) of `text` in code points. A place within a pair counts as before it. */
export const pointsAt = (text: string, units: number): number => lengthOf(text.slice(0, isWithinPair(text, units) ? units - 1 : units));

/** The place `points` (code points) of `text` in UTF-16 units. */
export function unitsAt(text: string, points: number): number {
  if (!MAY_DIFFER.test(text)) return points;
  let units = 0;
  for (; points > 0 && units < text.length; points--) units += text.codePointAt(units)! > 0xffff ? 2 : 1;
  return units + points;
}

/** A part of `text`, by code points. */
export const slice = (text: string, from: number, to?: number): string => text.slice(unitsAt(text, from), to === undefined ? undefined : unitsAt(text, to));

/** Whether the place lies between the halves of a pair. */
export const isWithinPair = (text: string, units: number): boolean => units > 0 && units < text.length && text.codePointAt(units - 1)! > 0xffff;

/** Orders texts by code points, as the server does; the operator `<` orders by UTF-16 units. */
export function byPoints(left: string, right: string): number {
  if (left === right) return 0;
  if (!MAY_DIFFER.test(left) && !MAY_DIFFER.test(right)) return left < right ? -1 : 1;
  let at = 0;
  while (at < left.length && left[at] === right[at]) at++;
  if (isWithinPair(left, at)) at--;
  return (left.codePointAt(at) ?? -1) < (right.codePointAt(at) ?? -1) ? -1 : 1;
}
