import { PausedError } from "../errors.ts";
import { highestCost, type Prices, usd } from "../models/cost.ts";
import { providers } from "../providers/index.ts";
import { promptBytes } from "../models/prompt.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import { type Settings, tokenLimit } from "../plan/settings.ts";
import type { Reservation } from "../store/runs/result.ts";
import type { Budget, CapState } from "./executor.ts";
import type { PreparedRequest } from "./prepare.ts";

/** How many tokens a server may add to a prompt of one message, and to each message before it. */
const TEMPLATE_TOKENS = 64;
const MESSAGE_TOKENS = 16;
/** How far the sum of the counts of a long prompt's pieces may be below the count of the whole, for each seam. */
const SEAM_TOKENS = 4;

/**
 * The most tokens that a request may be charged for. If the provider is known to count like the tokenizer here, the prompt
 * is counted. Otherwise its bytes in UTF-8 are used, because a text never has more tokens than bytes.
 */
export async function createReservations(
  settings: Settings,
  isCountExact: boolean,
): Promise<(request: PreparedRequest) => Reservation> {
  const tokenizer = isCountExact ? await loadTokenizer(settings.model) : null;
  const count = tokenizer && !tokenizer.estimated ? promptCounter(tokenizer, settings.endpoint) : null;
  return ({ prompt, settings: asked }) => {
    const { messages, pieces } = prompt;
    const added = TEMPLATE_TOKENS + (messages.length - 1) * MESSAGE_TOKENS;
    const text = count ? count(prompt) + (pieces.length - 1) * SEAM_TOKENS : promptBytes(prompt) + added;
    // Tools and schemas count as part of the prompt.
    const extra = asked.parameters.extra_body;
    const more = extra === undefined ? 0 : Buffer.byteLength(JSON.stringify(extra));
    return { promptTokens: text + more, completionTokens: completionLimit(asked) };
  };
}

/** The most completion tokens of an answer: the limit of the settings, else the known limit of the model. */
export function completionLimit(settings: Settings): number | null {
  return tokenLimit(settings) ?? providers[settings.provider].outputLimit(settings.model);
}

/** How often a run looks whether something came back to the cap that it shares. */
const LOOK_MS = 50;

/**
 * Keeps the cost of a run below its cap. The highest cost of a request is set aside before it is sent. When its real cost
 * is known, the rest is given back.
 */
export class Cap {
  readonly #prices: Prices;
  readonly #budget: Budget;
  readonly #factor: number;
  readonly #limit: number;
  #excess = 0;

  /** @param factor the price of the requests divided by that of live ones */
  constructor({ budget, completionLimit: limit, prices }: CapState, factor: number) {
    this.#limit = limit;
    this.#factor = factor;
    this.#prices = prices;
    this.#budget = budget;
  }

  /** The highest cost of a request, in billionths of a US dollar. */
  mostOf({ promptTokens, completionTokens }: Reservation): number {
    return Math.ceil(highestCost(this.#prices, promptTokens, completionTokens ?? this.#limit) * this.#factor);
  }

  /** The most by which a request has passed its highest cost, because a server counts tokens that were not sent. */
  get excess(): number {
    return this.#excess;
  }

  /** Sets an amount aside. @returns false if less is left */
  reserve(mostNanoUsd: number): boolean {
    if (this.#budget.usedNanoUsd + mostNanoUsd > this.#budget.mostNanoUsd) return false;
    this.#budget.usedNanoUsd += mostNanoUsd;
    return true;
  }

  /**
   * Replaces the amount that was set aside for a request by its cost.
   * @param reserved the most tokens that it may be charged for
   * @param costNanoUsd its cost; null if unknown: then the amount stays set aside
   */
  settle(setAsideNanoUsd: number, reserved: Reservation, costNanoUsd: number | null): void {
    if (costNanoUsd === null) return;
    this.#budget.usedNanoUsd += costNanoUsd - setAsideNanoUsd;
    this.#excess = Math.max(this.#excess, costNanoUsd - this.mostOf(reserved));
  }

  /** Says how many live requests of a run are in flight, or how many of its batches are open. */
  count(runId: number, underWay: number): void {
    this.#budget.inFlight.set(runId, underWay);
  }

  /** How long to wait for a part of what is set aside for other runs to come back; null if they have nothing under way. */
  waitForOthers(runId: number): number | null {
    const isWaiting = [...this.#budget.inFlight].some(([other, inFlight]) => other !== runId && inFlight > 0);
    return isWaiting ? LOOK_MS : null;
  }

  /** The stop of a run whose next request could cost more than is left. */
  reached(mostNanoUsd: number): PausedError {
    const dollars = (nanoUsd: number) => `$${usd(nanoUsd).toFixed(6)}`;
    const { mostNanoUsd: most, usedNanoUsd: used } = this.#budget;
    const cap = `the cap of ${dollars(most)}`;
    const enough = Math.max(2 * most, used + mostNanoUsd);
    return new PausedError(
      used > most
        ? `${cap} is exceeded: ${dollars(used)} is spent or set aside`
        : `${cap} is reached: the next request could cost ${dollars(mostNanoUsd)}, but less is left`,
      undefined,
      `--max-cost ${roundedUp(usd(enough))}`,
    );
  }
}

/** With two significant digits. */
function roundedUp(value: number): number {
  const step = 10 ** (Math.floor(Math.log10(value)) - 1);
  return Number((Math.ceil(value / step - 1e-6) * step).toPrecision(2));
}
