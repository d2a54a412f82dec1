import pLimit, { type LimitFunction } from "p-limit";
import { BackgroundFlush } from "../store/file/flush.ts";
import { commitResults, commitTurn } from "../store/runs/results.ts";
import type { Result } from "../store/runs/result.ts";
import { checkSpace } from "../store/file/space.ts";
import type { Arrival, Dispatched } from "./dispatched.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { Job } from "./executor.ts";
import type { Sent } from "./outcome.ts";

/** Sends one request, and returns its result. */
export type Perform = (dispatched: Dispatched, attemptId: number) => Promise<Sent>;

/** A request that was sent before the turns began, with its attempt. */
export interface Adopted {
  dispatched: Dispatched;
  attemptId: number;
}

/** What may come from elsewhere than from requests in flight. */
export interface TurnHooks {
  /** Looks for work: the dispatcher may have more to send, or has stopped. */
  wake(): void;
  /** Stores a result of a request that is not in flight. @returns false if nothing can be stored any more */
  add(arrival: Arrival): boolean;
}

/** The share of the requests in flight that may be stored in one transaction, if they arrive at about the same time. */
const GATHERED_SHARE = 1 / 6;
/** Waiting answers that are longer together, in UTF-16 code units, are stored at once, because they take memory. */
const MOST_GATHERED = 2_000_000;
/** How long a result waits for others, to be stored in the same transaction. */
const GATHER_MS = 1;

/** The longest timer: Node's timers have a maximum. A turn that finds nothing to do waits again. */
const LONGEST_WAIT_MS = 60_000;

/**
 * Works in turns until the dispatcher has nothing more to send. Each turn commits, in one transaction, the results that
 * arrived and the attempts that start next. A turn takes only part of the requests in flight, or they would fall into
 * step.
 * @param perform sends one request
 * @param begin called before the first turn; returns the requests that are in flight already
 */
export function inTurns(
  job: Job,
  dispatcher: Dispatcher,
  perform: Perform,
  begin: (hooks: TurnHooks) => readonly Adopted[] = () => [],
): Promise<void> {
  return new Promise((resolve, reject) => {
    const turns = new Turns(job, dispatcher, perform, () => {
      if (dispatcher.failure === undefined) resolve();
      // The error that stopped the run, of any kind.
      else reject(dispatcher.failure);
    });
    turns.start(begin(turns));
  });
}

class Turns {
  readonly #job: Job;
  readonly #dispatcher: Dispatcher;
  readonly #perform: Perform;
  readonly #onEnd: () => void;
  readonly #flush: BackgroundFlush;
  readonly #limit: LimitFunction;
  readonly #drain = () => this.#schedule(0);
  #arrivals: Arrival[] = [];
  /** The total length of their texts. */
  #gathered = 0;
  /** Results that could not be stored. */
  readonly #unstored: Result[] = [];
  #inFlight = 0;
  /** The timer of the next turn, if results are waiting to be stored. */
  #due: NodeJS.Timeout | undefined;
  /** The timer of the next turn, if the dispatcher will have more to send. */
  #wake: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(job: Job, dispatcher: Dispatcher, perform: Perform, onEnd: () => void) {
    this.#job = job;
    this.#dispatcher = dispatcher;
    this.#perform = perform;
    this.#onEnd = onEnd;
    this.#flush = new BackgroundFlush(job.store);
    this.#limit = pLimit(Math.max(1, dispatcher.room));
  }

  start(adopted: readonly Adopted[]): void {
    this.#job.drain.addEventListener("abort", this.#drain);
    for (const { dispatched, attemptId } of adopted) this.#begin(dispatched, attemptId);
    this.#turn();
  }

  wake(): void {
    if (!this.#isOver) this.#schedule(0);
  }

  add(arrival: Arrival): boolean {
    if (this.#isOver) return false;
    this.#arrivals.push(arrival);
    this.#gathered += arrival.result.answer?.text.length ?? 0;
    this.#schedule(GATHER_MS);
    return true;
  }

  #begin(dispatched: Dispatched, attemptId: number): void {
    this.#inFlight += 1;
    void this.#limit(() => this.#send(dispatched, attemptId));
  }

  #turn(): void {
    clearTimeout(this.#due);
    clearTimeout(this.#wake);
    this.#due = undefined;
    if (this.#isOver) return;
    const came = this.#arrivals;
    this.#arrivals = [];
    this.#gathered = 0;
    try {
      // The strategy of a reading is sent next, but only after its notes are stored.
      const isNext = came.some(({ result }) => result.call.step === "reading");
      this.#store(came, isNext ? [] : this.#pick());
    } catch (error) {
      this.#dispatcher.fail(error);
    }
    if (came.length > 0) this.#turn();
    else if (this.#inFlight === 0 && this.#dispatcher.isDone) this.#end();
  }

  #pick(): Dispatched[] {
    const { leaving, waitMs } = this.#dispatcher.pick(performance.now(), this.#inFlight);
    this.#limit.concurrency = Math.max(1, this.#dispatcher.room);
    if (waitMs !== null) {
      this.#wake = setTimeout(() => this.#turn(), Math.min(LONGEST_WAIT_MS, Math.max(1, waitMs)));
    }
    return leaving;
  }

  #store(came: readonly Arrival[], leaving: readonly Dispatched[]): void {
    if (came.length + leaving.length === 0) return;
    const { delta, attemptIds } = this.#commit(came, leaving);
    this.#flush.committed();
    for (const [at, dispatched] of leaving.entries()) {
      const attemptId = attemptIds[at];
      if (attemptId !== undefined) this.#begin(dispatched, attemptId);
    }
    if (came.length > 0) this.#job.onEvent({ type: "stored", delta });
    checkSpace(this.#job.store);
    for (const { onStored } of came) onStored();
  }

  #commit(came: readonly Arrival[], leaving: readonly Dispatched[]): ReturnType<typeof commitTurn> {
    const { store, lease, asked } = this.#job;
    const results = came.map(({ result }) => result);
    try {
      return commitTurn(store, lease, asked, { came: results, leaving });
    } catch (error) {
      this.#unstored.push(...results);
      throw error;
    }
  }

  async #send(dispatched: Dispatched, attemptId: number): Promise<void> {
    try {
      const sent = await this.#perform(dispatched, attemptId);
      const { result, onStored } = this.#dispatcher.settle(dispatched, sent, performance.now(), this.#inFlight);
      const afterwards = () => {
        onStored();
        sent.onStored?.();
      };
      this.#arrivals.push({ result, onStored: sent.onStored ? afterwards : onStored });
      this.#gathered += sent.result.answer?.text.length ?? 0;
    } catch (error) {
      this.#dispatcher.fail(error);
    }
    this.#inFlight -= 1;
    // Wait a moment for other results, to store them together.
    const isMany = this.#arrivals.length >= this.#limit.concurrency * GATHERED_SHARE;
    const isEnough = this.#inFlight === 0 || isMany || this.#gathered >= MOST_GATHERED;
    if (isEnough) this.#turn();
    else this.#schedule(GATHER_MS);
  }

  #schedule(ms: number): void {
    this.#due ??= setTimeout(() => this.#turn(), ms);
  }

  #end(): void {
    this.#isOver = true;
    clearTimeout(this.#wake);
    try {
      if (this.#unstored.length > 0) this.#storeAtLast();
    } catch (error) {
      this.#dispatcher.fail(error);
    }
    this.#flush[Symbol.dispose]();
    this.#job.drain.removeEventListener("abort", this.#drain);
    this.#onEnd();
  }

  /** Tries once more to store results at the end, when the obstacle may be gone. */
  #storeAtLast(): void {
    const { store, lease, asked, onEvent } = this.#job;
    let delta;
    try {
      delta = commitResults(store, lease, asked, this.#unstored);
    } catch {
      // The reason is not reported here: it is the error that stopped the run.
      onEvent({ type: "lost", results: this.#unstored.length });
      return;
    }
    onEvent({ type: "stored", delta });
  }
}
