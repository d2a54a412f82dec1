import type { PromptRow } from "../plan/prompt.ts";
import type { SharedPrefix } from "../plan/shared-prefix.ts";
import type { OpenCall } from "../store/runs/calls.ts";
import { perspectiveIds } from "../store/runs/plan.ts";
import type { Job } from "./executor.ts";
import { createRowOf } from "./rows.ts";

/** The prefix that a call shares with others, and a key that these calls have, too. */
export interface CallPrefix extends SharedPrefix {
  key: string;
}

/** Finds the prefixes of a run's calls; null for a call that shares none. */
export function createPrefixOf(
  { store, runId, prefixes }: Pick<Job, "store" | "runId" | "prefixes">,
  rowOf: (taskId: number) => PromptRow = createRowOf(store),
): (call: OpenCall) => CallPrefix | null {
  if (prefixes === null) return () => null;
  const positions = new Map(perspectiveIds(store, runId).map(({ id, position }) => [id, position]));
  return ({ taskId, perspectiveId, step, wantedSettingsId }) => {
    // A call that is sent with other settings than the others of its perspective shares nothing with them.
    const position = wantedSettingsId === null ? positions.get(perspectiveId) : undefined;
    const prefix = position === undefined ? null : prefixes(position, step, rowOf(taskId));
    return prefix && { ...prefix, key: prefix.isOfInput ? `${prefix.id} ${taskId}` : `${prefix.id}` };
  };
}

/** Keys of prefixes that are remembered. Of one that is forgotten, a call goes first again. */
const MOST_KNOWN = 10_000;
/** More calls than this are not held back. They are sent, so that other prefixes do not wait. */
const MOST_HELD = 10_000;

/**
 * Lets one call of each prefix go first, and holds the others back until it is answered, because only then the provider
 * has the prefix in its cache. If the first call ends without an answer, the next one goes first. Once a call was answered,
 * none of its prefix is held back again.
 */
export class Prefixes<Held> {
  /** For each key the first call, by its id, while it has no answer; null if it was answered. */
  readonly #first = new Map<string, number | null>();
  readonly #held = new Map<string, Held[]>();
  #count = 0;

  /** How many calls are held back. */
  get held(): number {
    return this.#count;
  }

  /** Holds a call back if another one of its prefix goes first. @returns whether it did */
  holds(key: string, callId: number, waiting: Held): boolean {
    const first = this.#first.get(key);
    if (first === null || first === callId) return false;
    if (first === undefined) {
      this.#first.set(key, callId);
      return false;
    }
    if (this.#count === MOST_HELD) return false;
    const others = this.#held.get(key) ?? [];
    others.push(waiting);
    this.#held.set(key, others);
    this.#count += 1;
    return true;
  }

  /** A call was answered. @returns the calls that it held back */
  answered(key: string): Held[] {
    this.#first.delete(key);
    // At the end of the map, so that the oldest is forgotten first.
    this.#first.set(key, null);
    for (const [oldest, first] of this.#first) {
      if (this.#first.size <= MOST_KNOWN) break;
      if (first === null) this.#first.delete(oldest);
    }
    return this.#take(key, Number.POSITIVE_INFINITY);
  }

  /** A call ended without an answer. @returns the call that goes first instead, if this one did */
  unanswered(key: string, callId: number): Held[] {
    if (this.#first.get(key) !== callId) return [];
    this.#first.delete(key);
    return this.#take(key, 1);
  }

  /** Lets all calls go that are held back. */
  release(): Held[] {
    const keys = [...this.#held.keys()];
    for (const key of keys) this.#first.delete(key);
    return keys.flatMap((key) => this.#take(key, Number.POSITIVE_INFINITY));
  }

  #take(key: string, most: number): Held[] {
    const others = this.#held.get(key) ?? [];
    const taken = others.splice(0, most);
    if (others.length === 0) this.#held.delete(key);
    this.#count -= taken.length;
    return taken;
  }
}
