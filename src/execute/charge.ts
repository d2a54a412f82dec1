import { promptLength } from "../models/prompt.ts";
import { tokenLimit } from "../plan/settings.ts";
import type { Usage } from "../store/runs/result.ts";
import type { TokenCost } from "./pace.ts";
import type { PreparedRequest } from "./prepare.ts";

/** Assumed before the first answer; a little more than most texts have. */
const FIRST_TOKENS_PER_CHARACTER = 0.35;
const FIRST_COMPLETION = 512;
const WEIGHT = 0.05;

/**
 * The tokens that a request takes from the provider's rate limits: those of the prompt and of the answer. Both are
 * estimated: the prompt by its length, with a ratio learned from earlier answers.
 */
export class Charge {
  #tokensPerCharacter: number | null = null;
  #completion = FIRST_COMPLETION;

  of({ prompt, settings }: PreparedRequest): TokenCost {
    const perCharacter = this.#tokensPerCharacter ?? FIRST_TOKENS_PER_CHARACTER;
    const usual = Math.ceil(this.#completion);
    const most = tokenLimit(settings) ?? usual;
    return {
      input: Math.ceil(promptLength(prompt) * perCharacter),
      longestOutput: most,
      usualOutput: Math.min(usual, most),
    };
  }

  learn({ prompt }: PreparedRequest, { promptTokens, completionTokens }: Usage): void {
    const seen = promptTokens / promptLength(prompt);
    this.#tokensPerCharacter =
      this.#tokensPerCharacter === null ? seen : this.#tokensPerCharacter * (1 - WEIGHT) + seen * WEIGHT;
    this.#completion = this.#completion * (1 - WEIGHT) + completionTokens * WEIGHT;
  }
}
