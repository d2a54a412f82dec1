/** What datagen has to know of models, by their names. Fine-tuned models (`ft:NAME:…`) are as the model NAME. */

/** The name of the model that a fine-tuned one was made of. */
export function baseName(model: string): string {
  return model.startsWith("ft:") ? (model.split(":")[1] ?? model) : model;
}

/**
 * Reasoning models of OpenAI (o-series, gpt-5 and gpt-6 but their chat variants). They take `max_completion_tokens` in place of
 * `max_tokens`, and refuse sampling parameters (OpenAI API reference, "Reasoning models").
 */
export function isReasoningModel(model: string): boolean {
  return /^(o\d(-|$)|gpt-[56](?!.*-chat))/.test(baseName(model));
}
