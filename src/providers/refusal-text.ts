import { asObject, asText, type Json, parseJson } from "./json.ts";

/*
 * Reads the body of a refusal. Servers, gateways and proxies use many shapes for it. The result is always one message and
 * the names of the error.
 */

/** The message of a refusal, and the names of its error. */
export interface RefusalText {
  message: string | null;
  /** Codes, types and names of the error; bare numbers come last. */
  names: string[];
  /** How long to wait, as Google's servers write it: `31s`. */
  retryDelay?: string;
  /** The quotas that are used up, by their names at Google. */
  quotas?: string[];
}

const NOTHING: RefusalText = { message: null, names: [] };

/** How deep in its body a refusal is looked for. */
const DEEPEST = 8;
/** How many errors of a list are shown. */
const MOST_LISTED = 3;
/** How many members of a list are looked at. */
const MOST_READ = 20;
/** Longer names are left out. */
const LONGEST_NAME = 200;

/** The keys that may hold the names of an error, and those that may hold its message, the best first. */
const NAME_KEYS = ["code", "type", "status", "name", "error_code", "error"];
const MESSAGE_KEYS = ["error", "message", "msg", "detail", "details", "errors", "error_description", "title", "reason"];

/** @param value the body, as text or as JSON */
export function unfold(value: unknown, depth = 0): RefusalText {
  if (depth > DEEPEST) return NOTHING;
  if (typeof value === "string") return unfoldText(value, depth);
  if (Array.isArray(value)) return unfoldList(value.slice(0, MOST_READ), depth);
  const object = asObject(value);
  return object ? unfoldObject(object, depth) : NOTHING;
}

function unfoldObject(object: Json, depth: number): RefusalText {
  const members = MESSAGE_KEYS.map((key) => ({ key, parsed: unfold(object[key], depth + 1) }));
  const inner = members.filter(({ parsed }) => parsed.message !== null);
  // `error` may be the error, its text, or its name next to a text.
  const isName = ({ key }: { key: string }) => key === "error" && typeof object[key] === "string";
  const best = inner.find((one) => !isName(one)) ?? inner[0];
  const own = [
    // Anthropic has a code in there, without a message.
    asText(asObject(object["details"])?.["error_code"]),
    ...NAME_KEYS.filter((key) => !(key === "error" && best?.key === "error")).map((key) => asText(object[key])),
  ].filter((name) => name !== null && name !== "" && name.length <= LONGEST_NAME) as string[];
  const names = [...new Set([...(best?.parsed.names ?? []), ...own])];
  const isNumber = (name: string) => /^-?\d+$/.test(name);
  const place = Array.isArray(object["loc"]) ? object["loc"].slice(0, 8).map(asText).join(".") : "";
  const message = best?.parsed.message ?? null;
  return {
    message: place !== "" && message !== null ? `${place}: ${message}` : message,
    names: [...names.filter((name) => !isNumber(name)), ...names.filter(isNumber)],
    ...limitsIn([limitsOf(object), ...members.map(({ parsed }) => parsed)]),
  };
}

type Limits = Pick<RefusalText, "retryDelay" | "quotas">;

/** What Google's servers say in the details of an error (google.rpc.RetryInfo and google.rpc.QuotaFailure). */
function limitsOf({ retryDelay, violations }: Json): Limits {
  const list = Array.isArray(violations) ? violations.slice(0, MOST_READ) : [];
  const quotas = list.map((one) => asObject(one)?.["quotaId"]).filter((id) => typeof id === "string");
  return {
    ...(typeof retryDelay === "string" && { retryDelay }),
    quotas: quotas.filter((id) => id.length <= LONGEST_NAME),
  };
}

function limitsIn(all: readonly Limits[]): Limits {
  const retryDelay = all.find((one) => one.retryDelay !== undefined)?.retryDelay;
  const quotas = [...new Set(all.flatMap((one) => one.quotas ?? []))];
  return { ...(retryDelay !== undefined && { retryDelay }), ...(quotas.length > 0 && { quotas }) };
}

function unfoldList(list: readonly unknown[], depth: number): RefusalText {
  const parsed = list.map((one) => unfold(one, depth + 1));
  const limits = limitsIn(parsed);
  const all = parsed.filter(({ message }) => message !== null).slice(0, MOST_LISTED);
  if (all.length === 0) return { ...NOTHING, ...limits };
  return {
    message: all.map(({ message }) => message).join("; "),
    names: all.flatMap(({ names }) => names),
    ...limits,
  };
}

function unfoldText(text: string, depth: number): RefusalText {
  const trimmed = text.trim();
  if (trimmed === "") return NOTHING;
  if (/^[[{]/.test(trimmed)) {
    const parsed = unfold(parseJson(trimmed), depth + 1);
    if (parsed.message !== null) return parsed;
  }
  const message = /^<|<html/i.test(trimmed) ? wordsOf(trimmed) : trimmed;
  return message === "" ? NOTHING : { message, names: [] };
}

/** The title of a page, or the first words of its text. */
function wordsOf(html: string): string {
  // Drop a word that is cut off, because it may be a part of a key.
  const start = html.length > 20_000 ? html.slice(0, Math.max(0, html.lastIndexOf(" ", 20_000))) : html;
  const [, title = ""] = /<title[^>]*>([^<]*)/i.exec(start) ?? [];
  if (title.trim() !== "") return plain(title);
  const text = start.replace(/<(script|style|head)\b.*?<\/\1\s*>/gis, " ").replace(/<[^>]*>?/g, " ");
  const words = plain(text);
  // Without a space the text stays whole, so that a key in it can be found.
  const end = words.length > 300 ? words.lastIndexOf(" ", 300) : -1;
  return end > 0 ? words.slice(0, end) : words;
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: " ", "#39": "'" };

function plain(text: string): string {
  const decoded = text.replace(/&(amp|lt|gt|quot|nbsp|#39);/g, (whole, name: string) => ENTITIES[name] ?? whole);
  return decoded.replace(/\s+/g, " ").trim();
}
