/**
 * The states of a device's connection, as data: where each event leads. docs/internals/browser.md shows what is done in each; the table is
 * that of the Python replica (src/holdfast/client/machine.py), and a test holds the two against each other. An event that a state does
 * not name changes nothing: it came late.
 */
export type State =
  | "closed" | "following" | "offline" | "connecting" | "catching_up" | "live" | "polling" | "snapshot" | "recovering" | "backing_off" | "failing"
  | "signed_out" | "denied";

export type Event =
  | "started" | "closed" | "lease_taken" | "lease_lost" | "went_offline" | "came_online" | "needs_snapshot" | "welcomed" | "no_socket" | "caught_up"
  | "try_socket" | "failed" | "failed_often" | "waited" | "retry_now" | "not_signed_in" | "signed_in" | "forbidden" | "reset_history" | "reset_access"
  | "rebuilt";

type Leads = { readonly [event in Event]?: State };

const LEAVING: Leads = { closed: "closed", lease_lost: "following", went_offline: "offline" };
const TROUBLE: Leads = { ...LEAVING, failed: "backing_off", failed_often: "failing", not_signed_in: "signed_out", forbidden: "denied" };
const TOUCH: Leads = { ...TROUBLE, reset_history: "recovering", reset_access: "snapshot", try_socket: "connecting" };
const WAITING: Leads = { ...LEAVING, waited: "connecting", retry_now: "connecting", signed_in: "connecting" };

export const TRANSITIONS: { readonly [state in State]: Leads } = {
  closed: { started: "following" },
  following: { closed: "closed", lease_taken: "connecting" },
  offline: { closed: "closed", lease_lost: "following", came_online: "connecting", retry_now: "connecting" },
  connecting: { ...TROUBLE, needs_snapshot: "snapshot", welcomed: "catching_up", no_socket: "polling" },
  catching_up: { ...TOUCH, caught_up: "live" },
  live: TOUCH,
  polling: { ...TOUCH, retry_now: "connecting" },
  snapshot: { ...TROUBLE, rebuilt: "connecting" },
  recovering: { ...TROUBLE, needs_snapshot: "snapshot", rebuilt: "connecting" },
  backing_off: WAITING,
  failing: WAITING,
  signed_out: WAITING,
  denied: WAITING,
};

const RETRIES_BEFORE_ERROR = 3;

/** Where a device stands. `failures` counts failures since it was last in touch. */
export class Machine {
  state: State = "closed";
  failures = 0;

  /** Takes an event; whether the state changed. */
  receive(event: Event): boolean {
    if (event === "failed" && this.failures >= RETRIES_BEFORE_ERROR) event = "failed_often";
    const target = TRANSITIONS[this.state][event];
    if (!target) return false;
    if (event === "failed" || event === "failed_often") this.failures++;
    else if (target === "live" || target === "polling" || target === "offline" || target === "following") this.failures = 0;
    const isChanged = target !== this.state;
    this.state = target;
    return isChanged;
  }
}
