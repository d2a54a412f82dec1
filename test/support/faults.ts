import { answerFrom, shortened, usageFrom } from "./answers.ts";
import type { Asked, CacheWrites, Usage } from "./answers.ts";
import { errorBody, HTML_PAGE } from "./formats.ts";
import type { ErrorParts, Reply } from "./formats.ts";
import { fakes } from "./providers/index.ts";

/** What goes wrong with one request. */
export type Fault =
  /** An error in the provider's own format, unless `body` is given; its usual code, type and message by default. */
  | ({
      kind: "status";
      status: number;
      headers?: Record<string, string>;
      body?: string | object;
    } & ErrorParts)
  /** `{"error": …}` under 200. */
  | ({ kind: "error200" } & ErrorParts)
  /** `reset`: RST before any header; `close`: the connection ends in good order, without an answer. */
  | { kind: "reset" | "close" }
  /** Never answered. */
  | { kind: "hang" }
  /** The connection ends in the middle of the body. */
  | { kind: "half" }
  /** Half of the JSON, with the length of that half. */
  | { kind: "malformed" }
  /** A page in HTML; status 200 by default. */
  | { kind: "html"; status?: number }
  /** No choices; empty or null content; no content because the whole limit went into reasoning. */
  | { kind: "noChoices" | "empty" | "null" | "reasoningOnly" }
  /** `shortened(answer)` with finish reason `length` or `content_filter`. */
  | { kind: "length" | "contentFilter" }
  /** Null content, and a refusal in its field. */
  | { kind: "refusal"; text?: string }
  /** A good answer, of which the second half comes `ms` later. */
  | { kind: "slowBody"; ms: number }
  /** A good answer with this text, and with this in the place of what it would say it used; cut off at its limit. */
  | { kind: "text"; text: string; usage?: Partial<Usage> & CacheWrites; cut?: boolean }
  /** A good answer that does not say what it used. */
  | { kind: "noUsage" };

/** A response before it is sent. */
export interface Outgoing {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
  /** What the body says was used; undefined where it cannot be read from it. */
  usage: Usage | undefined;
  /** Whether it holds an answer that a client can keep. */
  good: boolean;
}

const JSON_TYPE = { "content-type": "application/json" };

/** What the server sends for a request; faults of the connection are left to the one who sends it. */
export function outgoing(
  asked: Asked,
  digest: Buffer,
  fault: Fault | undefined,
  requestId: string,
  authorization: string | undefined,
): Outgoing {
  const failed = { usage: undefined, good: false };
  switch (fault?.kind) {
    case "status": {
      const { status, headers } = fault;
      const body = fault.body ?? errorBody(asked, status, fault, requestId, authorization);
      const text = typeof body === "string" ? body : JSON.stringify(body);
      return { ...failed, status, headers: { ...JSON_TYPE, ...headers }, body: Buffer.from(text) };
    }
    case "error200": {
      const body = errorBody(asked, 500, fault, requestId, authorization);
      return { ...failed, status: 200, headers: JSON_TYPE, body: Buffer.from(JSON.stringify(body)) };
    }
    case "html": {
      const headers = { "content-type": "text/html; charset=utf-8" };
      return { ...failed, status: fault.status ?? 200, headers, body: Buffer.from(HTML_PAGE) };
    }
  }
  const reply = replyOf(asked, digest, fault);
  const { provider = "openai", endpoint = "chat" } = asked;
  const body = Buffer.from(JSON.stringify(fakes[provider].answer({ ...asked, endpoint }, digest, requestId, reply)));
  const sent = { status: 200, headers: JSON_TYPE };
  if (fault?.kind === "malformed") return { ...failed, ...sent, body: body.subarray(0, body.length >> 1) };
  const good = !!reply.content && !reply.noChoices && reply.finish !== "content_filter";
  return { ...sent, body, usage: reply.usage, good };
}

/** What the answer says under a fault of its content. */
function replyOf(asked: Asked, digest: Buffer, fault: Fault | undefined): Reply {
  const answer = fault?.kind === "text" ? fault.text : answerFrom(asked, digest);
  const reply = (content: string | null, more?: Partial<Reply>): Reply => ({
    content,
    finish: "stop",
    usage: usageFrom(asked, digest, content ?? ""),
    ...more,
  });
  switch (fault?.kind) {
    case "noChoices":
      return reply("", { noChoices: true });
    case "empty":
      return reply("");
    case "null":
      return reply(null);
    case "reasoningOnly": {
      const { prompt, cached, ...usage } = usageFrom(asked, digest, "");
      const limit = asked.max_completion_tokens ?? asked.max_tokens ?? 64;
      const detailed = fakes[asked.provider ?? "openai"].detailsUsage(asked.endpoint ?? "chat");
      usage.completion = limit;
      usage.reasoning = detailed ? limit : 0;
      return reply("", { finish: "length", usage: { ...usage, prompt, cached, total: prompt + limit } });
    }
    case "length":
      return reply(shortened(answer), { finish: "length" });
    case "contentFilter":
      return reply(shortened(answer), { finish: "content_filter" });
    case "refusal": {
      const refusal = fault.text ?? "I'm sorry, but I cannot help with that.";
      return reply(null, { refusal, usage: usageFrom(asked, digest, refusal) });
    }
    case "noUsage":
      return reply(answer, { usage: undefined });
    case "text":
      return reply(answer, {
        usage: usageWith(usageFrom(asked, digest, answer), fault.usage),
        ...(fault.cut && { finish: "length" }),
      });
  }
  return reply(answer);
}

function usageWith(usual: Usage, given: Partial<Usage> & CacheWrites = {}): Usage & CacheWrites {
  const usage = { ...usual, ...given };
  return { ...usage, total: usage.prompt + usage.completion };
}
