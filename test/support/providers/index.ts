import type { ProviderName } from "../../../src/config/providers.ts";
import type { Endpoint } from "../answers.ts";
import type { FakeBatches, FakeProvider } from "./fake-provider.ts";
import { anthropic } from "./anthropic.ts";
import { gemini } from "./gemini.ts";
import { openai } from "./openai.ts";
import { together } from "./together.ts";

/**
 * The provider that the tests stand in for, by its name: the loopback server answers as it, and each conformance suite
 * runs against it. Null for a provider without a server.
 */
export const fakes = { openai, anthropic, gemini, together, offline: null } satisfies Record<
  ProviderName,
  FakeProvider | null
>;

/** The providers that have a server. */
export type RemoteName = {
  [Name in keyof typeof fakes]: (typeof fakes)[Name] extends null ? never : Name;
}[keyof typeof fakes];

export const REMOTE = (Object.keys(fakes) as ProviderName[]).filter((name): name is RemoteName => fakes[name] !== null);

/** The providers that have batches. */
export const BATCHING = REMOTE.filter((name) => fakes[name].batches !== null);

/** How a provider has batches. @throws where it has none */
export function batchesOf(provider: RemoteName): FakeBatches {
  const batches: FakeBatches | null = fakes[provider].batches;
  if (batches === null) throw new Error(`${provider} has no batches`);
  return batches;
}

/** What a config says to have a provider asked. */
export const modelOf = (provider: RemoteName) => ({ model_config: { model_name: fakes[provider].model } });

/** An endpoint of a provider that answers live requests. */
export type Api = readonly [provider: RemoteName, endpoint: Endpoint];

export const APIS: readonly Api[] = REMOTE.flatMap((name) =>
  fakes[name].endpoints.map((endpoint) => [name, endpoint] as const),
);
