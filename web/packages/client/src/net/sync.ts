/**
 * Keeps a device in touch: does what its state says (`machine`) until an event comes of it, or from outside. One piece of work at a time;
 * each has a generation, and what an old one still has to say is not heard.
 */
import { HoldfastError } from "../core/errors.js";
import type { Mutation } from "../core/facts.js";
import { Lanes, type Hold, type Result } from "../device/answering.js";
import type { Device } from "../device/device.js";
import { seqOf } from "../device/outbox.js";
import { takePage, Taking } from "../device/taking.js";
import { splitKey, type Key, type OutboxRow } from "../device/tables.js";
import { contractsOf } from "./contracts.js";
import { Machine, type Event, type State } from "./machine.js";
import { Session, type Presence } from "./session.js";
import { type Profile, type PushReply, type Wire } from "./wire.js";

const BACKOFF_MS = 1_000;
const BACKOFF_MS_MAX = 60_000;
const RIGHT_MS = 60_000;
const POLL_MS = 5_000;
const SOCKET_AGAIN_MS = 300_000;
const DISK_RETRY_MS = 5_000;
const RECORDS_ASKED_MAX = 200;
const PUSH_BYTES_MAX = 900 << 10;
/** keepalive requests of a page share 64 KiB. */
const KEEPALIVE_BYTES_MAX = 60_000;

/** Exponential backoff with full jitter: drawn between 0 and a bound that doubles. Source: M. Brooker, Exponential Backoff And Jitter. */
export const backoffMs = (failures: number, leastMs = 0): number => Math.max(leastMs, Math.random() * Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** (failures - 1)));

/** Codes that say: the same call may succeed another time. */
const isOfTheWorld = (code: string): boolean => /^(unreachable|overloaded|rate|storage.*|writer_stopped|internal|unavailable|too_slow|error)$/.test(code);

type Sender = (mutations: readonly Mutation[]) => Promise<PushReply>;

export class Sync {
  readonly machine = new Machine();
  readonly onPresence = new Set<(presence: Presence) => void>();
  /** Why it is not in touch. */
  cause: HoldfastError | undefined;
  /** When it connects again, or sends again (ms of `Date.now`). */
  retryAt = 0;
  /** Somebody waits: nothing is held back. */
  isHurried = false;
  private readonly lanes: Lanes;
  private session: Session | undefined;
  private generation = 0;
  private failures = 0;
  private mustPull = false;
  private kicked: (() => void) | undefined;

  /** `told`: something about the connection has changed. */
  constructor(private readonly device: Device, readonly wire: Wire, hold: Hold, private readonly told: () => void) {
    this.lanes = new Lanes(device, hold, PUSH_BYTES_MAX);
  }

  get state(): State {
    return this.machine.state;
  }

  /** Something happened. `generation`: of the work that says so. */
  tell(event: Event, generation = this.generation): void {
    if (generation !== this.generation) return;
    const before = this.state;
    if (!this.machine.receive(event)) return;
    const { state } = this;
    if (state === "live" || state === "polling") this.cause = undefined;
    if (!(before === "catching_up" && state === "live")) this.begin(state);
    this.told();
  }

  /** Something may be due. */
  kick(): void {
    this.kicked?.();
  }

  retryNow(): void {
    this.retryAt = this.failures = 0;
    this.lanes.retryNow();
    this.tell("retry_now");
    this.kick();
  }

  /** The page was hidden, or the network changed: whether the socket is still there. */
  check(): void {
    this.session?.check();
    this.kick();
  }

  private begin(state: State): void {
    const generation = ++this.generation;
    this.session?.close();
    this.session = undefined;
    this.retryAt = 0;
    this.kick();
    const work = this.work(state, generation);
    if (!work) return;
    work.then(
      (event) => this.tell(event, generation),
      (error) => {
        if (generation !== this.generation) return;
        this.cause = error instanceof HoldfastError ? error : new HoldfastError("internal", String(error));
        const { code } = this.cause;
        this.tell(code === "not_signed_in" || code === "forbidden" ? code : "failed", generation);
      },
    );
  }

  private work(state: State, generation: number): Promise<Event> | undefined {
    switch (state) {
      case "connecting": return this.connect(generation);
      case "polling": return this.poll(generation);
      case "snapshot": return this.rebuild((rebuilding) => rebuilding.takeSnapshot(this.device, this.wire));
      case "recovering": return this.rebuild((rebuilding) => rebuilding.recover(this.device, this.wire));
      case "backing_off":
      case "failing": return this.wait(backoffMs(this.machine.failures, (this.cause?.retryAfter ?? 0) * 1_000));
      case "signed_out":
      case "denied": return this.wait(RIGHT_MS);
      case "catching_up": return this.serve(generation);
      default: return undefined;
    }
  }

  private rebuild(what: (rebuilding: typeof import("./rebuilding.js")) => Promise<Event>): Promise<Event> {
    return import("./rebuilding.js").then(what);
  }

  private async wait(ms: number): Promise<Event> {
    this.retryAt = Date.now() + ms;
    await new Promise((resolve) => setTimeout(resolve, ms));
    return "waited";
  }

  // -- connecting

  private opened: Session | undefined;

  private async connect(generation: number): Promise<Event> {
    const { device, wire } = this;
    if (this.needsSnapshot()) {
      await this.identify((await wire.call<Profile>("GET", "/v1/me")));
      await this.checkAcknowledged();
      return "needs_snapshot";
    }
    const session = new Session(device, wire, {
      event: (event) => {
        if (event === "reset_access") void device.write([], { isReset: true });
        this.tell(event, this.session === session ? this.generation : -1);
      },
      kick: () => this.kick(),
      presence: (presence) => this.onPresence.forEach((listener) => listener(presence)),
    });
    try {
      const welcome = await session.open();
      if (!welcome) {
        await this.identify(await wire.call<Profile>("GET", "/v1/me"));
        return "no_socket";
      }
      await this.identify({ tenant: welcome.tenant, account: welcome.actor_id });
      await this.checkAcknowledged();
    } catch (error) {
      session.close();
      throw error;
    }
    if (generation !== this.generation) session.close();
    this.opened = session;
    return "welcomed";
  }

  private needsSnapshot(): boolean {
    const { meta, schema } = this.device;
    return !meta.cursor || !!meta.isReset || Object.entries(contractsOf(schema)).some(([name, contract]) => (meta.contracts[name] ?? 0) < contract);
  }

  /** What a person queued belongs to that person: another who signs in never sends it. */
  private async identify({ tenant, account }: Profile): Promise<void> {
    const { meta } = this.device;
    if (meta.actorId === undefined) await this.device.write([], { tenant, actorId: account });
    else if (meta.actorId !== account || meta.tenant !== tenant) throw new HoldfastError("forbidden", "This device holds the work of somebody else.", "Sign in as whoever it belongs to, or open a device of your own.");
  }

  /** Whether the server still has what it acknowledged. One that was put back to where this device's cursor stands does not look like
   * another one; but what it acknowledged since is gone. */
  private async checkAcknowledged(): Promise<void> {
    const { device } = this;
    const rows = [...device.lanes.values()].flat().filter((row) => row.state === "acknowledged" && row.answer?.position);
    rows.sort((a, b) => a.answer!.seq - b.answer!.seq);
    const lost: OutboxRow[] = [];
    for (let row = rows.pop(); row; row = rows.pop()) {
      if ((await this.pull(row.answer!.position!, 1)).reset !== "history") break;
      lost.unshift(row);
    }
    if (!lost.length) return;
    for (const row of lost) device.adopt({ ...row, state: "sent", answer: undefined });
    await device.write(lost.map((row) => ["outbox", row.id, { ...row, state: "sent", answer: undefined }]));
  }

  private pull(cursor: string | null, limit?: number): ReturnType<Wire["pull"]> {
    return this.wire.pull(this.device.meta.deviceId, cursor, contractsOf(this.device.schema), limit);
  }

  // -- in touch

  private async serve(generation: number): Promise<Event> {
    const session = (this.session = this.opened!);
    this.opened = undefined;
    session.begin();
    const { deviceId } = this.device.meta;
    const sending = async (): Promise<Event> => {
      while (generation === this.generation && deviceId === this.device.meta.deviceId) {
        await this.sendAll((mutations) => session.push(mutations));
        if (this.mustPull) session.resume();
        this.mustPull = false;
        if (deviceId === this.device.meta.deviceId) await this.pause();
      }
      return "try_socket";
    };
    return Promise.race([sending(), session.ended]);
  }

  private async poll(generation: number): Promise<Event> {
    const { device, wire } = this;
    for (const until = Date.now() + SOCKET_AGAIN_MS; generation === this.generation && Date.now() < until; ) {
      await this.sendAll((mutations) => wire.push(device.meta.deviceId, mutations));
      this.mustPull = false;
      for (let more = true; more; ) {
        const start = device.meta.cursor;
        const page = await this.pull(start);
        if (page.reset) {
          if (page.reset === "access") await device.write([], { isReset: true });
          return page.reset === "history" ? "reset_history" : "reset_access";
        }
        await this.checkAcknowledged();
        await takePage(device, page, start);
        more = page.more;
      }
      await this.pause(POLL_MS);
    }
    return "try_socket";
  }

  /** Until something is due, or is kicked. */
  private async pause(most = Infinity): Promise<void> {
    const { writer } = this.device;
    const wait = Math.max(this.lanes.next(this.isHurried || !!writer.failure) ?? Infinity, this.retryAt - Date.now());
    const ms = Math.min(most, wait, writer.failure ? DISK_RETRY_MS : Infinity);
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.kicked = resolve;
      if (ms < Infinity) timer = setTimeout(resolve, ms + 1);
    });
    clearTimeout(timer);
  }

  // -- going out

  /** Sends what is due and asks what is to be asked, until nothing is left. Rejects where the connection is at an end; what the world did
   * otherwise is waited out. */
  private async sendAll(send: Sender): Promise<void> {
    if (this.device.writer.failure) await this.device.writer.write([]);
    const { deviceId } = this.device.meta; // a socket is the device's that said hello on it
    while (Date.now() >= this.retryAt && deviceId === this.device.meta.deviceId) {
      try {
        if (!((await this.sendDue(send)) || (await this.askWanted()) || (await this.lookAtInbox()))) return;
        this.failures = 0;
      } catch (error) {
        const problem = error as HoldfastError;
        if (!isOfTheWorld(problem.code) || problem.code === "unreachable") throw error;
        this.cause = problem;
        this.retryAt = Date.now() + backoffMs(++this.failures, problem.retryAfter * 1_000);
        this.told();
      }
    }
  }

  /** One push of what is due; whether there was any. */
  private async sendDue(send: Sender): Promise<boolean> {
    const { device, lanes } = this;
    if (device.meta.isForking && (await (await import("../device/refusing.js")).takeNewId(device))) return true;
    const [rows, bodies] = lanes.due(this.isHurried || !!device.writer.failure);
    if (!rows.length) return false;
    await lanes.mark(rows);
    let reply: PushReply;
    try {
      reply = await send(bodies);
    } catch (error) {
      const { code } = error as HoldfastError;
      if (isOfTheWorld(code) || code === "not_signed_in" || code === "forbidden") throw error;
      await this.narrow(rows, error as HoldfastError);
      return true;
    }
    lanes.most = Math.min(500, lanes.most * 2);
    this.mustPull ||= (await lanes.take(reply.results)).mustPull;
    return true;
  }

  /** A push that is refused as a whole: half of it next time; a mutation that is refused alone is so for good. */
  private async narrow(rows: readonly OutboxRow[], { code, message, hint, field }: HoldfastError): Promise<void> {
    this.lanes.most = Math.max(1, rows.length >> 1);
    if (rows.length > 1) return;
    const error = { code, detail: message, hint, ...(field && { field }) };
    await this.lanes.take([{ mutation_id: rows[0]!.id, outcome: "refused", receipt: "refused", error } as Result]);
  }

  private async askWanted(): Promise<boolean> {
    const { device } = this;
    const { wanted } = device.meta;
    if (!wanted.length) return false;
    const keys: Key[] = wanted.filter((key) => !device.lanes.get(key)?.some((row) => row.state === "sent")).slice(0, RECORDS_ASKED_MAX);
    if (!keys.length) return false;
    const lines = await this.wire.records(keys.map((key) => {
      const [collection, record_id] = splitKey(key);
      return { collection, record_id, base: device.records.get(key)?.position ?? null };
    }));
    const taking = new Taking(device, keys);
    for (const line of lines) taking.line(line);
    await taking.end();
    return true;
  }

  private async lookAtInbox(): Promise<boolean> {
    const { device } = this;
    if (!device.meta.isInboxStale) return false;
    device.meta.isInboxStale = false;
    const inbox: (typeof device.meta.inbox)[number][] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: { items: typeof inbox; cursor?: string | null } = await this.wire.call("GET", `/v1/inbox?limit=500${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      inbox.push(...page.items.map(({ id, collection, record_id }) => ({ id: String(id), collection: collection!, record_id: record_id! })));
      cursor = page.cursor || null;
    }
    await device.write([], { inbox });
    device.tell();
    return true;
  }

  /** The page may go away now: everything goes out that a keepalive request can take, whatever else is in flight. */
  async leave(): Promise<void> {
    const { device, lanes, wire } = this;
    const [rows, bodies] = lanes.due(true, KEEPALIVE_BYTES_MAX);
    if (lanes.leaving.size || !rows.length || this.state === "signed_out" || this.state === "denied" || this.state === "closed") return;
    for (const row of rows) lanes.leaving.add(row.id);
    void lanes.mark(rows);
    try {
      await lanes.take((await wire.push(device.meta.deviceId, bodies, { keepalive: true })).results);
    } catch {
      // They stay in the outbox.
    } finally {
      lanes.leaving.clear();
      this.kick();
    }
  }

  /** Seq up to which the server is known to go. */
  get head(): number {
    return Math.max(this.device.meta.head, seqOf(this.device.meta.cursor));
  }
}
