/** So many calls have to be refused alike to stop a run in which nothing was answered yet. */
const ENOUGH_AT_FIRST = 3;
/** And one of which calls were answered before. */
const ENOUGH_LATER = 100;

/**
 * A refusal such as a 403 or a 404 may mean one call, or all of them. Tells which, by what is answered besides. Pure.
 */
export class Doubts {
  #hasAnswers: boolean;
  /** The calls that were refused since the last answer. */
  readonly #refused = new Set<number>();

  /** @param hasAnswers whether the server has answered calls of the run before */
  constructor(hasAnswers: boolean) {
    this.#hasAnswers = hasAnswers;
  }

  /** Whether it is open if anything is answered at all: no more than one request is to be sent until that is known. */
  get isSuspected(): boolean {
    return !this.#hasAnswers && this.#refused.size > 0;
  }

  answered(): void {
    this.#hasAnswers = true;
    this.#refused.clear();
  }

  /**
   * @param others how many other calls could still be answered, as far as is known
   * @returns "retry" where that is not known before others were sent
   */
  refused(callId: number, others: (refused: number) => number): "retry" | "fail" | "stop" {
    this.#refused.add(callId);
    const count = this.#refused.size;
    const isLast = others(count) <= 0;
    if (this.#hasAnswers) return count >= ENOUGH_LATER && !isLast ? "stop" : "fail";
    return count >= ENOUGH_AT_FIRST || isLast ? "stop" : "retry";
  }
}
