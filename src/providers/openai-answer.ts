import { addPart, type Answer, completionFrom, type Content, realError, unwrapped } from "./answer.ts";
import { asCount, asObject, asText, type Json, shown } from "./json.ts";
import { readJson } from "./json-body.ts";
import { CallError, type Completion, type ReportedUsage } from "./provider.ts";
import { detailsOf, type Known } from "./response-details.ts";

/*
 * Reads the answers of OpenAI-compatible servers with a status of success.
 */

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
  const body = unwrapped(value, "choices");
  if (!body) throw new CallError("malformed", `the answer is not a JSON object but ${shown(value)}`, details);
  return completionFrom(readAnswer(body), model, details, key);
}

function readAnswer(body: Json): Answer {
  const choice = choiceOf(body["choices"]);
  return {
    ...contentOf(choice ?? {}),
    isAnswer: choice !== undefined,
    finishReason: asText(choice?.["finish_reason"]),
    usage: readUsage(body["usage"]),
    error: realError(body["error"]) ?? choice?.["error"],
    id: asText(body["id"]),
    model: asText(body["model"]),
  };
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

function contentOf(choice: Json): Content {
  const message = asObject(choice["message"]) ?? asObject(choice["delta"]);
  const content: Content = { text: "", refusal: asText(message?.["refusal"]) ?? "", other: undefined };
  const found = contentIn(choice);
  for (const part of Array.isArray(found) ? (found as unknown[]) : [found]) addPart(content, part);
  if (content.other !== undefined) content.other = found;
  return content;
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
    cacheWrite1hTokens: 0,
    reasoningTokens: Math.min(reasoning, completionTokens),
  };
}
