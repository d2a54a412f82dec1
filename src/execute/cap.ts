import { StoppedError } from "../errors.ts";
import { highestCost, type Prices, usd } from "../models/cost.ts";
import { providers } from "../providers/index.ts";
import { promptBytes } from "../models/prompt.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import { type Settings, tokenLimit } from "../plan/settings.ts";
import type { Reservation } from "../store/runs/result.ts";
import type { CapState } from "./executor.ts";
import type { PreparedRequest } from "./prepare.ts";

/** What a server may put around a prompt, in tokens. */
const TEMPLATE_TOKENS = 64;
/** What the counts of a long prompt's parts may miss of that of the whole. */
const SEAM_TOKENS = 8;

/**
 * The most that a request may be charged with. A tokenizer makes no more tokens of a text than it has bytes in UTF-8;
 * where the provider is known to count as the tokenizer here does, a prompt is counted.
 */
export async function createReservations(
  settings: Settings,
  isCountExact: boolean,
): Promise<(request: PreparedRequest) => Reservation> {
  const tokenizer = isCountExact ? await loadTokenizer(settings.model) : null;
  const count = tokenizer && !tokenizer.estimated ? promptCounter(tokenizer, settings.endpoint) : null;
  return ({ prompt, settings: asked }) => {
    const text = count ? count(prompt) + SEAM_TOKENS : promptBytes(prompt) + TEMPLATE_TOKENS;
    // Tools and schemas are part of the prompt.
    const extra = asked.parameters.extra_body;
    const more = extra === undefined ? 0 : Buffer.byteLength(JSON.stringify(extra));
    return { promptTokens: text + more, completionTokens: completionLimit(asked) };
  };
}

/** The most completion tokens of an answer: what the settings say, else what the model is known to give. */
export function completionLimit(settings: Settings): number | null {
  return tokenLimit(settings) ?? providers[settings.provider].outputLimit(settings.model);
}

/**
 * Keeps a run from passing what it may cost: the most that a request can cost is set aside before it is sent, and given
 * back when it is known what it did cost.
 */
export class Cap {
  readonly #prices: Prices;
  readonly #most: number;
  readonly #factor: number;
  readonly #limit: number;
  #used: number;
  #excess = 0;

  /** @param factor what the requests cost in proportion to live ones */
  constructor(prices: Prices, { mostNanoUsd, usedNanoUsd, completionLimit: limit }: CapState, factor: number) {
    this.#limit = limit;
    this.#factor = factor;
    this.#prices = prices;
    this.#most = mostNanoUsd;
    this.#used = usedNanoUsd;
  }

  /** What a request may cost, in billionths of a US dollar. */
  mostOf({ promptTokens, completionTokens }: Reservation): number {
    return Math.ceil(highestCost(this.#prices, promptTokens, completionTokens ?? this.#limit) * this.#factor);
  }

  /** The most that a request has cost beyond what it may, where a server counts tokens that are not in it. */
  get excess(): number {
    return this.#excess;
  }

  /** Sets an amount aside. @returns whether there is as much left */
  reserve(mostNanoUsd: number): boolean {
    if (this.#used + mostNanoUsd > this.#most) return false;
    this.#used += mostNanoUsd;
    return true;
  }

  /**
   * Gives back what was set aside for a request.
   * @param reserved what it may be charged with
   * @param costNanoUsd what it has cost; null where that is not known: what was set aside stays so
   */
  settle(setAsideNanoUsd: number, reserved: Reservation, costNanoUsd: number | null): void {
    if (costNanoUsd === null) return;
    this.#used += costNanoUsd - setAsideNanoUsd;
    this.#excess = Math.max(this.#excess, costNanoUsd - this.mostOf(reserved));
  }

  /** The end of a run whose next request could cost more than is left. */
  reached(mostNanoUsd: number): StoppedError {
    const dollars = (nanoUsd: number) => `$${usd(nanoUsd).toFixed(6)}`;
    const cap = `the cap of ${dollars(this.#most)}`;
    return new StoppedError(
      this.#used > this.#most
        ? `${cap} is passed: ${dollars(this.#used)} is spent or set aside`
        : `${cap} is reached: the next request could cost ${dollars(mostNanoUsd)}, and less is left`,
      "Raise it with --max-cost, in US dollars, or leave it here: `datagen export --allow-partial` exports what is there.",
    );
  }
}
