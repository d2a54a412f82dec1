/** The names of the providers; providers/index.ts describes each. */
export const PROVIDERS = ["openai", "anthropic", "gemini", "together", "offline"] as const;
export type ProviderName = (typeof PROVIDERS)[number];
