/** The shared vectors: what a device does with values, paths, clocks, texts and ops is what the server does. Defends P2 (once) and P3
 * (never dropped), which rest on both sides reading one change alike. */
import { describe, expect, test } from "vitest";
import { applyOps } from "../src/core/apply.js";
import * as clock from "../src/core/clock.js";
import * as stamp from "../src/core/stamp.js";
import { HoldfastError } from "../src/core/errors.js";
import * as pointer from "../src/core/pointer.js";
import { defaults } from "../src/core/schema.js";
import * as text from "../src/core/text.js";
import { transform } from "../src/core/transform.js";
import { canonical, kept } from "../src/core/values.js";
import { cases, collectionOf, type Case } from "./vectors.js";

function refusal(what: () => unknown): HoldfastError {
  try {
    what();
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError);
    return error as HoldfastError;
  }
  throw new Error("It was taken.");
}

describe("pointers", () => {
  test.each(cases("pointer", "parse"))("%s", (_, { path, segments }: Case) => {
    expect(pointer.parse(path)).toEqual(segments);
    expect(pointer.render(segments)).toBe(path);
  });
  test.each(cases("pointer", "malformed"))("%s is refused", (_, { path }: Case) => void refusal(() => pointer.parse(path)));
  test.each(cases("pointer", "overlaps"))("%s", (_, { left, right, overlaps }: Case) => {
    expect(pointer.overlaps(left, right)).toBe(overlaps);
    expect(pointer.overlaps(right, left)).toBe(overlaps);
  });
});

describe("canonical values", () => {
  test.each(cases("canonical", "canonical"))("%s", (_, { json, canonical: wanted }: Case) => {
    expect(canonical(kept(JSON.parse(json)))).toBe(wanted);
    expect(canonical(kept(JSON.parse(wanted)))).toBe(wanted);
  });
  test.each(cases("canonical", "refused_as_value"))("%s is refused", (_, { json, place }: Case) => {
    const refused = refusal(() => kept(JSON.parse(json)));
    if (place !== undefined) expect(refused.field ?? "").toBe(place);
  });
  test.each(cases("canonical", "no_json"))("%s is no JSON", (_, { json }: Case) => {
    expect(() => kept(JSON.parse(json))).toThrow();
  });
  test.each(cases("canonical", "depth"))("%s", (_, { levels, taken }: Case) => {
    const deep = () => kept(JSON.parse("[".repeat(levels) + "]".repeat(levels)), "/j");
    if (taken) expect(deep()).toBeTruthy();
    else refusal(deep);
  });
  test("what is no JSON value is refused, never written as something else", () => {
    for (const one of [undefined, () => 1, Symbol("s"), 1n, new Date(0), new Map(), NaN, Infinity, [undefined], { a: new Set() }]) refusal(() => kept(one));
    expect(Object.is(kept(-0), 0)).toBe(true);
  });
});

describe("clocks", () => {
  test.each(cases("clock", "stamps"))("%s", (_, { ms, counter, text: shown, packed }: Case) => {
    expect(clock.pack(ms, counter)).toBe(BigInt(packed));
    expect(stamp.render(BigInt(packed))).toBe(shown);
    expect(stamp.parse(shown)).toBe(BigInt(packed));
  });
  test.each(cases("clock", "malformed"))("%s is refused", (_, { text: shown }: Case) => void refusal(() => stamp.parse(shown)));
  test.each(cases("clock", "tick"))("%s", (_, { last, now, next }: Case) => {
    expect(stamp.render(clock.tick(stamp.parse(last), now))).toBe(next);
  });
  test.each(cases("clock", "receive"))("%s", (_, { last, seen, now, next }: Case) => {
    expect(stamp.render(clock.tick(clock.latest(stamp.parse(last), stamp.parse(seen)), now))).toBe(next);
  });
});

describe("texts", () => {
  test.each(cases("text", "edits"))("%s", (_, { edits, change, same_as }: Case) => {
    expect(text.fromEdits(edits)).toEqual(change);
    expect(text.toEdits(change)).toEqual(same_as);
    expect(text.fromEdits(same_as)).toEqual(change);
  });
  test.each(cases("text", "apply"))("%s", (_, { text: given, change, after, inverse, span }: Case) => {
    expect(text.apply(given, change)).toBe(after);
    expect(text.invert(given, change)).toEqual(inverse);
    expect(text.apply(after, inverse)).toBe(given);
    expect(text.span(change)).toBe(span);
  });
  test.each(cases("text", "misfits"))("%s is refused", (_, { text: given, change }: Case) => void refusal(() => text.apply(given, change)));
  test.each(cases("text", "compose"))("%s", (_, { first, second, both }: Case) => expect(text.compose(first, second)).toEqual(both));
  test.each([...cases("text", "transform"), ...cases("text", "random")])("%s", (_, one: Case) => {
    const [left, right] = transform(one.left, one.right, one.left_first);
    expect([left, right]).toEqual([one.left_after, one.right_after]);
    if (one.both === undefined) return;
    expect(text.compose(one.left, right)).toEqual(one.both);
    expect(text.apply(text.apply(one.text, one.left), right)).toBe(one.merged);
    expect(text.apply(text.apply(one.text, one.right), left)).toBe(one.merged);
  });
});

describe("ops", () => {
  const collection = collectionOf("apply");
  test.each(cases("apply", "apply"))("%s", (_, { fields, ops, after, undo }: Case) => {
    const before = { ...defaults(collection), ...fields };
    const frozen = structuredClone(before);
    const made = applyOps(before, ops, collection);
    expect(made.fields).toMatchObject(after);
    expect(made.undo).toEqual(undo);
    expect(before).toEqual(frozen);
    expect(applyOps(made.fields, made.undo, collection).fields).toEqual(before);
  });
  test.each(cases("apply", "malformed"))("%s is refused", (_, { fields, ops, field }: Case) => {
    const refused = refusal(() => applyOps({ ...defaults(collection), ...fields }, ops, collection));
    expect(refused.code).toBe("malformed");
    if (field !== undefined && field !== null) expect(refused.field).toBe(field);
  });
});
