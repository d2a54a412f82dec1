/** So many refusals in a row at least, before a call may be at fault itself. */
const LEAST_REFUSALS = 6;
/** How unlikely they have to be for a call that is like the others. */
const UNLIKELY = 1e-9;

/**
 * Tells a call that is refused for its rate whenever it is sent, while others are answered, from one that has bad luck: it
 * compares its refusals with how many of the other requests were refused in the same time. Pure.
 */
export class LoneRefusals {
  #answered = 0;
  #refused = 0;
  /** By call: how often it was refused, and where the counts stood at first. */
  readonly #calls = new Map<number, { times: number; answered: number; refused: number }>();

  answered(callId: number): void {
    this.#answered += 1;
    this.#calls.delete(callId);
  }

  /** @returns whether the call will never be taken */
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
