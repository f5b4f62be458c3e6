/**
 * Hybrid logical clocks. A stamp is milliseconds since 1970 and a counter of 16 bits in one number that exceeds 2^53, hence a bigint;
 * on the wire it is "ms:counter". Source: S. Kulkarni and others, Logical Physical Clocks (2014).
 */
import { malformed } from "./errors.js";

export type Stamp = bigint;

const BITS = 16n;
const MS_MAX = (1n << 47n) - 1n;
const STAMP = /^(\d{1,16}):(\d{1,5})$/;

export const pack = (ms: number | bigint, counter: number | bigint = 0): Stamp => (BigInt(ms) << BITS) + BigInt(counter);
export const render = (stamp: Stamp): string => `${stamp >> BITS}:${stamp & 0xffffn}`;

/** The stamp that "ms:counter" says. Raises malformed. */
export function parse(text: string): Stamp {
  const found = STAMP.exec(text);
  if (!found || Number(found[2]) > 0xffff) throw malformed('A stamp is text such as "1763647080000:0"', "edited_at");
  const ms = BigInt(found[1]!);
  return pack(ms < MS_MAX ? ms : MS_MAX, BigInt(found[2]!));
}

export const latest = (left: Stamp, right: Stamp): Stamp => (left > right ? left : right);

/** A device's next stamp: its clock's time, but always later than `last`, the newest it knows. */
export function tick(last: Stamp, nowMs: number): Stamp {
  const stamp = pack(nowMs);
  return stamp > last ? stamp : last + 1n;
}
