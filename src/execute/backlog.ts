import type { OpenCall } from "../store/runs/calls.ts";
import { openCalls, openStrategy } from "../store/runs/calls.ts";
import type { Store } from "../store/file/store.ts";
import { NO_TRIES, type Tries } from "./retry.ts";

/** A call that waits to be sent, and how often it failed before. */
export interface Waiting {
  call: OpenCall;
  tries: Tries;
}

const PAGE = 256;

/**
 * The calls of a run that can be sent now: first those that a reading has made ready or whose delay is over, then the
 * others in the order of the plan. Holds a page of calls, and the delayed ones.
 */
export class Backlog {
  readonly #store: Store;
  readonly #runId: number;
  readonly #ready: Waiting[] = [];
  #page: OpenCall[] = [];
  #pageAt = 0;
  #cursor = 0;
  #isRead = false;

  constructor(store: Store, runId: number) {
    this.#store = store;
    this.#runId = runId;
  }

  /** Whether there are calls that were not sent yet. */
  get hasFresh(): boolean {
    while (this.#pageAt >= this.#page.length && !this.#isRead) this.#readPage();
    return this.#pageAt < this.#page.length;
  }

  /** @param isProbe whether a call that was not sent yet goes first: of one that failed it may be the fault */
  next(isProbe: boolean): Waiting | undefined {
    return isProbe ? (this.#nextFresh() ?? this.#ready.shift()) : (this.#ready.shift() ?? this.#nextFresh());
  }

  #nextFresh(): Waiting | undefined {
    const call = this.hasFresh ? this.#page[this.#pageAt] : undefined;
    if (!call) return undefined;
    this.#pageAt += 1;
    return { call, tries: NO_TRIES };
  }

  /** Takes a call whose delay is over. */
  add(waiting: Waiting): void {
    this.#ready.push(waiting);
  }

  /** Takes the strategy of a reading that is done and stored. */
  addStrategyOf(reading: OpenCall): void {
    const call = openStrategy(this.#store, reading);
    // Behind the cursor it is read in its turn, by then as ready.
    if (call && call.id <= this.#cursor) this.#ready.push({ call, tries: NO_TRIES });
  }

  #readPage(): void {
    const rows = openCalls(this.#store, this.#runId, this.#cursor, PAGE);
    this.#isRead = rows.length < PAGE;
    this.#cursor = this.#isRead ? Number.MAX_SAFE_INTEGER : (rows.at(-1)?.id ?? this.#cursor);
    this.#page = rows.filter(({ isWaiting }) => !isWaiting);
    this.#pageAt = 0;
  }
}
