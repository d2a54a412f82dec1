/*
 * The server of all measurements, in its own process: chat completions in OpenAI's format, each with a different text. It
 * does as little work as possible, so that the client is measured. It gets its behaviour, and reports what it saw, by
 * messages between the processes; see lab.ts.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** The behaviour of the server from now on. Setting it resets the counts. */
export interface Behaviour {
  latencyMs: number;
  /** The length of each answer's text. */
  answerBytes: number;
  /** Whether it refuses every key, so that a run stops with its first call. */
  isRefusing?: boolean;
}

/** What the server has seen since its behaviour was set. Times are milliseconds since 1970. */
export interface Seen {
  requests: number;
  /** When the first request came. */
  firstAt: number;
  /** When the last answer was sent. */
  lastAt: number;
}

const NUMBER_AT = "answer ".length;
const NUMBER_DIGITS = 9;

let behaviour: Behaviour = { latencyMs: 0, answerBytes: 2_000 };
let template = bodyOf(behaviour.answerBytes);
let seen: Seen = { requests: 0, firstAt: 0, lastAt: 0 };

const now = () => performance.timeOrigin + performance.now();

function bodyOf(answerBytes: number): { bytes: Buffer; numberAt: number } {
  const beginning = `answer ${"0".repeat(NUMBER_DIGITS)}`;
  const filler = " and one more sentence of a text that has nothing to say".repeat(Math.ceil(answerBytes / 40));
  const content = (beginning + filler).slice(0, Math.max(answerBytes, beginning.length));
  const body = {
    id: "chatcmpl-0123456789abcdefghijklmnopqrs",
    object: "chat.completion",
    created: 1_750_000_000,
    model: "gpt-4o-mini-2024-07-18",
    choices: [
      { index: 0, message: { role: "assistant", content, refusal: null }, logprobs: null, finish_reason: "stop" },
    ],
    usage: {
      prompt_tokens: 120,
      completion_tokens: Math.ceil(answerBytes / 5),
      total_tokens: 120 + Math.ceil(answerBytes / 5),
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
    },
    service_tier: "default",
    system_fingerprint: "fp_0123456789",
  };
  const bytes = Buffer.from(JSON.stringify(body));
  return { bytes, numberAt: bytes.indexOf(beginning) + NUMBER_AT };
}

function answer(response: ServerResponse, number: number): void {
  const bytes = Buffer.from(template.bytes);
  bytes.write(String(number).padStart(NUMBER_DIGITS, "0"), template.numberAt, "latin1");
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": bytes.length,
    "x-request-id": `req_${String(number).padStart(32, "0")}`,
    "openai-processing-ms": String(behaviour.latencyMs),
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000000",
    "x-ratelimit-remaining-requests": "9999999",
    "x-ratelimit-reset-requests": "1ms",
    "x-ratelimit-limit-tokens": "10000000000",
    "x-ratelimit-remaining-tokens": "9999999000",
    "x-ratelimit-reset-tokens": "1ms",
  });
  response.end(bytes);
  seen.lastAt = now();
}

function refuse(response: ServerResponse): void {
  response.writeHead(401, { "content-type": "application/json" });
  response.end('{"error": {"message": "No such key", "type": "invalid_request_error", "code": "invalid_api_key"}}');
}

const http = createServer((request, response) => {
  const number = seen.requests;
  if (number === 0) seen.firstAt = now();
  seen.requests += 1;
  request.resume();
  request.once("end", () => {
    if (behaviour.isRefusing) refuse(response);
    else if (behaviour.latencyMs > 0) setTimeout(answer, behaviour.latencyMs, response, number);
    else answer(response, number);
  });
});
http.keepAliveTimeout = 0;

process.on("message", (message: Behaviour | "tell") => {
  if (message === "tell") {
    process.send?.(seen);
    return;
  }
  behaviour = message;
  template = bodyOf(message.answerBytes);
  seen = { requests: 0, firstAt: 0, lastAt: 0 };
  process.send?.(seen);
});
process.once("disconnect", () => process.exit());
http.listen(0, "127.0.0.1", 4_096, () => process.send?.({ port: (http.address() as AddressInfo).port }));
