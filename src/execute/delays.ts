import type { Waiting } from "./backlog.ts";

interface Delayed {
  waiting: Waiting;
  /** In milliseconds of the dispatcher's clock. */
  dueAt: number;
}

/** Calls that wait to be sent again, the earliest first. The caller passes the time. */
export class Delays {
  readonly #delayed: Delayed[] = [];

  get isEmpty(): boolean {
    return this.#delayed.length === 0;
  }

  get size(): number {
    return this.#delayed.length;
  }

  add(waiting: Waiting, dueAt: number): void {
    const later = this.#delayed.findIndex((other) => other.dueAt > dueAt);
    this.#delayed.splice(later === -1 ? this.#delayed.length : later, 0, { waiting, dueAt });
  }

  /** @returns false if the call is not here */
  remove(callId: number): boolean {
    const at = this.#delayed.findIndex(({ waiting }) => waiting.call.id === callId);
    return at !== -1 && this.#delayed.splice(at, 1).length > 0;
  }

  /** Removes and returns the calls whose delay is over. */
  takeDue(now: number): Waiting[] {
    const waiting = this.#delayed.findIndex(({ dueAt }) => dueAt > now);
    const count = waiting === -1 ? this.#delayed.length : waiting;
    return count === 0 ? [] : this.#delayed.splice(0, count).map((delayed) => delayed.waiting);
  }

  /** Milliseconds until the next delay is over; null if there is none. */
  wait(now: number): number | null {
    const [next] = this.#delayed;
    return next ? Math.max(0, next.dueAt - now) : null;
  }
}
