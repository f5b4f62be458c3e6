/**
 * The device of one person in one browser: records in, records out, at once and without a network; what was typed is on the disk first and
 * then at the server.
 */
import { HoldfastError } from "./core/errors.js";
import type { Op, Row } from "./core/facts.js";
import type { Schema } from "./core/schema.js";
import { kept, type Json, type JsonObject } from "./core/values.js";
import { opsOf } from "./changes.js";
import type { Hold } from "./device/answering.js";
import { Device, type Receipt } from "./device/device.js";
import { uuid7 } from "./device/outbox.js";
import { keyOf, type Held, type Key, type OutboxRow, type Store } from "./device/tables.js";
import { IndexedStore } from "./device/indexed.js";
import type { Sync } from "./net/sync.js";
import type { TokenSource } from "./net/wire.js";
import { statusOf, type Status } from "./status.js";
import { TextBinding } from "./text.js";

export interface Options {
  /** Where the server is; default: where this page came from. */
  readonly server?: string;
  /** As `holdfast schema --json` prints it. */
  readonly schema: Schema;
  /** Whose work it is: every person has a database of their own. */
  readonly account?: string;
  /** A token, or something to ask for one; without it, the session cookie signs in. */
  readonly token?: TokenSource;
  /** How long after the last change it is sent, and after the first one at the latest (ms). */
  readonly hold?: Partial<Hold>;
  /** Default: IndexedDB, or memory where there is none (the status says so). */
  readonly store?: Store;
}

export type { Receipt, Row, Status };

export class Client {
  /** Whether what was kept here is gone: the browser has evicted it. */
  readonly isEvicted: boolean;
  /** What needs the network; undefined until that part of the program is loaded. */
  sync: Sync | undefined;
  /** Resolves with it. */
  readonly connected: Promise<Sync>;
  private readonly listeners = new Set<(keys?: ReadonlySet<Key>) => void>();
  private unwatch: (() => void) | undefined;
  private idle: ReturnType<typeof setTimeout> | undefined;
  private isClosed = false;

  constructor(readonly device: Device, address: string, token: TokenSource, hold: Hold, isEvicted: boolean, private readonly release = (): void => undefined) {
    this.isEvicted = isEvicted;
    device.onChanged.add((keys) => {
      if (keys) this.sync?.kick();
      this.tidySoon();
      this.tell(keys);
    });
    this.connected = this.connect(address, token, hold);
  }

  private async connect(address: string, token: TokenSource, hold: Hold): Promise<Sync> {
    for (let wait = 1_000; ; wait = Math.min(2 * wait, 60_000)) {
      try {
        const { prepare, Sync, Wire, watchPage } = await import("./net/engine.js");
        await prepare(this.device.schema);
        const sync = (this.sync = new Sync(this.device, new Wire(address, token), hold, () => this.tell()));
        if (this.isClosed) return sync;
        this.unwatch = watchPage(sync);
        sync.tell("started");
        sync.tell("lease_taken");
        if (globalThis.navigator?.onLine === false) sync.tell("went_offline");
        return sync;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
  }

  private tell(keys?: ReadonlySet<Key>): void {
    for (const listener of [...this.listeners]) listener(keys);
  }

  private tidySoon(): void {
    this.idle ??= setTimeout(() => {
      this.idle = undefined;
      void this.device.writer.store.compact?.(this.device.records).catch(() => undefined);
    }, 10_000);
  }

  // -- reading

  /** The record as this device has it, own unsent work included; undefined if it is not here, or is deleted. */
  get(collection: string, id: string): Row | undefined {
    const { row } = this.device.view(keyOf(collection, id));
    return row?.deleted ? undefined : row;
  }

  /** All records of a collection, by id. */
  list(collection: string): Row[] {
    this.device.collection(collection);
    return this.device.list(collection).filter((row) => !row.deleted);
  }

  /** Told of records ("collection/id") that may look different now; without keys: of the device as a whole. Returns how to stop it. */
  subscribe(listener: (keys?: ReadonlySet<Key>) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  status(): Status {
    return statusOf(this.device, this.sync);
  }

  /** How far the work on a record has come. */
  receipt(collection: string, id: string): Receipt {
    return this.device.receipt(keyOf(collection, id));
  }

  /** What the server would not take; it stays here until it is dropped. */
  refused(): OutboxRow[] {
    return [...this.device.refused.values()];
  }

  drop(id: string): void {
    this.device.drop(id);
  }

  // -- writing

  /** Keeps a new record; its id. Raises invalid. */
  create(collection: string, fields: JsonObject, id: string = uuid7()): string {
    this.device.edit(keyOf(collection, id), () => [{ op: "create", value: kept(fields) as JsonObject }]);
    return id;
  }

  /** Gives fields new values; what has not changed is not written. Raises invalid, not_found. */
  change(collection: string, id: string, fields: { readonly [name: string]: Json }): void {
    this.device.edit(keyOf(collection, id), (row) => opsOf(this.device.collection(collection), kept(fields) as JsonObject, standing(row).fields));
  }

  /** Ops as they are. `isAtomic`: all of them apply, or none. */
  edit(collection: string, id: string, ops: readonly Op[], isAtomic = false): void {
    this.device.edit(keyOf(collection, id), () => ops, isAtomic);
  }

  /** It can be undeleted. */
  delete(collection: string, id: string): void {
    this.device.edit(keyOf(collection, id), (row) => (standing(row).deleted ? [] : [{ op: "delete" }]));
  }

  undelete(collection: string, id: string): void {
    this.device.edit(keyOf(collection, id), (row) => (standing(row).deleted ? [{ op: "undelete" }] : []));
  }

  /** A Text field, to be bound to an input or an editor. */
  text(collection: string, id: string, field: string): TextBinding {
    return new TextBinding(this.device, keyOf(collection, id), field);
  }

  // -- the connection

  /** Ends the wait for the next try. */
  retryNow(): void {
    this.sync?.retryNow();
  }

  /** Somebody has signed in again. */
  signIn(token: TokenSource): void {
    void this.connected.then((sync) => {
      sync.wire.token = token;
      sync.tell("signed_in");
    });
  }

  /** Resolves once the server has acknowledged everything that was made until now. */
  async flush(): Promise<void> {
    const ids = new Set(this.device.unanswered().map((row) => row.id));
    const sync = await this.connected;
    sync.isHurried = true;
    sync.kick();
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.device.unanswered().some((row) => ids.has(row.id))) return;
        sync.isHurried = false;
        stop();
        resolve();
      };
      const stop = this.subscribe(look);
      look();
    });
  }

  /** Resolves once everything is on this device's disk; false: it cannot be written. */
  keep(): Promise<boolean> {
    return this.device.write([], {}, true);
  }

  /** Ends it; what is unsent stays on the disk and is sent by whoever opens it next. */
  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.idle);
    this.unwatch?.();
    this.sync?.tell("closed");
    await this.device.writer.write([]);
    while (this.device.writer.isWriting) await new Promise((resolve) => setTimeout(resolve, 1));
    this.device.writer.store.close();
    this.release();
  }
}

function standing(row: Row | undefined): Row {
  if (!row) throw new HoldfastError("not_found", "There is no such record on this device.");
  return row;
}

/** Opens the device of a person. Nothing is sent before everything kept is read. */
export async function open({ server = "", schema, account = "", token, hold, store }: Options): Promise<Client> {
  const name = `holdfast ${server} ${account}`;
  const release = store ? undefined : await own(name);
  let used = store ?? new IndexedStore(name);
  let held: Held;
  try {
    held = await used.open();
  } catch (error) {
    used = new (await import("./device/memory.js")).NoStore(error);
    held = await used.open();
  }
  // What others did is in what was kept: showing it takes what merges.
  if ([...held.works.values()].some((work) => work.since.length || work.context)) await (await import("./net/engine.js")).prepare(schema);
  const device = new Device(used, schema, held, server);
  return new Client(device, server.replace(/\/$/, ""), token, { ms: 500, msMax: 2_000, ...hold }, held.isEvicted ?? false, release);
}

/** Takes the database for this tab: two that write the same line of edits would be two devices with one name. Returns how to give it back.
 * Raises storage_locked. A browser without locks is trusted to have one tab. */
async function own(name: string): Promise<() => void> {
  if (!globalThis.navigator?.locks) return () => undefined;
  return new Promise((resolve, reject) => {
    void navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (lock) return new Promise<void>((release) => resolve(release));
      reject(new HoldfastError("storage_locked", "This is open in another tab.", "Go on there, or close it."));
      return undefined;
    });
  });
}
