import type { Job } from "./executor.ts";
import { Lane } from "./lane.ts";
import type { TokenCost } from "./pace.ts";

/** The ways to all servers of a run. */
export class Lanes {
  readonly #all: readonly Lane[];

  constructor(job: Job, now: number) {
    this.#all = job.servers.map((server) => new Lane(server, job, now));
  }

  /** The lane of a server; of the only one, if null is given. */
  named(server: string | null): Lane | undefined {
    return server === null && !this.areSeveral ? this.#all[0] : this.#all.find(({ name }) => name === server);
  }

  get all(): readonly Lane[] {
    return this.#all;
  }

  get areSeveral(): boolean {
    return this.#all.length > 1;
  }

  /** How many requests may be in flight: more than that only where there are more already. */
  get room(): number {
    return this.#all.reduce((sum, { room, inFlight }) => sum + Math.max(room, inFlight), 0);
  }

  /** Whether any server may have another request, now or after a wait. */
  get hasRoom(): boolean {
    return this.#all.some(({ room, inFlight }) => inFlight < room);
  }

  /** Whether no server answers. */
  get isOutage(): boolean {
    return this.#all.every(({ outage }) => outage.isOn);
  }

  /** Whether the tokens of requests count. */
  get countsTokens(): boolean {
    return this.#all.some(({ countsTokens }) => countsTokens);
  }

  /** Whether every server has been silent for so long that the run gives up. */
  isOver(now: number): boolean {
    return this.#all.every(({ outage }) => outage.isOver(now));
  }

  /**
   * The server for the next request: of those that may get it now, the one with the fewest in flight; else the shortest
   * wait. Undefined if none has room.
   */
  next(tokens: TokenCost, now: number): Lane | ReturnType<Lane["wait"]> | undefined {
    let best: Lane | undefined;
    let shortest: ReturnType<Lane["wait"]> | undefined;
    for (const lane of this.#all) {
      if (lane.inFlight >= lane.room) continue;
      const wait = lane.wait(now, tokens);
      if (wait.ms > 0) {
        if (shortest === undefined || wait.ms < shortest.ms) shortest = wait;
      } else if (best === undefined || lane.inFlight < best.inFlight) best = lane;
    }
    return best ?? shortest;
  }
}
