import type { CallError, FailureReason } from "../providers/provider.ts";

/** So many calls that are refused alike, and no other before them, stop the run. */
const ENOUGH = 20;
/** And so many where the run has no more. */
const LEAST = 2;

/** Refusals that are the fault of what a call asks. */
const OF_ONE_CALL: ReadonlySet<FailureReason> = new Set([
  "content_policy",
  "content_filter",
  "refusal",
  "context_too_long",
]);

/**
 * Notices that nothing but the same refusal comes from the start on: a config that the server does not take, which no
 * further call would change. Pure.
 */
export class SameRefusal {
  /** What the calls have in common; null before the first one. */
  #words: string | null = null;
  #calls: number[] = [];
  #isOver = false;

  /** The calls that were refused. */
  get calls(): readonly number[] {
    return this.#calls;
  }

  /** Something was answered, or failed in another way. */
  answered(): void {
    this.#isOver = true;
    this.#calls = [];
  }

  /**
   * A call was refused, and would be again.
   * @param hasOthers whether other calls are left
   * @returns whether every call was refused alike, and enough of them
   */
  refused(callId: number, error: CallError, hasOthers: boolean): boolean {
    if (this.#isOver) return false;
    const words = wordsOf(error);
    if (OF_ONE_CALL.has(error.reason) || (this.#words !== null && this.#words !== words)) {
      this.answered();
      return false;
    }
    this.#words = words;
    this.#calls.push(callId);
    return this.#calls.length >= (hasOthers ? ENOUGH : LEAST);
  }
}

/** What a refusal says, but for the numbers in it. */
function wordsOf({ message, details }: CallError): string {
  return `${details.httpStatus} ${details.code} ${message.replace(/\d+/g, "#")}`;
}
