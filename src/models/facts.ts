/** Facts about models, by their names. A fine-tuned model (`ft:NAME:…`) is treated like the model NAME. */

/** The name of the model that a fine-tuned one was made of. */
export function baseName(model: string): string {
  return model.startsWith("ft:") ? (model.split(":")[1] ?? model) : model;
}

/**
 * Reasoning models of OpenAI: the o-series, gpt-5 and gpt-6 except their chat variants. They take
 * `max_completion_tokens` instead of `max_tokens`, and refuse sampling parameters (OpenAI API reference, "Reasoning
 * models").
 */
export function isReasoningModel(model: string): boolean {
  return /^(o\d(-|$)|gpt-[56](?!.*-chat))/.test(baseName(model));
}
