/** A Text bound to an input: places there are UTF-16 units, on the wire code points. Defends P3 (never dropped). */
import { describe, expect, test } from "vitest";
import { typed } from "../src/changes.js";
import { byPoints, lengthOf, pointsAt, slice, unitsAt } from "../src/core/points.js";
import { apply, fromEdits } from "../src/core/text.js";

const LETTERS = ["a", "b", " ", "é", "😀", "𐀀", "\uffff", "漢"];
const some = (length: number): string => Array.from({ length: Math.floor(Math.random() * length) }, () => LETTERS[Math.floor(Math.random() * LETTERS.length)]).join("");

describe("places", () => {
  test("UTF-16 units and code points lead to each other", () => {
    for (let i = 0; i < 2_000; i++) {
      const text = some(12);
      const letters = [...text];
      expect(lengthOf(text)).toBe(letters.length);
      for (let at = 0; at <= letters.length; at++) {
        const units = letters.slice(0, at).join("").length;
        expect(unitsAt(text, at)).toBe(units);
        expect(pointsAt(text, units)).toBe(at);
        expect(slice(text, at)).toBe(letters.slice(at).join(""));
        expect(slice(text, 0, at)).toBe(letters.slice(0, at).join(""));
      }
    }
  });

  test("a place between the halves of a pair counts as before it", () => expect(pointsAt("a😀b", 2)).toBe(1));

  test("texts are ordered by code points, as the server orders them", () => {
    for (let i = 0; i < 2_000; i++) {
      const [left, right] = [some(4), some(4)];
      const [a, b] = [[...left], [...right]].map((letters) => letters.map((one) => one.codePointAt(0)!.toString(16).padStart(6, "0")).join(""));
      expect(Math.sign(byPoints(left, right))).toBe(a === b ? 0 : a! < b! ? -1 : 1);
    }
  });
});

describe("typing", () => {
  test("whatever the input holds afterwards, the edit makes the same of the text", () => {
    for (let i = 0; i < 5_000; i++) {
      const before = some(12);
      const at = Math.floor(Math.random() * ([...before].length + 1));
      const gone = Math.floor(Math.random() * 4);
      const after = [...before].slice(0, at).join("") + some(4) + [...before].slice(at + gone).join("");
      const caret = Math.random() < 0.5 ? undefined : Math.floor(Math.random() * (after.length + 1));
      expect(apply(before, fromEdits([typed(before, after, caret)]))).toBe(after);
    }
  });

  test("of several equal letters, the one at the cursor was typed", () => {
    expect(typed("aaa", "aaaa", 1)).toEqual([0, 0, "a"]);
    expect(typed("aaa", "aaaa", 3)).toEqual([2, 0, "a"]);
    expect(typed("aaaa", "aaa", 1)).toEqual([1, 1, ""]);
  });

  test("half of a pair is never sent", () => {
    expect(typed("😀", "😁")).toEqual([0, 1, "😁"]);
    expect(typed("a😀", "a😃😀", 3)).toEqual([1, 0, "😃"]);
  });
});
