/**
 * One open socket, from hello to its end: what comes is applied in order, what is due goes out, one push in flight.
 *
 * The server hands changes after the cursor that the device named, in order and without gaps; each message starts where the one before it
 * ended. A message for another cursor means that somebody else moved it: the socket ends, the next one names it anew.
 */
import { HoldfastError } from "../core/errors.js";
import type { Mutation } from "../core/facts.js";
import type { Device } from "../device/device.js";
import { takePage, type Page } from "../device/taking.js";
import type { Problem } from "../device/tables.js";
import { contractsOf } from "./contracts.js";
import type { Event } from "./machine.js";
import { errorOf, unreachable, type PushReply, type Wire } from "./wire.js";

const HELLO_MS_MAX = 10_000;
const ANSWER_MS_MAX = 60_000;
const PONG_MS_MAX = 5_000;
/** A socket that has nothing to tell says nothing: after so long without a change the device has caught up. */
const QUIET_MS = 300;

export interface Presence {
  readonly collection: string;
  readonly record_id: string;
  readonly here: readonly object[];
}

type Message =
  | { readonly type: "welcome"; readonly tenant: string; readonly actor_id: string; readonly heartbeat_ms: number }
  | ({ readonly type: "changes" } & Page)
  | ({ readonly type: "pushed"; readonly id: string } & PushReply)
  | { readonly type: "heartbeat"; readonly cursor: string | null; readonly head: number; readonly backed_up_seq: number }
  | ({ readonly type: "presence" } & Presence)
  | { readonly type: "pong" }
  | { readonly type: "error"; readonly problem: Problem; readonly id?: string | null };

interface Told {
  event(event: Event): void;
  /** Something came in, or went out: there may be more to do. */
  kick(): void;
  presence(presence: Presence): void;
}

export class Session {
  /** Rejects when the socket has ended. */
  readonly ended: Promise<never>;
  private fail!: (error: unknown) => void;
  private socket!: WebSocket;
  private cursor: string | null;
  /** Lets what the server says be taken in. */
  begin!: () => void;
  private tail = new Promise<void>((resolve) => (this.begin = resolve));
  private silence: ReturnType<typeof setTimeout> | undefined;
  private quiet: ReturnType<typeof setTimeout> | undefined;
  private heartbeatMs = ANSWER_MS_MAX;
  private count = 0;
  private greeted: ((message: Message) => void) | undefined;
  private answers = new Map<string, { resolve: (reply: PushReply) => void; reject: (error: unknown) => void }>();
  private isEnded = false;

  constructor(private readonly device: Device, private readonly wire: Wire, private readonly told: Told) {
    this.cursor = device.meta.cursor;
    this.ended = new Promise((_, reject) => (this.fail = reject));
    this.ended.catch(() => this.close());
  }

  /** Opens the socket and says hello; what the server answers. `false`: no socket comes through. */
  async open(): Promise<{ tenant: string; actor_id: string } | false> {
    const token = await this.wire.signature();
    const { device } = this;
    const isOpen = await new Promise<boolean>((resolve) => {
      this.socket = this.wire.socket();
      setTimeout(resolve, HELLO_MS_MAX, false);
      this.socket.onopen = () => resolve(true);
      this.socket.onclose = this.socket.onerror = () => resolve(false);
    });
    if (!isOpen) {
      this.close();
      return false;
    }
    this.socket.onclose = this.socket.onerror = (event) => {
      const code = (event as CloseEvent).code;
      this.fail(code === 4401 ? new HoldfastError("not_signed_in", "The sign-in has ended.") : code === 4403 ? new HoldfastError("forbidden", "This page may not connect.") : unreachable("The connection ended."));
    };
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data as string) as Message);
    const contracts = contractsOf(device.schema);
    const collections = Object.keys(contracts);
    this.hear(HELLO_MS_MAX);
    const welcome = new Promise<Message>((resolve) => (this.greeted = resolve));
    this.say({ type: "hello", device_id: device.meta.deviceId, ...(token && { token }), cursor: this.cursor, collections, contracts, watch: collections });
    const message = await Promise.race([welcome, this.ended]);
    if (message.type === "error") throw errorOf(message.problem);
    if (message.type !== "welcome") throw unreachable("The server did not answer hello.");
    this.heartbeatMs = message.heartbeat_ms;
    this.beQuiet();
    return message;
  }

  close(): void {
    this.isEnded = true;
    clearTimeout(this.silence);
    clearTimeout(this.quiet);
    this.fail(unreachable("The connection was closed."));
    for (const { reject } of this.answers.values()) reject(unreachable("The connection ended."));
    this.answers.clear();
    if (this.socket) {
      this.socket.onmessage = this.socket.onclose = this.socket.onerror = null;
      this.socket.close();
    }
  }

  /** Whether it is still there: a half-open socket looks open. */
  check(): void {
    this.say({ type: "ping", id: "" });
    this.hear(PONG_MS_MAX);
  }

  /** Sends mutations. Rejects if they are not answered in time, or the server cannot take them. */
  async push(mutations: readonly Mutation[]): Promise<PushReply> {
    const id = `${++this.count}`;
    const answer = new Promise<PushReply>((resolve, reject) => this.answers.set(id, { resolve, reject }));
    const late = setTimeout(() => this.answers.get(id)?.reject(unreachable("A push was not answered in time.")), ANSWER_MS_MAX);
    try {
      this.say({ type: "push", id, now: Date.now(), mutations });
      return await answer;
    } finally {
      clearTimeout(late);
      this.answers.delete(id);
    }
  }

  /** Names the cursor anew: what follows it comes again, or the server says that it is of another history. */
  resume(): void {
    this.cursor = this.device.meta.cursor;
    this.say({ type: "resume", cursor: this.cursor });
  }

  say(message: object): void {
    if (this.socket.readyState === 1) this.socket.send(JSON.stringify(message));
  }

  /** The socket is dead if nothing comes within `ms`. */
  private hear(ms: number): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.fail(unreachable("The connection has gone silent.")), ms);
  }

  private receive(message: Message): void {
    this.hear(2.5 * this.heartbeatMs);
    if (this.greeted) {
      this.greeted(message);
      this.greeted = undefined;
    } else if (message.type === "pushed") this.answers.get(message.id)?.resolve(message);
    else if (message.type === "error") {
      if (message.id) this.answers.get(message.id)?.reject(errorOf(message.problem));
      else this.fail(errorOf(message.problem));
    } else if (message.type === "presence") this.told.presence(message);
    else if (message.type === "changes") this.after(() => this.take(message));
    else if (message.type === "heartbeat") this.after(() => this.beat(message));
  }

  /** One message after the other. */
  private after(what: () => Promise<void>): void {
    this.tail = this.tail.then(() => (this.isEnded ? undefined : what())).catch((error) => this.fail(error));
  }

  private async take(page: Page): Promise<void> {
    if (page.reset) {
      this.told.event(page.reset === "history" ? "reset_history" : "reset_access");
      return;
    }
    if (!(await takePage(this.device, page, this.cursor))) throw unreachable("Another tab has moved the cursor.");
    this.cursor = this.device.meta.cursor;
    if (page.more) this.beQuiet();
    else this.told.event("caught_up");
    this.told.kick();
  }

  /** Everything up to the heartbeat's cursor has been sent before it. */
  private async beat({ cursor, head, backed_up_seq }: Message & { type: "heartbeat" }): Promise<void> {
    if (cursor) await this.take({ changes: [], cursor, head, backed_up_seq, more: false });
    else this.told.event("caught_up");
  }

  private beQuiet(): void {
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => this.after(async () => this.told.event("caught_up")), QUIET_MS);
  }
}
