/** How many refusals a call needs at least before it may be the cause itself. */
const LEAST_REFUSALS = 6;
/** How unlikely these refusals must be for an ordinary call. */
const UNLIKELY = 1e-9;

/**
 * Finds calls that are always refused for their rate while other calls are answered. Some calls are only refused by chance,
 * so the refusals of a call are compared with the share of other requests that were refused in the same time.
 */
export class LoneRefusals {
  #answered = 0;
  #refused = 0;
  /** For each call: how often it was refused, and the counts of all requests at its first refusal. */
  readonly #calls = new Map<number, { times: number; answered: number; refused: number }>();

  answered(callId: number): void {
    this.#answered += 1;
    this.#calls.delete(callId);
  }

  /** @returns whether the call will always be refused */
  refused(callId: number): boolean {
    const call = this.#calls.get(callId) ?? { times: 0, answered: this.#answered, refused: this.#refused };
    this.#refused += 1;
    call.times += 1;
    this.#calls.set(callId, call);
    if (call.times < LEAST_REFUSALS) return false;
    const answered = this.#answered - call.answered;
    const refused = this.#refused - call.refused - call.times;
    const isLone = ((refused + 1) / (answered + refused + 1)) ** call.times < UNLIKELY;
    if (isLone) this.#calls.delete(callId);
    return isLone;
  }
}
