import { baseName } from "../../models/facts.ts";

/** Whether only OpenAI's legacy completions endpoint serves a model. */
export function isLegacyCompletionsModel(model: string): boolean {
  return /^(text-)?davinci-/.test(baseName(model));
}

/** Whether a model of this name is OpenAI's. */
export function isOpenAiModel(model: string): boolean {
  return /^(gpt-|chatgpt-|ft:|text-davinci-|davinci-|o[134](-|$))/.test(model);
}
