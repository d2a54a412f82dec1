import { promptLength } from "../models/prompt.ts";
import { tokenLimit } from "../plan/settings.ts";
import type { Usage } from "../store/runs/result.ts";
import type { PreparedRequest } from "./prepare.ts";

/** Assumed before the first answer; a little more than most texts have. */
const FIRST_TOKENS_PER_CHARACTER = 0.35;
const FIRST_COMPLETION = 512;
const WEIGHT = 0.05;

/**
 * The tokens that a request takes from the provider's rate limit: those of the prompt, and of the longest answer that the
 * request allows. The tokens of a prompt are estimated by its length, with a ratio learned from earlier answers.
 */
export class Charge {
  #tokensPerCharacter: number | null = null;
  #completion = FIRST_COMPLETION;

  of({ prompt, settings }: PreparedRequest): number {
    const perCharacter = this.#tokensPerCharacter ?? FIRST_TOKENS_PER_CHARACTER;
    return Math.ceil(promptLength(prompt) * perCharacter) + (tokenLimit(settings) ?? Math.ceil(this.#completion));
  }

  learn({ prompt }: PreparedRequest, { promptTokens, completionTokens }: Usage): void {
    const seen = promptTokens / promptLength(prompt);
    this.#tokensPerCharacter =
      this.#tokensPerCharacter === null ? seen : this.#tokensPerCharacter * (1 - WEIGHT) + seen * WEIGHT;
    this.#completion = this.#completion * (1 - WEIGHT) + completionTokens * WEIGHT;
  }
}
