import type { CallError } from "../providers/provider.ts";

/** The run stops if its first calls, this many, are all refused with the same words. */
const ENOUGH = 20;
/** The same number if the run has no other calls left. */
const LEAST = 2;

/**
 * Notices that every call from the start is refused with the same words. Then the server does not accept the config, and
 * sending more calls would not help.
 */
export class SameRefusal {
  /** The words of all refusals so far; null before the first one. */
  #words: string | null = null;
  #calls: number[] = [];
  #isOver = false;

  /** The calls that were refused. */
  get calls(): readonly number[] {
    return this.#calls;
  }

  /** A call was answered, or refused with other words. */
  answered(): void {
    this.#isOver = true;
    this.#calls = [];
  }

  /**
   * A call was refused, and a retry would not help.
   * @param hasOthers whether other calls are left
   * @returns whether enough calls were refused, all with the same words
   */
  refused(callId: number, error: CallError, hasOthers: boolean): boolean {
    if (this.#isOver) return false;
    const words = wordsOf(error);
    if (this.#words !== null && this.#words !== words) {
      this.answered();
      return false;
    }
    this.#words = words;
    this.#calls.push(callId);
    return this.#calls.length >= (hasOthers ? ENOUGH : LEAST);
  }
}

/** The words of a refusal, without the numbers in its message. */
function wordsOf({ message, details }: CallError): string {
  return `${details.httpStatus} ${details.code} ${message.replace(/\d+/g, "#")}`;
}
