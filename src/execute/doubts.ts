/** How many calls must be refused to stop a run without any answer. */
const ENOUGH_AT_FIRST = 3;
/** How many calls must be refused in a row to stop a run that has answers. */
const ENOUGH_LATER = 100;

/**
 * A refusal such as a 403 or a 404 may concern one call or all of them. Decides which, by whether other calls are answered.
 */
export class Doubts {
  #hasAnswers: boolean;
  /** The calls that were refused since the last answer. */
  readonly #refused = new Set<number>();

  /** @param hasAnswers whether the server has answered calls of the run before */
  constructor(hasAnswers: boolean) {
    this.#hasAnswers = hasAnswers;
  }

  /** Whether the server has answered a call of the run. */
  get hasAnswers(): boolean {
    return this.#hasAnswers;
  }

  /** Whether all calls may be refused. While this is so, only one request is sent at a time. */
  get isSuspected(): boolean {
    return !this.#hasAnswers && this.#refused.size > 0;
  }

  answered(): void {
    this.#hasAnswers = true;
    this.#refused.clear();
  }

  /**
   * @param others how many other calls could still be answered, as far as is known
   * @returns "retry" if other calls must be sent first to decide
   */
  refused(callId: number, others: (refused: number) => number): "retry" | "fail" | "stop" {
    this.#refused.add(callId);
    const count = this.#refused.size;
    const isLast = others(count) <= 0;
    if (this.#hasAnswers) return count >= ENOUGH_LATER && !isLast ? "stop" : "fail";
    return count >= ENOUGH_AT_FIRST || isLast ? "stop" : "retry";
  }
}
