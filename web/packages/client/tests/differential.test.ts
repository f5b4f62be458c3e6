/** Device and server make the same of everything: thousands of random cases, and the recorded stories of vectors/decide.json as the devices
 * in them live through them, with Python's results (tapes.py). Defends P2 (once), P3 (never dropped) and P5 (what is shown is so). */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { applyOps } from "../src/core/apply.js";
import * as stamp from "../src/core/stamp.js";
import type { Change, Context, Entry, Pending, Row } from "../src/core/facts.js";
import { cameBack, entryOf, follow } from "../src/core/follow.js";
import { show } from "../src/core/rebase.js";
import * as text from "../src/core/text.js";
import { transform } from "../src/core/transform.js";
import * as concurrent from "../src/core/concurrent.js";
import { diff } from "../src/core/diff.js";
import { mergeBy } from "../src/core/decide.js";
import "../src/core/words.js";
import { shapeOf } from "../src/core/waiting.js";
import { collectionOf, PROJECT, vectors, type Case } from "./vectors.js";

const PYTHON = process.env.HOLDFAST_PYTHON ?? `${PROJECT}.venv/bin/python`;
const SEED = Number(process.env.HOLDFAST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const COUNT = Number(process.env.HOLDFAST_CASES ?? 400);
const REPLAY = `replay with HOLDFAST_SEED=${SEED} HOLDFAST_CASES=${COUNT} npm test`;

function made(): Map<string, Case[]> {
  if (!existsSync(PYTHON)) throw new Error(`No ${PYTHON}: run make setup-dev, or name an interpreter in HOLDFAST_PYTHON.`);
  const said = execFileSync(PYTHON, ["web/packages/client/tests/tapes.py", `${SEED}`, `${COUNT}`], { cwd: PROJECT, env: { ...process.env, PYTHONPATH: PROJECT }, maxBuffer: 1 << 30 });
  const found = new Map<string, Case[]>();
  for (const line of said.toString().trim().split("\n")) {
    const one = JSON.parse(line);
    const kind = one.vector ? "vector" : one.kind;
    found.set(kind, [...(found.get(kind) ?? []), one]);
  }
  return found;
}

mergeBy(concurrent);
const stories = made();
const COLLECTION = collectionOf("decide");

/** Cases in which a device sends what it does not send by itself, or of a record that is not on it: the server's alone. */
const NOT_A_DEVICES = [
  "a copied outbox that goes on under the old device id is refused as forked",
  "what comes before its predecessor is refused as out of order, and goes on after a refusal under new ids",
  "the same mutation again changes nothing",
  "the same id with other content is refused",
  "an edit of a record that may not be seen or does not exist is held in the same words",
];

/** Every case; the first that differs is told with how to replay it. */
function each(kind: string, least: number, run: (one: Case) => void): void {
  test(`${kind}: ${stories.get(kind)?.length} cases of seed ${SEED}`, () => {
    const found = stories.get(kind) ?? [];
    expect(found.length).toBeGreaterThanOrEqual(least);
    for (const one of found) {
      try {
        run(one);
      } catch (error) {
        (error as Error).message += `\n${REPLAY}\n${JSON.stringify(one).slice(0, 2_000)}`;
        throw error;
      }
    }
  });
}

describe("as Python does it", () => {
  each("text", COUNT, (one) => {
    expect(transform(one.left, one.right, one.left_first)).toEqual(one.transformed);
    expect(text.compose(one.left, one.then)).toEqual(one.composed);
    expect(text.apply(one.text, one.left)).toBe(one.after);
    expect(text.invert(one.text, one.left)).toEqual(one.inverse);
    expect(text.toEdits(one.left)).toEqual(one.edits);
    expect(text.fromEdits(one.edits)).toEqual(one.left);
    expect(text.invertShape(one.left)).toEqual(one.shape);
  });
  each("diff", COUNT, (one) => {
    expect(diff(one.before, one.after)).toEqual(one.edits);
    expect(text.apply(one.before, text.fromEdits(one.edits))).toBe(one.after);
  });
  each("apply", COUNT, (one) => {
    if (one.refused) {
      expect(() => applyOps(one.fields, one.ops, COLLECTION)).toThrow();
      return;
    }
    const done = applyOps(one.fields, one.ops, COLLECTION);
    expect(done.fields).toEqual(one.after);
    expect(done.undo).toEqual(one.undo);
    expect(applyOps(done.fields, done.undo, COLLECTION).fields).toEqual(one.fields);
  });
  each("tape", 20, play);
  each("vector", 100, play);
  test("where nobody else is concerned, the part that merges is not needed", () => expect(alone).toBeGreaterThan(300));
  test("the recorded stories are those of vectors/decide.json", () => {
    const told = new Set(stories.get("vector")!.map((one) => one.name));
    const all: Case[] = vectors("decide").cases;
    expect(all.map((one) => one.name).filter((name) => !told.has(name))).toEqual(NOT_A_DEVICES);
  });
});

let alone = 0;

/** One device's tape: after each step it shows what Python's replica shows, in the same context. */
function play(one: Case): void {
  const me = { deviceId: one.device, actorId: one.device, now: 0 };
  let row: Row | undefined;
  let since: Entry[] = [];
  let context: Context | undefined;
  const waiting: Pending[] = [];
  for (const step of one.tape) {
    if (step.edit) waiting.push({ ...step.edit, stamp: BigInt(step.edit.stamp) });
    else {
      const change: Change = step.change;
      const followed = follow(row, change, COLLECTION)!;
      if (change.device_id === one.device) context = cameBack({ row, since, context }, waiting.shift()!, change, one.device, COLLECTION);
      else since.push(entryOf(change));
      row = followed.row;
      const oldest = Math.min(change.seq + 1, ...waiting.map((left) => left.base));
      since = since.filter((entry) => entry.seq > oldest);
      if (!waiting.length) context = undefined;
      if (row) expect([row.fields, row.deleted, row.rev, row.last]).toEqual(step.pulled);
    }
    const view = show({ row, since, context }, waiting, me, COLLECTION);
    expect(view.row ? { fields: view.row.fields, deleted: view.row.deleted } : null).toEqual(step.shown);
    if (!since.length && !context) {
      mergeBy(undefined);
      expect(show({ row, since }, waiting, me, COLLECTION), "without the part that merges").toEqual(view);
      mergeBy(concurrent);
      alone++;
    }
    expect(shapes(context)).toEqual(step.context && shapesOf(step.context));
    if (waiting.length && step.shown) expect(view.ops).toEqual(step.ops);
  }
  if (one.final) expect(row?.fields).toEqual(one.final);
}

function shapes(context: Context | undefined): unknown {
  if (!context) return null;
  return Object.fromEntries(Object.entries(context.texts).map(([name, waiting]) => [name, waiting.map((w) => [w.seq, w.deviceId, shapeOf(w.change), w.reverts])]));
}

/** Python's shapes, [["+", 1], ["=", 2], …], as this side writes them. */
function shapesOf(context: Case): unknown {
  const sign: { [kind: string]: string } = { "+": "+", "=": "", "-": "-" };
  return Object.fromEntries(Object.entries<Case>(context).map(([name, waiting]) => [name, waiting.map(([seq, device, shape, reverts]: Case) => [seq, device, shape.map(([kind, count]: Case) => sign[kind] + count).join(), reverts])]));
}

test("stamps keep their order and their text", () => expect(stamp.render(stamp.parse("1763647080000:3"))).toBe("1763647080000:3"));
