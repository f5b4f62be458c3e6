/**
 * What differs between two texts, as a person would have typed it, in bounded time; the same algorithm as src/holdfast/core/alignment.py,
 * because device and server must make the same change of a text that is created (`waiting.changeOf`).
 *
 * What both ends share is set aside; the middles are cut into tokens and aligned by Myers' greedy algorithm. Where that would take too
 * long they are first cut at short runs of tokens that occur exactly once in both (patience). All pieces of one call share one allowance
 * of steps; what exceeds it is replaced as a whole. Words that differ are aligned by code points if alike. What could as well stand a
 * little further left is moved to where it is whole words.
 *
 * Sources: E. W. Myers, An O(ND) Difference Algorithm and Its Variations (1986); B. Cohen's patience diff.
 */

/** (start, end) in the old sequence, (start, end) in the new. */
type Block = readonly [i1: number, i2: number, j1: number, j2: number];
/** [offset in the old text, code points replaced, text instead] */
type Replacement = [at: number, count: number, inserted: string];
type Sequence = readonly string[];

const STEPS_MAX = 400_000;
const STEPS_OF_PIECE_MAX = 100_000;
const ANCHOR_TOKENS = [12, 4, 1];
const SLIDE_MAX = 64;
const ALIKE_MAX = 400;

// Python's \s and \w, spelt out: JavaScript's \s differs by some control signs and the byte order mark.
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const TOKEN = new RegExp(`\\n|(?:(?!\\n)[${SPACE}])+|[\\p{L}\\p{N}_]+|[^${SPACE}\\p{L}\\p{N}_]`, "gu");
const IN_WORD = /^[\p{L}\p{N}]$/u;

/** Rising and apart; [] for equal texts. Offsets and counts are code points. */
export function replacements(before: string, after: string): Replacement[] {
  if (before === after) return [];
  const old = [...before];
  const [start, a, b] = differing(old, [...after]);
  if (!a.length || !b.length) return [wholeWords(old, start, a.length, b, 0)];
  const steps = { left: STEPS_MAX };
  const found: Replacement[] = [];
  let last = -1;
  for (const [at, was, is] of hunks(a.join(""), b.join(""), steps)) {
    for (const [inner, count, inserted] of inside(was, is, steps)) {
      const made = wholeWords(old, start + at + inner, count, inserted, last + 1);
      found.push(made);
      last = made[0] + made[1];
    }
  }
  return found;
}

/** [what both start with, what is left of each without the ends they share] */
function differing(old: Sequence, now: Sequence): [start: number, a: Sequence, b: Sequence] {
  const most = Math.min(old.length, now.length);
  let start = 0;
  while (start < most && old[start] === now[start]) start++;
  let end = 0;
  while (end < most - start && old[old.length - 1 - end] === now[now.length - 1 - end]) end++;
  return [start, old.slice(start, old.length - end), now.slice(start, now.length - end)];
}

function hunks(old: string, now: string, steps: Steps): [at: number, was: Sequence, is: Sequence][] {
  const a = old.match(TOKEN) ?? [];
  const b = now.match(TOKEN) ?? [];
  let at = 0;
  let last = 0;
  return blocks(a, b, steps).map(([i1, i2, j1, j2]) => {
    while (last < i1) at += [...a[last++]!].length;
    return [at, [...a.slice(i1, i2).join("")], [...b.slice(j1, j2).join("")]];
  });
}

/** The replacements within one hunk: only what differs of words that are alike, else the hunk less what its ends share. */
function inside(was: Sequence, is: Sequence, steps: Steps): [at: number, count: number, inserted: Sequence][] {
  const [start, a, b] = differing(was, is);
  if (a.length && b.length && a.length + b.length <= ALIKE_MAX) {
    const found = blocks(a, b, steps);
    const replaced = found.reduce((sum, [i1, i2]) => sum + i2 - i1, 0);
    if (2 * (a.length - replaced) >= Math.max(a.length, b.length)) return found.map(([i1, i2, j1, j2]) => [start + i1, i2 - i1, b.slice(j1, j2)]);
  }
  return [[start, a.length, b]];
}

/** The same insertion or deletion, at most so far left as `first`, where it is whole words. */
function wholeWords(old: Sequence, at: number, count: number, inserted: Sequence, first: number): Replacement {
  if (!count || !inserted.length) {
    const stretch = inserted.length ? inserted : old.slice(at, at + count);
    const size = stretch.length;
    for (let left = 0; left <= Math.min(size, at - first, SLIDE_MAX); left++) {
      if (left && old[at - left] !== stretch[size - left]) break;
      const moved = at - left;
      const slid = [...stretch.slice(size - left), ...stretch.slice(0, size - left)];
      if (!isInWord(old[moved - 1], slid[0]) && !isInWord(slid[size - 1], old[moved + count])) return [moved, count, inserted.length ? slid.join("") : ""];
    }
  }
  return [at, count, inserted.join("")];
}

const isInWord = (left = "", right = ""): boolean => IN_WORD.test(left) && IN_WORD.test(right);

interface Steps {
  left: number;
}

/** What differs, rising and apart. */
function blocks(a: Sequence, b: Sequence, steps: Steps): Block[] {
  const found: Block[] = [];
  const pieces: Block[] = [[0, a.length, 0, b.length]];
  for (let piece = pieces.pop(); piece; piece = pieces.pop()) {
    piece = trimmed(a, b, piece);
    const [i1, i2, j1, j2] = piece;
    if (i1 === i2 || j1 === j2) {
      if (i1 !== i2 || j1 !== j2) found.push(piece);
      continue;
    }
    const exact = myers(a, b, piece, steps);
    if (exact) {
      found.push(...exact);
      continue;
    }
    let cut: Block[] = [];
    for (const size of steps.left > 0 ? ANCHOR_TOKENS : []) if (cut.length < 2) cut = cutAtAnchors(a, b, piece, size);
    if (cut.length > 1) pieces.push(...cut.reverse());
    else found.push(piece);
  }
  return found;
}

function trimmed(a: Sequence, b: Sequence, [i1, i2, j1, j2]: Block): Block {
  for (; i1 < i2 && j1 < j2 && a[i1] === b[j1]; i1++) j1++;
  for (; i1 < i2 && j1 < j2 && a[i2 - 1] === b[j2 - 1]; i2--) j2--;
  return [i1, i2, j1, j2];
}

/** Diagonal (x - y) -> furthest x with so many differences. */
type Reached = Map<number, number>;

/** Whether the way to diagonal `k` comes down from the one above (an insertion), and to which x. */
function step(reached: Reached, k: number): [isDown: boolean, x: number] {
  const down = reached.get(k + 1) ?? -1;
  const right = (reached.get(k - 1) ?? -2) + 1;
  return [down >= right, Math.max(down, right)];
}

/** The fewest insertions and deletions of one piece; undefined if that takes more steps than a piece has. */
function myers(a: Sequence, b: Sequence, piece: Block, steps: Steps): Block[] | undefined {
  const [i1, i2, j1, j2] = piece;
  const n = i2 - i1;
  const m = j2 - j1;
  const most = Math.min(STEPS_OF_PIECE_MAX, steps.left);
  let left = most;
  let reached: Reached = new Map([[1, 0]]);
  const trace: Reached[] = [];
  for (let d = 0; d <= n + m && left >= 0; d++) {
    trace.push(reached);
    const furthest: Reached = new Map();
    for (let k = d <= m ? -d : d - 2 * m; k <= (d <= n ? d : 2 * n - d); k += 2) {
      let x = step(reached, k)[1];
      for (; x < n && x - k < m && a[i1 + x] === b[j1 + x - k]; x++) left--;
      furthest.set(k, x);
      left -= 2;
      if (x >= n && x - k >= m) {
        steps.left -= most - left;
        return walkedBack(trace, piece);
      }
    }
    reached = furthest;
  }
  steps.left -= most - left;
  return undefined;
}

/** The path that Myers' search took, read from its end, as blocks. */
function walkedBack(trace: readonly Reached[], [i1, i2, j1, j2]: Block): Block[] {
  let x = i2 - i1;
  let y = j2 - j1;
  const found: Block[] = [];
  for (let d = trace.length - 1; d > 0; d--) {
    const reached = trace[d]!;
    const [isDown] = step(reached, x - y);
    const k = x - y + (isDown ? 1 : -1);
    const beforeX = reached.get(k)!;
    const beforeY = beforeX - k;
    const last = found.at(-1);
    const [afterX, afterY] = isDown ? [beforeX, beforeY + 1] : [beforeX + 1, beforeY];
    if (last && last[0] === i1 + afterX && last[2] === j1 + afterY) found[found.length - 1] = [i1 + beforeX, last[1], j1 + beforeY, last[3]];
    else found.push([i1 + beforeX, i1 + afterX, j1 + beforeY, j1 + afterY]);
    x = beforeX;
    y = beforeY;
  }
  return found.reverse();
}

/** The pieces between runs of `size` tokens that occur once on both sides, in the same order on both. */
function cutAtAnchors(a: Sequence, b: Sequence, [i1, i2, j1, j2]: Block, size: number): Block[] {
  const onlyB = once(b, j1, j2, size);
  const pairs: [number, number][] = [];
  for (const [run, i] of once(a, i1, i2, size)) if (onlyB.has(run)) pairs.push([i, onlyB.get(run)!]);
  const cut: Block[] = [];
  for (const [i, j] of rising(pairs)) {
    if (i >= i1 && j >= j1) {
      cut.push([i1, i, j1, j]);
      i1 = i + size;
      j1 = j + size;
    }
  }
  cut.push([i1, i2, j1, j2]);
  return cut;
}

/** Start of each run of `size` tokens that occurs exactly once in the stretch, in order. A token holds no U+0000, which joins them. */
function once(sequence: Sequence, start: number, end: number, size: number): Map<string, number> {
  const found = new Map<string, number>();
  const more = new Set<string>();
  for (let at = start; at <= end - size; at++) {
    const run = sequence.slice(at, at + size).join("\0");
    if (found.has(run)) more.add(run);
    else found.set(run, at);
  }
  for (const run of more) found.delete(run);
  return found;
}

/** The longest run of pairs that rises in both (they rise in the first already). */
function rising(pairs: readonly [number, number][]): [number, number][] {
  const at: number[] = []; // which pair ends a run of each length with the smallest j
  const before: number[] = [];
  pairs.forEach(([, j], index) => {
    let place = 0;
    for (let high = at.length; place < high; ) {
      const middle = (place + high) >> 1;
      if (pairs[at[middle]!]![1] < j) place = middle + 1;
      else high = middle;
    }
    before.push(place ? at[place - 1]! : -1);
    at[place] = index;
  });
  const run: [number, number][] = [];
  for (let index = at.at(-1) ?? -1; index >= 0; index = before[index]!) run.push(pairs[index]!);
  return run.reverse();
}
