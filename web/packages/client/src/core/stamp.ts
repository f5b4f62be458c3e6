/** Stamps as the wire has them: "ms:counter". */
import { BITS, pack, type Stamp } from "./clock.js";
import { malformed } from "./errors.js";

const MS_MAX = (1n << 47n) - 1n;
const STAMP = /^(\d{1,16}):(\d{1,5})$/;

export const render = (stamp: Stamp): string => `${stamp >> BITS}:${stamp & 0xffffn}`;

/** The stamp that "ms:counter" says. Raises malformed. */
export function parse(text: string): Stamp {
  const found = STAMP.exec(text);
  if (!found || Number(found[2]) > 0xffff) throw malformed('A stamp is text such as "1763647080000:0"', "edited_at");
  const ms = BigInt(found[1]!);
  return pack(ms < MS_MAX ? ms : MS_MAX, BigInt(found[2]!));
}
