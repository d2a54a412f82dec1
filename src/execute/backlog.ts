import type { OpenCall } from "../store/runs/calls.ts";
import { openCalls, openStrategy } from "../store/runs/calls.ts";
import type { Store } from "../store/file/store.ts";
import { type CallPrefix, Prefixes } from "./prefixes.ts";
import { NO_TRIES, type Tries } from "./retry.ts";

/** A call that waits to be sent, with its earlier failures. */
export interface Waiting {
  call: OpenCall;
  tries: Tries;
  /** The prefix that it shares with others; missing until it is known. */
  prefix?: CallPrefix | null;
}

const PAGE = 256;

/**
 * The calls of a run that can be sent now: first strategies whose reading is done and calls whose delay is over, then the
 * others in the order of the plan. Calls that share a prefix wait until one of them is answered. Only one page of calls is
 * in memory, besides those that wait.
 */
export class Backlog {
  readonly #store: Store;
  readonly #runId: number;
  readonly #prefixOf: (call: OpenCall) => CallPrefix | null;
  readonly #ready: Waiting[] = [];
  readonly #prefixes = new Prefixes<Waiting>();
  #page: OpenCall[] = [];
  #pageAt = 0;
  #cursor = 0;
  #isRead = false;
  /** Calls after the cursor that are not to be sent. */
  readonly #taken = new Set<number>();

  constructor(store: Store, runId: number, prefixOf: (call: OpenCall) => CallPrefix | null) {
    this.#store = store;
    this.#runId = runId;
    this.#prefixOf = prefixOf;
  }

  /** Whether there are calls that have not been sent yet. */
  get hasFresh(): boolean {
    return this.#prefixes.held > 0 || this.#hasUnread;
  }

  get #hasUnread(): boolean {
    while (this.#pageAt >= this.#page.length && !this.#isRead) this.#readPage();
    return this.#pageAt < this.#page.length;
  }

  /**
   * @param isProbe whether to prefer a call that has not been sent yet: a call that failed may itself be the cause
   * @param isIdle whether no request is in flight, so that no call waits for another
   */
  next(isProbe: boolean, isIdle: boolean): Waiting | undefined {
    for (let waiting = this.#take(isProbe); waiting; waiting = this.#take(isProbe)) {
      const prefix = this.#prefixOf(waiting.call);
      const known = { ...waiting, prefix };
      if (!prefix || !this.#prefixes.holds(prefix.key, waiting.call.id, known)) return known;
    }
    if (!isIdle || this.#prefixes.held === 0) return undefined;
    this.#ready.push(...this.#prefixes.release());
    return this.next(isProbe, false);
  }

  #take(isProbe: boolean): Waiting | undefined {
    return isProbe ? (this.#nextFresh() ?? this.#ready.shift()) : (this.#ready.shift() ?? this.#nextFresh());
  }

  #nextFresh(): Waiting | undefined {
    const call = this.#hasUnread ? this.#page[this.#pageAt] : undefined;
    if (!call) return undefined;
    this.#pageAt += 1;
    return { call, tries: NO_TRIES };
  }

  /** Adds a call whose delay is over. */
  add(waiting: Waiting): void {
    this.#ready.push(waiting);
  }

  /** A call has its answer, which is stored. @param isReused whether it was there before, so that nothing was sent */
  answered({ call, prefix }: Waiting, isReused = false): void {
    if (prefix && isReused) this.unanswered({ call, prefix });
    else if (prefix) this.#ready.push(...this.#prefixes.answered(prefix.key));
    if (call.step === "reading") this.addStrategyOf(call);
  }

  /** A call has ended without an answer. */
  unanswered({ call, prefix }: Pick<Waiting, "call" | "prefix">): void {
    if (prefix) this.#ready.push(...this.#prefixes.unanswered(prefix.key, call.id));
  }

  /** Adds the strategy of a reading that has ended. */
  addStrategyOf(reading: OpenCall): void {
    const call = openStrategy(this.#store, reading);
    // A strategy after the cursor is read later, and is ready then.
    if (call && call.id <= this.#cursor) this.#ready.push({ call, tries: NO_TRIES });
  }

  /** Takes a call out. @returns false if it is not here: it was sent, is done, or waits for its reading */
  take(callId: number): boolean {
    if (callId > this.#cursor) return this.#taken.size < this.#taken.add(callId).size;
    // It may wait for the first call of its prefix.
    this.#ready.push(...this.#prefixes.release());
    const at = this.#ready.findIndex(({ call }) => call.id === callId);
    if (at !== -1) return this.#ready.splice(at, 1).length > 0;
    const onPage = this.#page.findIndex(({ id }) => id === callId);
    return onPage >= this.#pageAt && this.#page.splice(onPage, 1).length > 0;
  }

  #readPage(): void {
    const rows = openCalls(this.#store, this.#runId, this.#cursor, PAGE);
    this.#isRead = rows.length < PAGE;
    this.#cursor = this.#isRead ? Number.MAX_SAFE_INTEGER : (rows.at(-1)?.id ?? this.#cursor);
    this.#page = rows.filter(({ id, isWaiting }) => !isWaiting && !this.#taken.delete(id));
    this.#pageAt = 0;
  }
}
