import { addPart, type Answer, completionFrom, type Content, unwrapped } from "../answer.ts";
import { asCount, asObject, asText, type Json, shown } from "../json.ts";
import { CallError, type Completion, type ReportedUsage } from "../provider.ts";
import type { Known } from "../response-details.ts";

/*
 * Reads messages as Anthropic's API gives them: a list of blocks, of which those with text are the answer.
 */

/**
 * The completion in a message.
 * @param model the name of the model in the request
 * @param key the API key, which must not be stored with the answer
 * @throws CallError when there is none
 */
export function completionOf(value: unknown, model: string, details: Known, key: string | undefined): Completion {
  const body = unwrapped(value, "content");
  if (!body) throw new CallError("malformed", `the answer is not a JSON object but ${shown(value)}`, details);
  return completionFrom(readAnswer(body), model, details, key);
}

function readAnswer(body: Json): Answer {
  const blocks = body["content"];
  const content: Content = { text: "", refusal: "", other: undefined };
  for (const block of Array.isArray(blocks) ? (blocks as unknown[]) : [blocks]) addPart(content, block);
  const isToolCall = body["stop_reason"] === "tool_use";
  return {
    ...content,
    // A tool that is called is no answer, and its ending says so.
    other: isToolCall ? undefined : content.other,
    isAnswer: Array.isArray(blocks) || typeof blocks === "string",
    finishReason: asText(body["stop_reason"]),
    usage: readUsage(body["usage"]),
    error: body["error"],
    id: asText(body["id"]),
    model: asText(body["model"]),
  };
}

/** Tokens that were read from the cache or written to it are not among `input_tokens`. */
function readUsage(value: unknown): ReportedUsage | null {
  const usage = asObject(value);
  const input = asCount(usage?.["input_tokens"]);
  const completionTokens = asCount(usage?.["output_tokens"]);
  if (!usage || input === null || completionTokens === null) return null;
  const cachedTokens = asCount(usage["cache_read_input_tokens"]) ?? 0;
  const cacheWriteTokens = asCount(usage["cache_creation_input_tokens"]) ?? 0;
  const cacheWrite1hTokens = asCount(asObject(usage["cache_creation"])?.["ephemeral_1h_input_tokens"]) ?? 0;
  const reasoning = asCount(asObject(usage["output_tokens_details"])?.["thinking_tokens"]) ?? 0;
  return {
    promptTokens: input + cachedTokens + cacheWriteTokens,
    completionTokens,
    cachedTokens,
    cacheWriteTokens,
    cacheWrite1hTokens: Math.min(cacheWrite1hTokens, cacheWriteTokens),
    reasoningTokens: Math.min(reasoning, completionTokens),
  };
}
