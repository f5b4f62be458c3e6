/** Fast typing on a bad link: late answers, pages that arrive in the middle of a word and connections that break never change what a
 * person sees typed. Defends P3 (never dropped) and P5 (what is shown is so). */
import { afterAll, beforeAll, expect, test } from "vitest";
import { lengthOf } from "../src/core/points.js";
import { Server, settled, until, type Connected } from "./server.js";

const SEED = Number(process.env.HOLDFAST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const TEXTS = Number(process.env.HOLDFAST_TEXTS ?? 200);
const STROKES = 50;

let server: Server;
beforeAll(async () => {
  server = await new Server().start();
});
afterAll(() => server.end());

/** Numbers between 0 and 1 from a seed (mulberry32). */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every message of this device's sockets is late by up to `ms`, in order; now and then a socket breaks. */
function delay(device: Connected, ms: number, rng: () => number): void {
  const { wire } = device.sync;
  const make = wire.socket.bind(wire);
  wire.socket = () => {
    const socket = make();
    const send = socket.send.bind(socket);
    let sent = Promise.resolve();
    let heard = Promise.resolve();
    const later = (tail: Promise<void>, what: () => void): Promise<void> => tail.then(() => new Promise<void>((resolve) => setTimeout(resolve, rng() * ms))).then(what);
    socket.send = (data) => void (sent = later(sent, () => socket.readyState === 1 && send(data)));
    return new Proxy(socket, {
      get: (target, name) => {
        const value = Reflect.get(target, name) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
      set: (target, name, value) => {
        const listen = value as ((event: unknown) => void) | null;
        if (name === "onmessage" && listen) target.onmessage = (event) => void (heard = later(heard, () => target.onmessage && listen(event)));
        else Reflect.set(target, name, value);
        return true;
      },
    });
  };
  device.sync.tell("went_offline");
  device.sync.tell("came_online");
}

test(`${TEXTS * STROKES} strokes in ${TEXTS} texts, seed ${SEED}`, async () => {
  const rng = random(SEED);
  const [mine, other] = [await server.device({ hold: { ms: 5, msMax: 20 } }), await server.device({ hold: { ms: 3, msMax: 10 } })];
  const ids = Array.from({ length: TEXTS }, () => mine.create("pages", { notes: "" }));
  await settled(mine, other);
  await until(() => ids.every((id) => other.get("pages", id)), "all texts at the other device");
  delay(mine, 12, rng);
  const texts = ids.map((id) => ({ id, binding: mine.text("pages", id, "notes"), own: [] as string[], count: 0 }));
  const isOwn = (letter: string): boolean => letter.codePointAt(0)! >= 0x1f300;
  const seen = (shown: string): string[] => [...shown].filter(isOwn);
  let strokes = 0;
  for (let left = TEXTS * STROKES; left > 0; left--) {
    const text = texts[Math.floor(rng() * TEXTS)]!;
    text.binding.refresh();
    const shown = text.binding.value;
    expect(seen(shown), `what was typed in ${text.id} is on the screen`).toEqual(text.own);
    const letters = [...shown];
    const at = Math.floor(rng() * (letters.length + 1));
    const units = letters.slice(0, at).join("").length;
    if (rng() < 0.2 && at > 0 && isOwn(letters[at - 1]!)) {
      text.binding.splice(units - letters[at - 1]!.length, letters[at - 1]!.length, "");
      text.own.splice(letters.slice(0, at - 1).filter(isOwn).length, 1);
      letters.splice(at - 1, 1);
    } else {
      const letter = String.fromCodePoint(0x1f300 + (text.count++ % 500));
      text.binding.splice(units, 0, letter);
      text.own.splice(letters.slice(0, at).filter(isOwn).length, 0, letter);
      letters.splice(at, 0, letter);
    }
    expect(text.binding.value).toBe(letters.join(""));
    strokes++;
    if (rng() < 0.05) {
      const theirs = other.text("pages", text.id, "notes");
      theirs.splice(Math.floor(rng() * 2) * theirs.value.length, 0, "abc");
    }
    if (rng() < 0.002) {
      mine.sync.tell("went_offline");
      mine.sync.tell("came_online");
    }
    if (left % 25 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await until(() => !mine.device.unanswered().length && !other.device.unanswered().length, "everything sent", 60_000);
  await until(() => ids.every((id) => mine.get("pages", id)!.fields.notes === other.get("pages", id)!.fields.notes), "one text everywhere", 60_000);
  for (const text of texts) expect(seen(text.binding.value)).toEqual(text.own);
  expect(strokes).toBe(TEXTS * STROKES);
  expect(texts.reduce((sum, text) => sum + lengthOf(text.binding.value), 0)).toBeGreaterThan(strokes / 3);
  await Promise.all([mine.close(), other.close()]);
}, 180_000);
