/** What datagen has to know of models, by their names. Fine-tuned models (`ft:NAME:…`) are as the model NAME. */

function baseName(model: string): string {
  return model.startsWith("ft:") ? (model.split(":")[1] ?? model) : model;
}

/** Models of OpenAI that only the legacy completions endpoint serves. */
export function isLegacyCompletionsModel(model: string): boolean {
  return /^(text-)?davinci-/.test(baseName(model));
}

/** Whether OpenAI serves models by this name. */
export function isOpenAiModel(model: string): boolean {
  return /^(gpt-|chatgpt-|ft:|text-davinci-|davinci-|o[134](-|$))/.test(model);
}

/**
 * Reasoning models of OpenAI (o-series, gpt-5 but its chat variants). They take `max_completion_tokens` in place of
 * `max_tokens`, and refuse sampling parameters (OpenAI API reference, "Reasoning models").
 */
export function isReasoningModel(model: string): boolean {
  return /^(o\d(-|$)|gpt-5(?!.*-chat))/.test(baseName(model));
}
