import { type AnswerEnding, readEnding } from "./ending.ts";
import { asObject, asText, shown } from "./json.ts";
import { readBody, MOST_WRAPPERS } from "./json-body.ts";
import type { Json } from "./json.ts";
import { CallError, type CallErrorDetails, type Completion, type ReportedUsage } from "./provider.ts";
import { embeddedError } from "./refusal.ts";
import { bounded, type Known } from "./response-details.ts";
import { answerWithoutKey, withoutKey } from "./secrets.ts";

/*
 * Decides what an answer with a status of success means, whoever gave it. A provider reads the members of its answers into
 * an `Answer`. Nothing in one is trusted to have the documented shape.
 */

/** What an answer says, without the shape in which its provider says it. */
export interface Answer extends Content {
  /** Whether it has a place for a text: a choice, a candidate, a content. */
  isAnswer: boolean;
  /** How it ended, in the provider's words; null if it does not say. */
  finishReason: string | null;
  usage: ReportedUsage | null;
  /** An error in the body; undefined if there is none. */
  error: unknown;
  /** The id that the body gives the request, for responses whose headers do not. */
  id: string | null;
  /** The model that it names. */
  model: string | null;
}

/** The content of an answer. */
export interface Content {
  text: string;
  /** The words with which the model refused. */
  refusal: string;
  /** Content other than a text or a refusal, to be shown; undefined if there is none. */
  other: unknown;
}

/**
 * The completion in an answer.
 * @param model the name of the model in the request
 * @param key the API key, which must not be stored with the answer
 * @throws CallError when there is none
 */
export function completionFrom(answer: Answer, model: string, details: Known, key: string | undefined): Completion {
  const nameOf = (name: string | null) => (name === null ? null : bounded(withoutKey(name, key)));
  const { text, refusal, other, usage, finishReason } = answer;
  const requestId = nameOf(details.requestId ?? answer.id);
  const known = { ...details, requestId, usage };
  const ending = readEnding(finishReason === null ? null : withoutKey(finishReason, key));
  const hasText = text.trim() !== "";
  const isOther = other !== undefined && text === "";
  const isGenerated = hasText || isOther || (usage !== null && usage.completionTokens > 0);
  const error = realError(answer.error);
  if (error !== undefined) throw isGenerated ? brokenBy(error, known) : embeddedError(error, known);
  if (!answer.isAnswer) {
    throw new CallError(isGenerated ? "broken" : "malformed", "the response has no choices", known);
  }
  if (refusal !== "") {
    const whole = answerWithoutKey(refusal, key);
    throw new CallError("refusal", `the model refused: ${refusal}`, { ...known, refusal: whole });
  }
  if (ending.ending === "filtered" || ending.ending === "broken") throw endedBy(ending, isGenerated, known);
  if (isOther) throw new CallError("broken", `the answer is not text but ${shown(other)}`, known);
  if (!hasText) throw emptyAnswer(ending, known);
  const served = nameOf(answer.model);
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

/**
 * The object with the answer, without the arrays of one element or the objects around it.
 * @param member the member that only an answer has
 */
export function unwrapped(value: unknown, member: string): Json | undefined {
  let at = value;
  for (let times = 0; times <= MOST_WRAPPERS; times += 1) {
    if (typeof at === "string") at = readBody(at);
    if (Array.isArray(at) && at.length === 1) at = at[0] as unknown;
    const body = asObject(at);
    if (!body || body[member] || body["error"]) return body;
    const inner = WRAPPERS.map((name) => body[name]).find((one) => typeof one === "object" && one !== null);
    if (inner === undefined) return body;
    at = inner;
  }
  return asObject(at);
}

/** Types of parts that hold reasoning, which is not part of the answer. */
const THOUGHT = /think|reason|thought/i;

/** Adds a part of a content. Parts with reasoning are no part of it. */
export function addPart(content: Content, part: unknown): void {
  if (typeof part === "string") content.text += part;
  if (typeof part === "string" || part === null || part === undefined) return;
  const { type, text, refusal, thought } = asObject(part) ?? {};
  if (THOUGHT.test(asText(type) ?? "") || thought === true) return;
  const value = asObject(text)?.["value"] ?? text;
  if (typeof value === "string") content.text += value;
  else if (typeof refusal === "string") content.refusal += refusal;
  else if (asObject(part) === undefined || Object.keys(part).length > 0) content.other ??= part;
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
