/** A real server for tests: what `holdfast serve` runs (served.py), on a free port of loopback, with one organisation, that can be killed and started again. */
import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import type { Schema } from "../src/core/schema.js";
import { MemoryStore } from "../src/device/memory.js";
import { open, type Client, type Options } from "../src/client.js";
import type { Sync } from "../src/net/sync.js";
import { PROJECT } from "./vectors.js";

const PYTHON = process.env.HOLDFAST_PYTHON ?? `${PROJECT}.venv/bin/python`;
/** The line that served.py says first. */
const TOLD = /^\{"token".*\}$/m;
const HERE = `${PROJECT}web/packages/client/tests`;

// The device takes the browser's own; Node 20 has none.
globalThis.WebSocket ??= WebSocket as unknown as typeof globalThis.WebSocket;

/** A device whose connecting part is loaded. */
export type Connected = Client & { readonly sync: Sync };

export class Server {
  readonly folder = mkdtempSync(join(tmpdir(), "holdfast-web-"));
  schema!: Schema;
  token = "";
  address = "";
  private process: ChildProcess | undefined;

  /** Resolves once it listens, on the port of before, so that devices find it again. */
  async start(): Promise<this> {
    const port = this.address ? new URL(this.address).port : "0";
    const child = spawn(PYTHON, [`${HERE}/served.py`, join(this.folder, "data"), port], { env: { ...process.env, PYTHONPATH: HERE }, stdio: ["ignore", "pipe", "pipe"] });
    this.process = child;
    let said = "";
    this.address = await new Promise((resolve, reject) => {
      child.stdout.on("data", (part: Buffer) => {
        said += part;
        const found = /http:\/\/[\d.]+:\d+/.exec(said);
        if (found && TOLD.test(said)) resolve(found[0]);
      });
      child.stderr.on("data", (part: Buffer) => (said += part));
      child.on("exit", (code) => reject(new Error(`The server ended (${code}): ${said.slice(-2_000)}`)));
    });
    const told = JSON.parse(TOLD.exec(said)![0]);
    this.schema = told.schema;
    this.token ||= told.token;
    return this;
  }

  /** As the power goes. */
  async kill(): Promise<void> {
    const child = this.process;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.on("exit", resolve));
    child.kill("SIGKILL");
    await ended;
    this.process = undefined;
  }

  /** The data folder as it is now; only while the server is down. */
  backup(name: string): void {
    cpSync(join(this.folder, "data"), join(this.folder, name), { recursive: true, filter: (path) => !path.endsWith(".sock") });
  }

  restore(name: string): void {
    rmSync(join(this.folder, "data"), { recursive: true });
    cpSync(join(this.folder, name), join(this.folder, "data"), { recursive: true });
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A device of the one person. */
  async device(options: Partial<Options> = {}): Promise<Connected> {
    const client = await open({ server: this.address, schema: this.schema, token: this.token, hold: { ms: 0, msMax: 0 }, store: new MemoryStore(), ...options });
    await client.connected;
    return client as Connected;
  }

  /** A record as the server has it. */
  async record(collection: string, id: string): Promise<{ fields: Record<string, unknown>; rev: number; deleted: boolean }> {
    const answer = await fetch(`${this.address}/v1/records/${collection}/${id}?include_deleted=true`, { headers: { authorization: `Bearer ${this.token}` } });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
    return (await answer.json()) as never;
  }
}

/** Resolves once `what` is true; says what it waited for. */
export async function until(what: () => boolean | Promise<boolean>, said: string | (() => string), ms = 8_000): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; ) {
    if (await what()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`Not within ${ms} ms: ${typeof said === "string" ? said : said()}`);
}

/** Resolves once the device has nothing unsent and has seen all that the server had when it was asked. */
export const settled = (...devices: Client[]): Promise<void> =>
  until(
    () => devices.every((one) => !one.device.lanes.size && one.status().connection === "live"),
    () => `settled: ${devices.map((one) => JSON.stringify(one.status())).join()}`,
  );
