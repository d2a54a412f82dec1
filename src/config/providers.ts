/** The names of the providers; see providers/index.ts for what each is. */
export const PROVIDERS = ["openai", "together", "offline"] as const;
export type ProviderName = (typeof PROVIDERS)[number];
