import { createHash } from "node:crypto";
import type { ProviderName } from "../config/providers.ts";
import { parameterFields, type Parameters, withOwn } from "../config/parameters.ts";
import type { Config, Endpoint, Perspective } from "../config/schema.ts";
import type { Prompt } from "../models/prompt.ts";
import { TOKEN_LIMITS } from "../config/token-limits.ts";

/** Everything in a request but its messages. Parameters are as configured, before a provider adapts them. */
export interface Settings {
  provider: ProviderName;
  /** Null for the provider's own base URL; of several servers their name, as `server:NAME`, or the first URL. */
  base_url: string | null;
  endpoint: Endpoint;
  model: string;
  parameters: Parameters;
}

/** Part of every key, so that keys made by different rules never match. */
export const KEY_VERSION = 1;

/** The settings of a config whose provider, base URL and endpoint have been decided. */
export function settingsOf(
  config: Config,
  decided: { provider: ProviderName; baseUrl: string | null; endpoint: Endpoint },
): Settings {
  const { model_name: model, ...others } = config.model_config;
  const isParameter = ([name]: [string, unknown]) => Object.hasOwn(parameterFields, name);
  const parameters: Parameters = Object.fromEntries(Object.entries(others).filter(isParameter));
  return { provider: decided.provider, base_url: decided.baseUrl, endpoint: decided.endpoint, model, parameters };
}

/** The settings of each perspective of a run, in their order. Equal settings are the same object. */
export function settingsByPerspective(
  settings: Settings,
  perspectives: readonly Pick<Perspective, "model_config">[],
): Settings[] {
  const known = new Map([[canonicalJson(settings), settings]]);
  return perspectives.map(({ model_config: own }) => {
    if (own === undefined) return settings;
    const made = { ...settings, parameters: withOwn(settings.parameters, own) };
    const canonical = canonicalJson(made);
    const same = known.get(canonical) ?? made;
    known.set(canonical, same);
    return same;
  });
}

/**
 * The most completion tokens that a request with these settings allows; null if they set no limit. A member of
 * `extra_body` replaces a parameter of the same name. Of two limits, the server may use the higher one.
 */
export function tokenLimit({ parameters }: Pick<Settings, "parameters">): number | null {
  const { extra_body: extra, ...given } = parameters;
  const sent: Record<string, unknown> = { ...given, ...extra };
  const limits = TOKEN_LIMITS.map((name) => sent[name]).filter((limit) => limit !== undefined);
  const isClear = limits.length > 0 && limits.every((limit) => typeof limit === "number");
  return isClear ? Math.max(...limits) : null;
}

/** The settings without their limit of completion tokens. */
export function withoutTokenLimit(settings: Settings): Settings {
  const { max_tokens: _, max_completion_tokens: __, ...parameters } = settings.parameters;
  return { ...settings, parameters };
}

/**
 * Canonical JSON: no white space, the members of every object sorted by their names' UTF-16 code units, strings and
 * numbers as `JSON.stringify` writes them (RFC 8785).
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}

/**
 * The key of a call: `s256:` and the SHA-256, in hex, of the canonical JSON of
 * `{"base_url", "endpoint", "messages", "model", "parameters", "provider", "version"}`, where `messages` are those
 * of the prompt. Calls with equal keys send the same prompt to the same model with the same parameters.
 */
export function callKeys(settings: Settings): (prompt: Pick<Prompt, "messages">) => string {
  const name = '"messages":';
  const frame = canonicalJson({ ...settings, messages: 0, version: KEY_VERSION });
  const at = frame.indexOf(name) + name.length;
  const [before, after] = [frame.slice(0, at), frame.slice(at + 1)];
  return ({ messages }) => {
    const each = messages.map(({ role, content }) => `{"content":${JSON.stringify(content)},"role":"${role}"}`);
    return sha256(`${before}[${each.join()}]${after}`);
  };
}

/** `s256:` and the SHA-256, in hex, of bytes, or of a text in UTF-8. A text with lone surrogates is hashed in UTF-16LE. */
export function sha256(text: string | Uint8Array): string {
  const bytes = typeof text !== "string" || text.isWellFormed() ? text : Buffer.from(text, "utf16le");
  return `s256:${createHash("sha256").update(bytes).digest("hex")}`;
}
