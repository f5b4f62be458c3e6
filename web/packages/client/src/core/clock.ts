/**
 * Hybrid logical clocks. A stamp is milliseconds since 1970 and a counter of 16 bits in one number that exceeds 2^53, hence a bigint.
 * Source: S. Kulkarni and others, Logical Physical Clocks (2014).
 */

export type Stamp = bigint;

export const BITS = 16n;

export const pack = (ms: number | bigint, counter: number | bigint = 0): Stamp => (BigInt(ms) << BITS) + BigInt(counter);
export const latest = (left: Stamp, right: Stamp): Stamp => (left > right ? left : right);

/** A device's next stamp: its clock's time, but always later than `last`, the newest it knows. */
export function tick(last: Stamp, nowMs: number): Stamp {
  const stamp = pack(nowMs);
  return stamp > last ? stamp : last + 1n;
}
