import { asCount, asObject, asText, parseJson } from "./json.ts";
import { CallError, type CallErrorDetails, type Completion, type ReportedUsage } from "./provider.ts";
import { connectionError, embeddedError } from "./refusal.ts";
import { detailsOf, type Known } from "./response-details.ts";

/*
 * What an OpenAI-compatible server answers with a status of success, read with suspicion: nothing that it sends is taken
 * to have the documented shape.
 */

/** The object or array in a response with a status of success. @throws CallError where it holds none */
export async function readJson(response: Response): Promise<unknown> {
  const text = await response.text().catch((error: unknown) => {
    throw connectionError(error);
  });
  const details = detailsOf(response.status, response.headers);
  const body = parseJson(text);
  if (typeof body !== "object" || body === null) {
    const what = /^\s*</.test(text) ? "HTML" : "a body that is no JSON";
    throw new CallError("malformed", `the server answered ${response.status} with ${what}: ${text}`, details);
  }
  return body;
}

/** The completion in a response with a status of success. @throws CallError where it holds none */
export async function readCompletion(response: Response, model: string): Promise<Completion> {
  return completionOf(await readJson(response), model, detailsOf(response.status, response.headers));
}

/** The completion in the body of an answer. @throws CallError where it holds none */
export function completionOf(value: unknown, model: string, details: Known): Completion {
  const body = asObject(value);
  if (!body) throw new CallError("malformed", `the answer is no JSON object but ${JSON.stringify(value)}`, details);
  if (body["error"]) throw embeddedError(body["error"], details);
  const usage = readUsage(body["usage"]);
  const id = details.requestId ?? asText(body["id"]);
  const known = { ...details, requestId: id, usage };
  const choice = asObject(Array.isArray(body["choices"]) ? (body["choices"] as unknown[])[0] : undefined);
  if (!choice) throw new CallError("malformed", "the response has no choices", known);
  const message = asObject(choice["message"]) ?? {};
  const finishReason = asText(choice["finish_reason"]);
  const refusal = asText(message["refusal"]);
  if (refusal) throw new CallError("refusal", `the model refused: ${refusal}`, known);
  if (finishReason === "content_filter") {
    throw new CallError("content_filter", "the provider's content filter cut the answer", known);
  }
  const content = "message" in choice ? message["content"] : choice["text"];
  if (content !== null && content !== undefined && typeof content !== "string") {
    throw new CallError("malformed", `the answer is no text but ${JSON.stringify(content)}`, known);
  }
  if (!content || content.trim() === "") throw emptyAnswer(finishReason, known);
  const served = asText(body["model"]);
  return {
    ...details,
    text: content,
    finishReason,
    usage,
    requestId: id,
    servedModel: served === model ? null : served,
  };
}

function emptyAnswer(finishReason: string | null, details: Partial<CallErrorDetails>): CallError {
  return finishReason === "length"
    ? new CallError("reasoning_exhausted", "the token limit was used up before any text of an answer", details)
    : new CallError("empty", "the answer is empty", details);
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
