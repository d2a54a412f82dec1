import type { ProviderName } from "../config/providers.ts";
import { type Config, type Endpoint, isServerUrl, SERVER_URL } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { isLegacyCompletionsModel, isOpenAiModel } from "../models/facts.ts";
import { settingsOf, type Settings } from "../plan/settings.ts";
import { providers } from "../providers/index.ts";
import type { Connection } from "../providers/provider.ts";
import type { Environment } from "./environment.ts";

/** Who said where requests go. */
type BaseUrlSource = "flag" | "config" | "environment" | "default";

/** Whom a run asks, decided once when it is planned. */
export interface Target {
  provider: ProviderName;
  /** Null for a provider that needs no network. */
  baseUrl: string | null;
  baseUrlSource: BaseUrlSource;
  settings: Settings;
}

/** @param isFlag whether the config's `base_url` is the value of a flag */
export function resolveTarget(config: Config, isFlag: boolean, environment: Environment): Target {
  const { model_name: model, base_url: configured } = config.model_config;
  const provider = config.api_provider ?? (configured === undefined ? detectProvider(model) : "openai");
  const { remote } = providers[provider];
  const isLegacy = provider === "openai" && isLegacyCompletionsModel(model);
  const endpoint: Endpoint = config.model_config.endpoint ?? (isLegacy ? "completions" : "chat");
  if (!remote) {
    const settings = settingsOf(config, { provider, baseUrl: null, endpoint });
    return { provider, baseUrl: null, baseUrlSource: "default", settings };
  }
  const fromEnvironment = environment[remote.baseUrlVariable];
  const candidates: [string | undefined, BaseUrlSource][] = [
    [configured, isFlag ? "flag" : "config"],
    [fromEnvironment === "" ? undefined : fromEnvironment, "environment"],
  ];
  const [given, baseUrlSource] = candidates.find(([url]) => url !== undefined) ?? [remote.defaultBaseUrl, "default"];
  const baseUrl = normaliseBaseUrl(given ?? remote.defaultBaseUrl, remote.baseUrlVariable);
  const isDefault = baseUrl === remote.defaultBaseUrl;
  const settings = settingsOf(config, { provider, baseUrl: isDefault ? null : baseUrl, endpoint });
  return { provider, baseUrl, baseUrlSource: isDefault ? "default" : baseUrlSource, settings };
}

/**
 * The connection to a target, with the key that may go there: a provider's own key goes to its own hosts, and to a URL
 * that the user gave by flag or environment. A `base_url` in a config may be somebody else's, and gets DATAGEN_API_KEY.
 * @throws UsageError when a key is missing
 */
export function connectionOf(
  target: Omit<Target, "settings">,
  model: string,
  environment: Environment,
): Omit<Connection, "maxAnswerBytes"> {
  const { provider, baseUrl, baseUrlSource } = target;
  const { remote } = providers[provider];
  if (!remote || baseUrl === null) return { model, baseUrl: null, apiKey: undefined, isTrusted: false };
  const isOwn = isOwnHost(provider, baseUrl);
  const isTrusted = isOwn || baseUrlSource !== "config";
  const variable = isTrusted ? remote.keyVariable : "DATAGEN_API_KEY";
  const apiKey = environment[variable]?.trim() || undefined;
  if (isOwn && apiKey === undefined) {
    throw new UsageError(
      `${remote.keyVariable} is not set, and ${remote.label} wants a key for ${model}`,
      `Set ${remote.keyVariable} in the environment or in a .env file in this folder; --provider offline needs no key.`,
    );
  }
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new UsageError(
      `${variable} holds a character that no key has`,
      "Copy the whole key again, without line breaks.",
    );
  }
  return { model, baseUrl, apiKey, isTrusted };
}

/** Whether a URL leads to the provider itself. */
export function isOwnHost(provider: ProviderName, baseUrl: string): boolean {
  const { protocol, host } = new URL(baseUrl);
  return protocol === "https:" && providers[provider].remote?.hosts.includes(host) === true;
}

function detectProvider(model: string): ProviderName {
  return isOpenAiModel(model) ? "openai" : "together";
}

/**
 * A base URL as runs and prices have it: without slashes at its end, its host in lower case.
 * @param from what gave it, for the error: a variable or a flag
 * @throws UsageError when it is none
 */
export function normaliseBaseUrl(url: string, from: string): string {
  if (!isServerUrl(url)) {
    throw new UsageError(`${from} is not a base URL`, `Expected ${SERVER_URL}.`);
  }
  return new URL(url).href.replace(/\/+$/, "");
}
