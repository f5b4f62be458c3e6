/** How the log of batches in which records lie is tidied up: small ones become parts of 1,000, and where more lies there than is alive, all
 * of it is written anew. Values well above 64 kB are read five times faster than rows. */
import type { Row } from "../core/facts.js";
import type { Batch } from "./indexed.js";
import type { Key } from "./tables.js";

const PART_RECORDS = 1_000;
/** Batches of fewer records are collapsed. */
export const SMALL_RECORDS = 500;
const SMALL_BATCHES_MAX = 200;

export interface Compacted {
  /** Keys of batches that are no longer needed. */
  readonly gone: readonly number[];
  /** What stands for them, under keys newer than all. */
  readonly parts: readonly [key: number, part: Batch][];
}

/** `batches`: key and length of each, in the order they apply; `fresh`: records in small ones. undefined: it is not worth it yet. */
export function compacted(batches: readonly (readonly [key: number, count: number])[], fresh: ReadonlySet<Key>, records: ReadonlyMap<Key, Row>): Compacted | undefined {
  const small = batches.filter(([, count]) => count < SMALL_RECORDS);
  const lying = batches.reduce((sum, [, count]) => sum + count, 0);
  const isWhole = lying > 2 * records.size + PART_RECORDS;
  if (small.length < SMALL_BATCHES_MAX && !isWhole) return undefined;
  const rows: Batch = isWhole ? [...records] : [...fresh].map((key) => [key, records.get(key) ?? null]);
  const parts: [number, Batch][] = [];
  const last = batches.at(-1)![0];
  for (let at = 0; at < rows.length; at += PART_RECORDS) parts.push([last + 1 + parts.length, rows.slice(at, at + PART_RECORDS)]);
  return { gone: (isWhole ? batches : small).map(([key]) => key), parts };
}
