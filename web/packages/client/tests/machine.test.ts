/** The states of the connection are those of the Python replica, as docs/internals/sync.md shows them. Defends P5 (answered): both say the
 * same of themselves. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Machine, TRANSITIONS } from "../src/net/machine.js";
import { backoffMs } from "../src/net/sync.js";
import { PROJECT } from "./vectors.js";

test("the table is that of docs/internals/sync.md", () => {
  const rows = [...readFileSync(`${PROJECT}docs/internals/sync.md`, "utf8").matchAll(/^\| `(\w+)` \|[^|]+\| (.+) \|$/gm)];
  const documented = Object.fromEntries(rows.map(([, state, leads]) => [state, Object.fromEntries([...leads!.matchAll(/(\w+) → `(\w+)`/g)].map(([, event, to]) => [event, to]))]));
  delete documented.meta;
  for (const table of ["records", "outbox", "kept", "contexts", "lines", "receipts"]) delete documented[table];
  documented.closed ??= { started: "following" };
  expect(TRANSITIONS).toEqual({ ...documented, closed: { started: "following" } });
});

test("after the first failure and three failed retries it is failing, and goes on", () => {
  const machine = new Machine();
  for (const event of ["started", "lease_taken"] as const) machine.receive(event);
  for (let i = 0; i < 3; i++) {
    machine.receive("failed");
    expect(machine.state).toBe("backing_off");
    machine.receive("waited");
  }
  machine.receive("failed");
  expect(machine.state).toBe("failing");
  machine.receive("waited");
  expect(machine.state).toBe("connecting");
  for (const event of ["welcomed", "caught_up"] as const) machine.receive(event);
  expect([machine.state, machine.failures]).toEqual(["live", 0]);
  expect(machine.receive("waited")).toBe(false);
});

test("waits are drawn between nothing and a bound that doubles up to a minute, and never shorter than the server asks for", () => {
  for (let failures = 1; failures < 12; failures++) {
    const bound = Math.min(60_000, 1_000 * 2 ** (failures - 1));
    const waits = Array.from({ length: 400 }, () => backoffMs(failures));
    expect(Math.max(...waits)).toBeLessThanOrEqual(bound);
    expect(Math.min(...waits)).toBeLessThan(bound / 8);
    expect(Math.max(...waits)).toBeGreaterThan(bound * 0.8);
  }
  expect(backoffMs(1, 30_000)).toBe(30_000);
});
