import type { ProviderName } from "../../config/providers.ts";
import { type Config, DEFAULT_MAX_ANSWER_MB, isServerUrl, plainUrl, SERVER_URL } from "../../config/schema.ts";
import { UsageError } from "../../errors.ts";
import { settingsByPerspective, settingsOf, type Settings } from "../../plan/settings.ts";
import { detectProvider, OF_OTHER_MODELS, OF_OTHER_SERVERS, providers, WITHOUT_SERVER } from "../../providers/index.ts";
import type { Connection } from "../../providers/provider-info.ts";
import { setValue, type Variables, valueOf } from "./environment.ts";

/** Where the base URL of a run comes from. */
type BaseUrlSource = "flag" | "config" | "environment" | "default";

/** The server of a run, or of a worker. */
export interface Server {
  provider: ProviderName;
  /** Null for a provider without a network. */
  baseUrl: string | null;
  baseUrlSource: BaseUrlSource;
}

/** Where a key for a server may come from: the shell or `.env`, only `.env`, or nowhere. */
export type KeysFrom = "anywhere" | "file" | "nowhere";

/** The servers of a provider that are asked. */
export interface Servers extends Server {
  /** The base URLs of all its servers, which have the same model; empty without a network. The first one is `baseUrl`. */
  baseUrls: readonly string[];
  /** `file` if only the `.env` of the folder names the base URL. */
  keysFrom: KeysFrom;
}

/** The server, model and settings of a run, decided once when it is planned. */
export interface Target extends Servers {
  /** Those of the run. */
  settings: Settings;
  /** Those of each perspective. */
  asked: readonly Settings[];
}

/** @param isFlag whether the config's `base_url` came from a flag */
export function resolveTarget(config: Config, isFlag: boolean, variables: Variables): Target {
  const { model_name: model, base_url: configured } = config.model_config;
  const provider = config.api_provider ?? (configured === undefined ? detectProvider(model) : OF_OTHER_SERVERS);
  const servers = resolveServers(provider, configured, isFlag, variables);
  const endpoint = config.model_config.endpoint ?? providers[provider].endpointOf(model);
  const settings = settingsOf(config, { provider, baseUrl: nameIn(config, servers), endpoint });
  return { ...servers, settings, asked: settingsByPerspective(settings, config.agent_perspectives) };
}

/** What stands for the servers in the keys of calls; null for the provider's own base URL. */
function nameIn({ model_config: { server } }: Config, { provider, baseUrl }: Server): string | null {
  const { remote } = providers[provider];
  if (remote === null) return null;
  return server !== undefined ? `server:${server}` : baseUrl === remote.defaultBaseUrl ? null : baseUrl;
}

/**
 * Decides which servers of a provider are asked.
 * @param configured the base URLs of a config or a flag
 * @throws UsageError when the environment names no base URL
 */
export function resolveServers(
  provider: ProviderName,
  configured: string | string[] | undefined,
  isFlag: boolean,
  variables: Variables,
): Servers {
  const { remote } = providers[provider];
  if (!remote) return { provider, baseUrl: null, baseUrls: [], baseUrlSource: "default", keysFrom: "anywhere" };
  const candidates: [string | string[] | undefined, BaseUrlSource][] = [
    [configured, isFlag ? "flag" : "config"],
    [valueOf(variables, remote.baseUrlVariable), "environment"],
  ];
  const [given, source] = candidates.find(([url]) => url !== undefined) ?? [remote.defaultBaseUrl, "default"];
  const baseUrls = [given ?? remote.defaultBaseUrl].flat().map((url) => normaliseBaseUrl(url, remote.baseUrlVariable));
  const [baseUrl = remote.defaultBaseUrl] = baseUrls;
  const isDefault = baseUrls.length === 1 && baseUrl === remote.defaultBaseUrl;
  const baseUrlSource = isDefault ? "default" : source;
  const isOfFile = baseUrlSource === "environment" && setValue(variables.shell, remote.baseUrlVariable) === undefined;
  return { provider, baseUrl, baseUrls, baseUrlSource, keysFrom: isOfFile ? "file" : "anywhere" };
}

/**
 * The variable whose key may go to a server. A provider's key goes to its own hosts, and to a URL that the user gave by a
 * flag or the environment. A `base_url` in a config may be somebody else's, so it gets DATAGEN_API_KEY.
 */
export function keyVariableOf({ provider, baseUrl, baseUrlSource }: Server): string | null {
  const { remote } = providers[provider];
  if (!remote || baseUrl === null) return null;
  return isOwnHost(provider, baseUrl) || baseUrlSource !== "config" ? remote.keyVariable : "DATAGEN_API_KEY";
}

/** The servers of a run, each as if it were the only one. */
export function eachServer<T extends Server>(target: T & { baseUrls: readonly string[] }): T[] {
  return target.baseUrls.length === 0 ? [target] : target.baseUrls.map((baseUrl) => ({ ...target, baseUrl }));
}

/** The parts of a config that decide on a connection. A connection for no model has an empty name. */
export type Connected = Pick<Config, "max_answer_mb"> & { model_config: Pick<Config["model_config"], "model_name"> };

/** The connection to a server that workers ask, with their own keys. */
export function connectionOfWorkers(
  { baseUrl }: Server,
  { model_config: { model_name: model }, max_answer_mb: maxAnswerMb = DEFAULT_MAX_ANSWER_MB }: Connected,
): Connection {
  return { model, maxAnswerBytes: maxAnswerMb * 1_000_000, baseUrl, apiKey: undefined, isTrusted: false };
}

/** A key that a provider needs is not set. */
export class MissingKeyError extends UsageError {
  /** The variable that would have it. */
  readonly variable: string;
  /** What else may be wrong; empty if nothing comes to mind. */
  readonly doubt: string;

  constructor(message: string, variable: string, doubt: string) {
    super(message, [setIt(variable), doubt].filter(Boolean).join("\n"));
    this.variable = variable;
    this.doubt = doubt;
  }
}

function setIt(variable: string): string {
  return `Set ${variable} in the environment or in a .env file in this folder; --provider ${WITHOUT_SERVER.join(" or ")} needs no key.`;
}

/**
 * The error for the keys that several runs lack, with a line for each key.
 * @param errors at least one
 */
export function missingKeys(errors: readonly MissingKeyError[]): UsageError {
  const different = errors.filter(({ variable }, at) => errors.findIndex((one) => one.variable === variable) === at);
  const [only, ...others] = different;
  if (only && others.length === 0) return only;
  const doubts = new Set(errors.map(({ doubt }) => doubt).filter(Boolean));
  return new UsageError(different.map(({ message }) => message).join("\n"), [setIt("them"), ...doubts].join("\n"));
}

/**
 * The connection to a server, with the key that may go there.
 * @throws MissingKeyError when a key is missing, UsageError when it cannot be one
 */
export function connectionOf(
  server: Server & { keysFrom: KeysFrom },
  { model_config: { model_name: model }, max_answer_mb: maxAnswerMb = DEFAULT_MAX_ANSWER_MB }: Connected,
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
    // Names of open models have the name of their maker before a slash.
    const ofOther =
      provider === OF_OTHER_MODELS && model !== "" && !model.includes("/")
        ? `${remote.label} is asked for all models whose names no other provider knows: check the name. Your own server needs --base-url, or base_url in the config.`
        : "";
    const whom = `${remote.label} needs a key${model === "" ? "" : ` for ${model}`}`;
    throw new MissingKeyError(`${remote.keyVariable} is not set, but ${whom}`, remote.keyVariable, ofOther);
  }
  // A quote in a key is left over from a pair of quotes.
  if (apiKey !== undefined && !/^[\x21\x23-\x26\x28-\x7e]+$/.test(apiKey)) {
    throw new UsageError(
      `${variable} has a character that is not allowed in a key`,
      "Copy the whole key again, without line breaks and quotes.",
    );
  }
  // The SDKs read other settings, such as headers, from the shell's environment.
  return { ...asked, baseUrl, apiKey, isTrusted: variable === remote.keyVariable && keysFrom === "anywhere" };
}

function keyFrom(keysFrom: KeysFrom, variable: string, variables: Variables): string | undefined {
  if (keysFrom === "nowhere") return undefined;
  return keysFrom === "file" ? setValue(variables.file, variable) : valueOf(variables, variable);
}

/** Whether a URL belongs to the provider itself. */
export function isOwnHost(provider: ProviderName, baseUrl: string): boolean {
  const { protocol, host } = new URL(baseUrl);
  return protocol === "https:" && providers[provider].remote?.hosts.includes(host) === true;
}

/**
 * A base URL in the form that is stored.
 * @param from the variable or flag that gave it, for the error
 * @throws UsageError when it is not a base URL
 */
export function normaliseBaseUrl(url: string, from: string): string {
  if (!isServerUrl(url)) {
    throw new UsageError(`${from} is not a base URL`, `Expected ${SERVER_URL}.`);
  }
  return plainUrl(url);
}
