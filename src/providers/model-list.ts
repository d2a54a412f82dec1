/** A model that a server lists. Nothing in it is trusted: texts may have any characters. */
export interface ListedModel {
  /** The name for `model_name` of a config. */
  id: string;
  /** How the server shows it to people; null if it says no more than the id. */
  title: string | null;
  /** In tokens; null if the server does not say. */
  contextWindow: number | null;
  /** The most completion tokens; null if the server does not say. */
  outputLimit: number | null;
  /** In US dollars per million tokens, as the server states them; null if it states none. */
  prices: { input: number; cachedInput: number | null; output: number } | null;
}
