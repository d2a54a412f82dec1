import type { OpenCall } from "../store/runs/calls.ts";
import { openCalls, openStrategy } from "../store/runs/calls.ts";
import type { Store } from "../store/file/store.ts";
import { NO_TRIES, type Tries } from "./retry.ts";

/** A call that waits to be sent, with its earlier failures. */
export interface Waiting {
  call: OpenCall;
  tries: Tries;
}

const PAGE = 256;

/**
 * The calls of a run that can be sent now: first strategies whose reading is done and calls whose delay is over, then the
 * others in the order of the plan. Only one page of calls is in memory, besides the delayed ones.
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

  /** Whether there are calls that have not been sent yet. */
  get hasFresh(): boolean {
    while (this.#pageAt >= this.#page.length && !this.#isRead) this.#readPage();
    return this.#pageAt < this.#page.length;
  }

  /** @param isProbe whether to prefer a call that has not been sent yet: a call that failed may itself be the cause */
  next(isProbe: boolean): Waiting | undefined {
    return isProbe ? (this.#nextFresh() ?? this.#ready.shift()) : (this.#ready.shift() ?? this.#nextFresh());
  }

  #nextFresh(): Waiting | undefined {
    const call = this.hasFresh ? this.#page[this.#pageAt] : undefined;
    if (!call) return undefined;
    this.#pageAt += 1;
    return { call, tries: NO_TRIES };
  }

  /** Adds a call whose delay is over. */
  add(waiting: Waiting): void {
    this.#ready.push(waiting);
  }

  /** Adds the strategy of a reading whose result is stored. */
  addStrategyOf(reading: OpenCall): void {
    const call = openStrategy(this.#store, reading);
    // A strategy after the cursor is read later, and is ready then.
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
