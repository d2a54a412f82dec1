import { type AnswerEnding, readEnding } from "./ending.ts";
import { asCount, asObject, asText, type Json, parseJson, shown } from "./json.ts";
import { CallError, type CallErrorDetails, type Completion, type ReportedUsage } from "./provider.ts";
import { connectionError, embeddedError } from "./refusal.ts";
import { bounded, detailsOf, type Known } from "./response-details.ts";
import { answerWithoutKey, withoutKey } from "./secrets.ts";
import { readStream } from "./stream.ts";

/*
 * Reads the answers of OpenAI-compatible servers with a status of success. Nothing in them is trusted to have the
 * documented shape.
 */

/** How deep JSON text may be wrapped in JSON strings, or an answer in objects or arrays. */
const MOST_WRAPPERS = 3;

/** The object or array in a response with a status of success. @throws CallError when there is none */
export async function readJson(response: Response): Promise<unknown> {
  const text = await response.text().catch((error: unknown) => {
    throw connectionError(error);
  });
  const body = readBody(text);
  if (typeof body === "object" && body !== null) return body;
  const what = /^\s*</.test(text) ? "HTML" : "a body that is not JSON";
  const details = detailsOf(response.status, response.headers);
  // An answer that breaks off was generated, so it is paid.
  const isHalf = /^\s*(?:[[{"]|data:)/.test(text) && HOLDS_TEXT.test(text);
  throw new CallError(
    isHalf ? "broken" : "malformed",
    `the server answered ${response.status} with ${what}: ${text}`,
    details,
  );
}

/** Whether a body has generated text in it, as an answer or as a stream. */
const HOLDS_TEXT = /"(?:message|delta|text|content)\\?"\s*:/;

/** The value in the text of a body: JSON, JSON in a JSON string, or a stream; undefined for any other text. */
export function readBody(text: string): unknown {
  let value: unknown = text;
  for (let times = 0; typeof value === "string" && times <= MOST_WRAPPERS; times += 1) {
    value = isCrowded(value) ? undefined : (parseJson(value) ?? readStream(value));
  }
  return value;
}

/** Texts up to this length are always parsed. */
const SMALL = 500_000;
/** Each value may take a hundred bytes in memory. An answer of 8,000 tokens with their probabilities has fewer values. */
const MOST_VALUES = 300_000;

/** Whether a text has so many values that they would take many times its size in memory. */
function isCrowded(text: string): boolean {
  if (text.length <= SMALL) return false;
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    // Skip to the end of the string.
    if (code === 0x22) at = endOfString(text, at);
    // `,`, `[` and `{`
    else if (code === 0x2c || code === 0x5b || code === 0x7b) values += 1;
  }
  return values > MOST_VALUES;
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
  return at;
}

/**
 * The completion in a response with a status of success.
 * @param key the API key, which must not be stored with the answer
 * @throws CallError when there is none
 */
export async function readCompletion(response: Response, model: string, key: string | undefined): Promise<Completion> {
  return completionOf(await readJson(response), model, detailsOf(response.status, response.headers), key);
}

/** The completion in the body of an answer. @throws CallError when there is none */
export function completionOf(value: unknown, model: string, details: Known, key: string | undefined): Completion {
  const body = unwrapped(value);
  if (!body) throw new CallError("malformed", `the answer is not a JSON object but ${shown(value)}`, details);
  const nameOf = (name: string | null) => (name === null ? null : bounded(withoutKey(name, key)));
  const usage = readUsage(body["usage"]);
  const requestId = nameOf(details.requestId ?? asText(body["id"]));
  const known = { ...details, requestId, usage };
  const choice = choiceOf(body["choices"]);
  const { text, refusal, isOther } = contentOf(choice ?? {});
  const finishReason = asText(choice?.["finish_reason"]);
  const ending = readEnding(finishReason === null ? null : withoutKey(finishReason, key));
  const hasText = text.trim() !== "";
  const isGenerated = hasText || isOther || (usage !== null && usage.completionTokens > 0);
  const error = realError(body["error"]) ?? realError(choice?.["error"]);
  if (error !== undefined) throw isGenerated ? brokenBy(error, known) : embeddedError(error, known);
  if (!choice) throw new CallError(isGenerated ? "broken" : "malformed", "the response has no choices", known);
  if (refusal !== "") {
    const whole = answerWithoutKey(refusal, key);
    throw new CallError("refusal", `the model refused: ${refusal}`, { ...known, refusal: whole });
  }
  if (ending.ending === "filtered" || ending.ending === "broken") throw endedBy(ending, isGenerated, known);
  if (isOther) throw new CallError("broken", `the answer is not text but ${shown(contentIn(choice))}`, known);
  if (!hasText) throw emptyAnswer(ending, known);
  const served = nameOf(asText(body["model"]));
  return {
    ...details,
    text: answerWithoutKey(text, key),
    finishReason: ending.word,
    finishReasonRaw: ending.raw,
    usage,
    requestId,
    servedModel: served === model ? null : served,
  };
}

/** Members in which gateways wrap the answer of the server behind them. */
const WRAPPERS = ["data", "response", "result", "body", "output"];

/** The object with the answer, without the arrays of one element or the objects around it. */
function unwrapped(value: unknown): Json | undefined {
  let at = value;
  for (let times = 0; times <= MOST_WRAPPERS; times += 1) {
    if (typeof at === "string") at = readBody(at);
    if (Array.isArray(at) && at.length === 1) at = at[0] as unknown;
    const body = asObject(at);
    if (!body || body["choices"] || body["error"]) return body;
    const inner = WRAPPERS.map((name) => body[name]).find((member) => typeof member === "object" && member !== null);
    if (inner === undefined) return body;
    at = inner;
  }
  return asObject(at);
}

/** The first choice. Some servers send one choice instead of a list. */
function choiceOf(choices: unknown): Json | undefined {
  if (Array.isArray(choices)) return asObject(choices.find((one) => asObject(one) !== undefined));
  const only = asObject(choices);
  if (!only || "message" in only || "text" in only || "delta" in only) return only;
  return asObject(Object.values(only).find((one) => asObject(one) !== undefined));
}

/** The content of a choice, of chat or completions. */
function contentIn(choice: Json): unknown {
  const message = choice["message"] ?? choice["delta"];
  return message === undefined || message === null ? choice["text"] : (asObject(message)?.["content"] ?? null);
}

interface Content {
  text: string;
  refusal: string;
  /** Whether there is content other than a text or a refusal. */
  isOther: boolean;
}

function contentOf(choice: Json): Content {
  const message = asObject(choice["message"]) ?? asObject(choice["delta"]);
  const content: Content = { text: "", refusal: asText(message?.["refusal"]) ?? "", isOther: false };
  const found = contentIn(choice);
  for (const part of Array.isArray(found) ? (found as unknown[]) : [found]) addPart(content, part);
  if (content.text !== "") content.isOther = false;
  return content;
}

/** Types of parts that hold reasoning, which is not part of the answer. */
const THOUGHT = /think|reason|thought/i;

function addPart(content: Content, part: unknown): void {
  if (typeof part === "string") content.text += part;
  if (typeof part === "string" || part === null || part === undefined) return;
  const { type, text, refusal, thought } = asObject(part) ?? {};
  if (THOUGHT.test(asText(type) ?? "") || thought === true) return;
  const value = asObject(text)?.["value"] ?? text;
  if (typeof value === "string") content.text += value;
  else if (typeof refusal === "string") content.refusal += refusal;
  else content.isOther ||= asObject(part) === undefined || Object.keys(part).length > 0;
}

/** Codes and messages that mean "no error". */
const NO_ERROR = /^\s*(?:0|200|none|null|ok|success)?\s*$/i;

/** The error, or undefined if it means "no error". */
export function realError(error: unknown): unknown {
  const members = asObject(error);
  if (members) return Object.values(members).some(isSaid) ? error : undefined;
  if (Array.isArray(error)) return error.length > 0 ? error : undefined;
  return isSaid(error) ? error : undefined;
}

function isSaid(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value === true || !NO_ERROR.test(asText(value) ?? "");
}

/** The error for an answer that was generated, so it is paid, but that the server calls failed. */
function brokenBy(error: unknown, details: Partial<CallErrorDetails>): CallError {
  const embedded = embeddedError(error, details);
  return new CallError("broken", embedded.message, { ...embedded.details, retryAfterMs: null });
}

function endedBy({ ending, word, raw }: AnswerEnding, isGenerated: boolean, details: Partial<CallErrorDetails>) {
  const own = raw ?? word;
  if (ending === "filtered") {
    const why = raw === null ? "" : ` (${raw})`;
    return new CallError("content_filter", `the provider's content filter cut the answer${why}`, details);
  }
  const message = `the server ended the answer early: its finish reason is "${own}"`;
  return new CallError(isGenerated ? "broken" : "server_error", message, { ...details, code: own });
}

function emptyAnswer({ ending, word }: AnswerEnding, details: Partial<CallErrorDetails>): CallError {
  if (ending === "cut") {
    return new CallError("reasoning_exhausted", "the token limit was used up before any text of an answer", details);
  }
  const why = word === "tool_calls" ? ": the model called a tool" : "";
  return new CallError("empty", `the answer is empty${why}`, details);
}

function readUsage(value: unknown): ReportedUsage | null {
  const usage = asObject(value);
  const promptTokens = asCount(usage?.["prompt_tokens"]);
  const completionTokens = asCount(usage?.["completion_tokens"]);
  if (!usage || promptTokens === null || completionTokens === null) return null;
  const promptDetails = asObject(usage["prompt_tokens_details"]);
  const cached = Math.min(promptTokens, asCount(promptDetails?.["cached_tokens"]) ?? 0);
  const written = asCount(promptDetails?.["cache_write_tokens"]) ?? 0;
  const reasoning = asCount(asObject(usage["completion_tokens_details"])?.["reasoning_tokens"]) ?? 0;
  return {
    promptTokens,
    completionTokens,
    cachedTokens: cached,
    cacheWriteTokens: Math.min(written, promptTokens - cached),
    reasoningTokens: Math.min(reasoning, completionTokens),
  };
}
