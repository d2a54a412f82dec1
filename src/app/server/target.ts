import type { ProviderName } from "../../config/providers.ts";
import { type Config, DEFAULT_MAX_ANSWER_MB, isServerUrl, SERVER_URL } from "../../config/schema.ts";
import { UsageError } from "../../errors.ts";
import { settingsOf, type Settings } from "../../plan/settings.ts";
import { detectProvider, providers } from "../../providers/index.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { setValue, type Variables, valueOf } from "./environment.ts";

/** Who said where requests go. */
type BaseUrlSource = "flag" | "config" | "environment" | "default";

/** Where requests of a run go. */
export interface Server {
  provider: ProviderName;
  /** Null for a provider that needs no network. */
  baseUrl: string | null;
  baseUrlSource: BaseUrlSource;
}

/** Where a key for a server may come from: from the shell or `.env`, from `.env` alone, or none may go there. */
export type KeysFrom = "anywhere" | "file" | "nowhere";

/** Whom a run asks, decided once when it is planned. */
export interface Target extends Server {
  /** `file` where only the `.env` of the folder names the base URL. */
  keysFrom: KeysFrom;
  settings: Settings;
}

/** @param isFlag whether the config's `base_url` is the value of a flag */
export function resolveTarget(config: Config, isFlag: boolean, variables: Variables): Target {
  const { model_name: model, base_url: configured } = config.model_config;
  const provider = config.api_provider ?? (configured === undefined ? detectProvider(model) : "openai");
  const { remote } = providers[provider];
  const endpoint = config.model_config.endpoint ?? providers[provider].endpointOf(model);
  if (!remote) {
    const settings = settingsOf(config, { provider, baseUrl: null, endpoint });
    return { provider, baseUrl: null, baseUrlSource: "default", keysFrom: "anywhere", settings };
  }
  const candidates: [string | undefined, BaseUrlSource][] = [
    [configured, isFlag ? "flag" : "config"],
    [valueOf(variables, remote.baseUrlVariable), "environment"],
  ];
  const [given, source] = candidates.find(([url]) => url !== undefined) ?? [remote.defaultBaseUrl, "default"];
  const baseUrl = normaliseBaseUrl(given ?? remote.defaultBaseUrl, remote.baseUrlVariable);
  const isDefault = baseUrl === remote.defaultBaseUrl;
  const baseUrlSource = isDefault ? "default" : source;
  const isOfFile = baseUrlSource === "environment" && setValue(variables.shell, remote.baseUrlVariable) === undefined;
  const settings = settingsOf(config, { provider, baseUrl: isDefault ? null : baseUrl, endpoint });
  return { provider, baseUrl, baseUrlSource, keysFrom: isOfFile ? "file" : "anywhere", settings };
}

/**
 * The variable whose key may go to a server: a provider's own key goes to its own hosts, and to a URL that the user
 * gave by flag or environment. A `base_url` in a config may be somebody else's, and gets DATAGEN_API_KEY.
 */
export function keyVariableOf({ provider, baseUrl, baseUrlSource }: Server): string | null {
  const { remote } = providers[provider];
  if (!remote || baseUrl === null) return null;
  return isOwnHost(provider, baseUrl) || baseUrlSource !== "config" ? remote.keyVariable : "DATAGEN_API_KEY";
}

/**
 * The connection to a server, with the key that may go there.
 * @throws UsageError when a key is missing
 */
export function connectionOf(
  server: Server & { keysFrom: KeysFrom },
  { model_config: { model_name: model }, max_answer_mb: maxAnswerMb = DEFAULT_MAX_ANSWER_MB }: Config,
  variables: Variables,
): Connection {
  const asked = { model, maxAnswerBytes: maxAnswerMb * 1_000_000 };
  const { provider, baseUrl } = server;
  const { remote } = providers[provider];
  const variable = keyVariableOf(server);
  if (!remote || baseUrl === null || variable === null) {
    return { ...asked, baseUrl: null, apiKey: undefined, isTrusted: false };
  }
  const isOwn = isOwnHost(provider, baseUrl);
  const keysFrom = isOwn ? "anywhere" : server.keysFrom;
  const apiKey = keyFrom(keysFrom, variable, variables);
  if (isOwn && apiKey === undefined) {
    throw new UsageError(
      `${remote.keyVariable} is not set, and ${remote.label} wants a key for ${model}`,
      `Set ${remote.keyVariable} in the environment or in a .env file in this folder; --provider offline needs no key.`,
    );
  }
  // A quote is what a shell or an editor has left of a pair.
  if (apiKey !== undefined && !/^[\x21\x23-\x26\x28-\x7e]+$/.test(apiKey)) {
    throw new UsageError(
      `${variable} holds a character that no key has`,
      "Copy the whole key again, without line breaks and quotes.",
    );
  }
  // What the environment sets beside the key comes from the shell.
  return { ...asked, baseUrl, apiKey, isTrusted: variable === remote.keyVariable && keysFrom === "anywhere" };
}

function keyFrom(keysFrom: KeysFrom, variable: string, variables: Variables): string | undefined {
  if (keysFrom === "nowhere") return undefined;
  return keysFrom === "file" ? setValue(variables.file, variable) : valueOf(variables, variable);
}

/** Whether a URL leads to the provider itself. */
export function isOwnHost(provider: ProviderName, baseUrl: string): boolean {
  const { protocol, host } = new URL(baseUrl);
  return protocol === "https:" && providers[provider].remote?.hosts.includes(host) === true;
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
