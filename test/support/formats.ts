import type { Asked, Usage } from "./answers.ts";
import type { FakeProvider } from "./providers/fake-provider.ts";
import { fakes } from "./providers/index.ts";

/** What an answer says, before a provider's format is put around it. */
export interface Reply {
  content: string | null;
  refusal?: string | undefined;
  finish: "stop" | "length" | "content_filter";
  /** Undefined leaves the usage out. */
  usage: Usage | undefined;
  /** Answers with an empty list of choices. */
  noChoices?: boolean | undefined;
}

/** What a provider says is wrong; what is left out is what it says for that status (and code). */
export interface ErrorParts {
  code?: string | null | undefined;
  type?: string | undefined;
  message?: string | undefined;
}

/** An error as every provider says it, before the provider's format is put around it. */
export interface SaidError {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
}

/** An error's body as the provider words it. `key` is the Authorization header: OpenAI repeats a bad key, masked. */
export function errorBody(
  asked: Asked,
  status: number,
  parts: ErrorParts,
  requestId: string,
  key: string | undefined,
): object {
  const fake = fakes[asked.provider ?? "openai"];
  const code = parts.code === undefined ? usualCode(fake, status) : parts.code;
  const usual = usualError(asked, status, code, key);
  const { message = usual.message, type = usual.type } = parts;
  return fake.refusal({ message, type, param: usual.param ?? null, code }, requestId, status);
}

function usualCode({ errors }: FakeProvider, status: number): string | null {
  if (status === 401) return "invalid_api_key";
  if (status === 404) return errors.notFoundCode;
  if (status === 429) return errors.rateLimit.code;
  return null;
}

/** What providers say for a status and a code. */
function usualError(
  asked: Asked,
  status: number,
  code: string | null,
  key: string | undefined,
): { type: string; message: string; param?: string } {
  const invalid = { type: "invalid_request_error" };
  switch (code) {
    case "invalid_api_key":
      return {
        ...invalid,
        message: `Incorrect API key provided: ${masked(key)}. Look your keys up in the settings.`,
      };
    case "model_not_found":
    case "model_not_available":
      return {
        ...invalid,
        message: `The model \`${asked.model}\` does not exist or you do not have access to it.`,
      };
    case "insufficient_quota":
      return {
        type: "insufficient_quota",
        message: "You exceeded your current quota, check your plan and billing.",
      };
    case "context_length_exceeded":
      return {
        ...invalid,
        param: "messages",
        message:
          "This model's maximum context length is 8192 tokens. However, your messages resulted in " +
          `${Math.ceil(Buffer.byteLength(asked.prompt) / 4) + 7} tokens. Please reduce their length.`,
      };
    case "content_policy_violation":
      return { ...invalid, message: "Your request was rejected: it may violate the content policy." };
  }
  if (status === 429) {
    return {
      type: fakes[asked.provider ?? "openai"].errors.rateLimit.type,
      message: `Rate limit reached for ${asked.model} on requests per min (RPM). Please try again later.`,
    };
  }
  if (status === 402) return { type: "credit_limit", message: "Credit limit exceeded, add credits in the settings." };
  if (status === 403) return { ...invalid, message: "You are not allowed to do this." };
  if (status === 408) return { type: "timeout", message: "The request took too long." };
  if (status < 500) return { ...invalid, message: `The request was refused with status ${status}.` };
  return { type: "server_error", message: "The server had an error while processing your request." };
}

/** The first and last characters of a key, as OpenAI shows it in an error. */
function masked(authorization: string | undefined): string {
  const key = authorization?.replace(/^Bearer /, "") ?? "";
  return key.length < 12 ? "*".repeat(key.length) : `${key.slice(0, 7)}${"*".repeat(20)}${key.slice(-4)}`;
}

/** The page that a proxy in front of a provider answers with. */
export const HTML_PAGE =
  "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head>" +
  "<body><h1>Error 502</h1><p>The origin could not be reached.</p></body></html>\n";
