import { addPart, type Answer, completionFrom, type Content, realError, unwrapped } from "../answer.ts";
import { asCount, asObject, asText, type Json, shown } from "../json.ts";
import { readJson } from "../json-body.ts";
import { CallError, type Completion, type ReportedUsage } from "../provider.ts";
import { detailsOf, type Known } from "../response-details.ts";

/*
 * Reads the answers of the Gemini API with a status of success.
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
  const body = unwrapped(value, "candidates");
  if (!body) throw new CallError("malformed", `the answer is not a JSON object but ${shown(value)}`, details);
  return completionFrom(readAnswer(body), model, details, key);
}

function readAnswer(body: Json): Answer {
  const { candidates } = body;
  const candidate = Array.isArray(candidates) ? asObject(candidates.find((one) => asObject(one))) : undefined;
  const finishReason = asText(candidate?.["finishReason"]);
  return {
    ...contentOf(asObject(candidate?.["content"])),
    isAnswer: candidate !== undefined,
    finishReason,
    usage: readUsage(body["usageMetadata"]),
    error: realError(body["error"]) ?? (candidate ? ofAccount(finishReason) : blockedPrompt(body)),
    id: asText(body["responseId"]),
    model: asText(body["modelVersion"]),
  };
}

function contentOf(content: Json | undefined): Content {
  const read: Content = { text: "", refusal: "", other: undefined };
  const parts = content?.["parts"];
  for (const part of Array.isArray(parts) ? (parts as unknown[]) : []) {
    // A part may hold nothing but the signature of the thoughts.
    const { thoughtSignature: _, ...rest } = asObject(part) ?? {};
    addPart(read, rest);
  }
  return read;
}

/** The error of a prompt that was blocked before anything was generated, in words that refusal.ts knows. */
function blockedPrompt(body: Json): unknown {
  const feedback = asObject(body["promptFeedback"]);
  const reason = asText(feedback?.["blockReason"]);
  if (reason === null) return undefined;
  const more = asText(feedback?.["blockReasonMessage"]);
  return { message: `the content filter blocked the prompt (${reason})${more === null ? "" : `: ${more}`}` };
}

/** The error of an answer that ended because of the account, whose other answers would end so, too. */
function ofAccount(finishReason: string | null): unknown {
  if (finishReason !== "PUP_LIMITED_DISABLED") return undefined;
  return { code: 403, status: finishReason, message: "the account is limited for violating the Prohibited Use Policy" };
}

/** Google counts thoughts and the results of tools apart from the answer and the prompt, and leaves out counts of 0. */
function readUsage(value: unknown): ReportedUsage | null {
  const usage = asObject(value);
  const prompt = asCount(usage?.["promptTokenCount"]);
  if (!usage || prompt === null) return null;
  const countOf = (name: string) => asCount(usage[name]) ?? 0;
  const reasoningTokens = countOf("thoughtsTokenCount");
  return {
    promptTokens: prompt + countOf("toolUsePromptTokenCount"),
    completionTokens: countOf("candidatesTokenCount") + reasoningTokens,
    cachedTokens: Math.min(prompt, countOf("cachedContentTokenCount")),
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    reasoningTokens,
  };
}
