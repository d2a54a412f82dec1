import { promptLength } from "../models/prompt.ts";
import { tokenLimit } from "../plan/settings.ts";
import type { Usage } from "../store/runs/result.ts";
import type { PreparedRequest } from "./prepare.ts";

/** Of a text that nothing is known of: a little more than most have. */
const FIRST_TOKENS_PER_CHARACTER = 0.35;
const FIRST_COMPLETION = 512;
const WEIGHT = 0.05;

/**
 * What a provider charges against its limit of tokens when it takes a request: the prompt, and the longest answer that
 * the request allows. How many tokens a prompt has is learned from the usage of the answers before.
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
