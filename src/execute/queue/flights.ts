import type { Destination } from "../../queue/destination.ts";
import type { ResultMessage } from "../../queue/messages.ts";

/** How the flight of a job ends. */
export type Ending =
  | { as: "result"; result: ResultMessage; onStored: () => void }
  /** Nothing is known of it any more. */
  | { as: "lost"; message: string }
  /** No worker has begun it, and none will. */
  | { as: "taken_back" }
  /** The same, because no worker has begun it for so long. */
  | { as: "left_waiting"; waitedMs: number };

/** A job that was put into the queue, or is about to be, and has no result that is stored. */
export class Flight {
  readonly token: string;
  readonly destination: Destination;
  readonly ending: Promise<Ending>;
  /** Whether the queue has it, or had it. */
  isPut: boolean;
  putAt: number;
  /** When it was last known to wait in the queue or to be with a worker that lives. */
  seenAt: number;
  /** The worker that says that it has the job, and since when. */
  worker: string | null = null;
  begunAt: number | null = null;
  readonly end: (ending: Ending) => void;
  readonly giveUp: (reason: unknown) => void;
  /** Once a result is there: resolves when it is stored. */
  stored: Promise<void> | null = null;

  constructor(token: string, destination: Destination, isPut: boolean, now: number) {
    this.token = token;
    this.destination = destination;
    this.isPut = isPut;
    this.putAt = now;
    this.seenAt = now;
    const { promise, resolve, reject } = Promise.withResolvers<Ending>();
    this.ending = promise;
    this.end = resolve;
    this.giveUp = reject;
    // It may end before anybody waits for it.
    promise.catch(() => {});
  }
}

/** The jobs of a run that have no result that is stored, by their tokens. */
export class Flights {
  readonly #open = new Map<string, Flight>();
  /** What to do with results that cannot be stored any more. */
  readonly #refusals = new Set<(reason: unknown) => void>();

  /** The flight of a job; a new one begins if there is none. */
  of(token: string, destination: Destination, isPut: boolean, now: number): Flight {
    const flight = this.#open.get(token) ?? new Flight(token, destination, isPut, now);
    this.#open.set(token, flight);
    return flight;
  }

  /** Those without a result. */
  get waiting(): Flight[] {
    return [...this.#open.values()].filter(({ stored, isPut }) => stored === null && isPut);
  }

  /** Hands a result to its flight. @returns a promise that resolves when it is stored; null if there is no such flight */
  take(result: ResultMessage): Promise<void> | null {
    const flight = this.#open.get(result.token);
    if (!flight) return null;
    flight.stored ??= this.untilStored((onStored) => flight.end({ as: "result", result, onStored }));
    return flight.stored;
  }

  /** A promise that resolves when `onStored` is called, and rejects when nothing can be stored any more. */
  untilStored(begin: (onStored: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#refusals.add(reject);
      begin(() => {
        this.#refusals.delete(reject);
        resolve();
      });
    });
  }

  /** Ends a flight without a result. */
  end(flight: Flight, ending: Exclude<Ending, { as: "result" }>): void {
    if (flight.stored !== null || !this.#open.delete(flight.token)) return;
    flight.end(ending);
  }

  /** Forgets a flight whose result is stored, or that was never put. */
  forget({ token }: Flight): void {
    this.#open.delete(token);
  }

  /** Waits for nothing any longer. */
  giveUp(reason: unknown): void {
    for (const flight of this.#open.values()) flight.giveUp(reason);
    for (const refuse of this.#refusals) refuse(reason);
    this.#refusals.clear();
  }
}
