import { describe, expect, test } from "vitest";
import { credibleUsage, CutPrompts } from "../src/execute/usage.ts";
import type { Prompt } from "../src/models/prompt.ts";
import { userPrompt } from "./support/provider-batches.ts";
import { readBody, readJson } from "../src/providers/json-body.ts";
import { completionOf } from "../src/providers/openai-answer.ts";
import { readBatch, readResult } from "../src/providers/batch-protocol.ts";
import { readEnding } from "../src/providers/ending.ts";
import { shown } from "../src/providers/json.ts";
import { splitLines } from "../src/providers/lines.ts";
import type { CallError } from "../src/providers/provider.ts";
import { withoutKey } from "../src/providers/secrets.ts";
import { reportedUsage } from "./support/usage.ts";

const MODEL = "gpt-4o-mini";
const HTTP = { httpStatus: 200, requestId: null, rateLimits: null };
const KEY = "sk-proj-loopback-openai-0123456789abcdef";

/** A value nested so deep that nothing that recurses comes to its end. */
const deep = (depth = 100_000) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

/** What is read from the text of a body, as text and ending, or as the reason for which there is none. */
function read(body: unknown, key?: string): unknown {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  try {
    const { text: answer, finishReason, finishReasonRaw } = completionOf(readBody(text), MODEL, HTTP, key);
    return [answer, finishReason, ...(finishReasonRaw === null ? [] : [finishReasonRaw])];
  } catch (error) {
    const { reason, details } = error as CallError;
    return details.httpStatus === 200 ? reason : `${reason} ${details.httpStatus}`;
  }
}

const choice = (content: unknown, finish_reason: unknown = "stop") => ({
  choices: [{ index: 0, message: { role: "assistant", content }, finish_reason }],
});

describe("how an answer ended", () => {
  test.each([
    [
      "finished",
      "stop",
      "stop STOP eos eos_token end_turn stop_sequence COMPLETE FinishReason.STOP endoftext FINISHED",
    ],
    ["finished", "tool_calls", "tool_calls function_call TOOL_CALL tool-calls"],
    [
      "cut",
      "length",
      `length LENGTH model_length MAX_TOKENS FinishReason.MAX_TOKENS max_tokens model_context_window_exceeded maxTokens
       REASON_MAX_LEN REASON_MAX_CONTEXT FINISH_REASON_MAX_TOKENS max_output_tokens limit token_limit incomplete CONTINUATION
       context_length_exceeded maximum_tokens window_full`,
    ],
    [
      "filtered",
      "content_filter",
      `content_filter content-filter CONTENT_FILTERED SAFETY FinishReason.SAFETY RECITATION PROHIBITED_CONTENT sensitive
       BLOCKLIST SPII IMAGE_SAFETY guardrail_intervened ERROR_TOXIC refusal flagged_by_moderation ESCALATION`,
    ],
    [
      "broken",
      "error",
      `error ERROR network_error timeout TIMEOUT server_error failed malformed_function_call MISSING_THOUGHT_SIGNATURE time_limit not_finished
       insufficient_system_resource UNEXPECTED_TOOL_CALL out_of_memory internal_exception`,
    ],
    ["broken", "abort", "abort ABORTED cancelled canceled USER_CANCEL"],
  ])("%s, %s: %s", (ending, word, words) => {
    for (const own of words.split(/\s+/)) {
      expect([own, readEnding(own)]).toEqual([
        own,
        { ending, word: expect.any(String), raw: own === word ? null : own },
      ]);
      if (ending !== "broken") expect(readEnding(own).word).toBe(word);
    }
  });

  test("a missing word stays missing, and an unknown word is kept", () => {
    expect(readEnding(null)).toEqual({ ending: "finished", word: null, raw: null });
    expect(readEnding("")).toEqual({ ending: "finished", word: null, raw: null });
    expect(readEnding("null")).toMatchObject({ ending: "finished", word: null });
    expect(readEnding("OTHER")).toEqual({ ending: "unknown", word: "OTHER", raw: null });
    expect(readEnding("<FinishReason.MAX_TOKENS: 2>")).toMatchObject({ ending: "cut", word: "length" });
  });

  test("a word of megabytes with control characters is cut and cleaned", () => {
    const { ending, word } = readEnding(`\u001b]0;x\u0007${"yak".repeat(2_000_000)}`);
    expect(ending).toBe("unknown");
    expect(word).toMatch(/^\]0;x (yak)+y?a?$/);
    expect(word!.length).toBeLessThanOrEqual(100);
  });
});

test("a key is not put together again from a word in which control characters stand", () => {
  expect(readEnding("sk-\u0001secret").word).toBe("sk- secret");
});

test("a stream may have any number of parts in one chunk", () => {
  const content = Array.from({ length: 200_000 }, () => "a");
  const text = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content }, finish_reason: "stop" }] })}\n\n`;
  expect(completionOf(readBody(text), MODEL, HTTP, undefined).text).toHaveLength(200_000);
});

test("a body with too many values to be read is called that", async () => {
  await expect(readJson(new Response(`[${"0,".repeat(300_001)}0]`))).rejects.toThrow(
    /a body of more than 300000 values/,
  );
});

describe("the shape of an answer", () => {
  const GOOD = ["The answer.", "stop"];
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    choices: [{ index: 0, delta, finish_reason }],
  });
  const events = [chunk({ role: "assistant" }), chunk({ content: "The " }), chunk({ content: "answer." }, "stop")];
  const lines = events.map((event) => `data: ${JSON.stringify(event)}`);

  test.each<[what: string, body: unknown]>([
    ["a text", choice("The answer.")],
    [
      "parts, of which one is reasoning",
      choice([
        { type: "thinking", thinking: [{ type: "text", text: "hmm" }] },
        { type: "text", text: "The " },
        { type: "output_text", text: "answer." },
      ]),
    ],
    [
      "parts that are texts, or have their own objects of text",
      choice(["The ", { type: "text", text: { value: "answer." } }]),
    ],
    ["parts in which a thought is marked", choice([{ text: "hmm", thought: true }, { text: "The answer." }])],
    ["an object with a text", choice({ type: "text", text: "The answer." })],
    ["one chunk of a stream", chunk({ content: "The answer." }, "stop")],
    ["choices as an object", { choices: { "0": choice("The answer.").choices[0] } }],
    ["one choice in the place of a list", { choices: choice("The answer.").choices[0] }],
    ["an array of one", [choice("The answer.")]],
    ["data around it", { code: 0, data: choice("The answer.") }],
    ["a response around it", { response: choice("The answer.") }],
    ["JSON in a JSON string", JSON.stringify(JSON.stringify(choice("The answer.")))],
    ["a byte-order mark before it", `\uFEFF${JSON.stringify(choice("The answer."))}`],
    ["events", `${lines.join("\n\n")}\n\ndata: [DONE]\n\n`],
    [
      "events with CRLF, comments and names",
      `: hi\r\n\r\n${lines.map((line) => `event: message\r\nid: 7\r\n${line}`).join("\r\n\r\n")}\r\n\r\n`,
    ],
    ["events without a blank line between them", lines.join("\n")],
    ["an event on several lines", lines.map((line) => line.replace('{"choices"', '{\ndata: "choices"')).join("\n\n")],
    [
      "events of completions",
      'data:{"choices":[{"text":"The "}]}\n\ndata:{"choices":[{"text":"answer.","finish_reason":"stop"}]}\n\n',
    ],
    ["JSON on each line", events.map((event) => JSON.stringify(event)).join("\n")],
    [
      "a last event that has the whole text again",
      [...lines, `data: ${JSON.stringify(choice("The answer."))}`].join("\n\n"),
    ],
    ...[{}, [], "", false, null, { message: "", type: "", param: "", code: null }, { code: 0, message: "success" }].map(
      (error): [string, unknown] => [`an error that is ${JSON.stringify(error)}`, { ...choice("The answer."), error }],
    ),
  ])("%s", (_, body) => {
    expect(read(body)).toEqual(GOOD);
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const line = JSON.stringify({ custom_id: "7", response: { status_code: 200, body: text }, error: {} });
    expect(readResult(line, MODEL, undefined)).toMatchObject({ customId: "7", completion: { text: "The answer." } });
  });

  test("a stream's usage, id and model are those of its chunks", () => {
    const usage = { prompt_tokens: 3, completion_tokens: 2 };
    const text = [...lines, `data: ${JSON.stringify({ id: "x", model: "m2", choices: [], usage })}`].join("\n\n");
    expect(completionOf(readBody(text), MODEL, HTTP, undefined)).toMatchObject({
      requestId: "x",
      servedModel: "m2",
      usage: { promptTokens: 3, completionTokens: 2 },
    });
  });

  test.each<[what: string, body: unknown, reason: string]>([
    [
      "a choice with an error",
      { choices: [{ ...choice("The first half of", "error").choices[0], error: { code: 502, message: "no" } }] },
      "broken 502",
    ],
    [
      "a choice with an error, and no text",
      { choices: [{ ...choice("", "error").choices[0], error: { code: 429 } }] },
      "rate_limited 429",
    ],
    [
      "an error beside a text",
      { ...choice("half"), error: { message: "Provider returned error", code: 402 } },
      "broken 402",
    ],
    [
      "an error beside tokens",
      { error: { code: 401, message: "x" }, usage: { prompt_tokens: 3, completion_tokens: 5 } },
      "broken 401",
    ],
    ["an error alone: no money", { error: { code: 402, message: "Insufficient credits" } }, "no_quota 402"],
    ["an error alone: the key", { error: { code: "401", message: "no" } }, "key_refused 401"],
    ["an error alone: the rate", { error: { code: 429, message: "slowly" } }, "rate_limited 429"],
    ["an error alone, as a text", { error: "it broke" }, "server_error"],
    [
      "an error alone, by its name: the rate",
      { error: { code: "rate_limit_exceeded", message: "x" } },
      "rate_limited 429",
    ],
    ["an error alone, by its type: the rate", { error: { type: "rate_limit_error", code: null } }, "rate_limited 429"],
    ["an error alone, by its name: the key", { error: { code: "invalid_api_key", message: "x" } }, "key_refused 401"],
    ["an error alone, by its name: the quota", { error: { code: "insufficient_quota" } }, "no_quota 400"],
    [
      "an error alone, by its name: the length",
      { error: { code: "context_length_exceeded", message: "x" } },
      "context_too_long 400",
    ],
    ["an error alone, by its words: the filter", { error: "blocked by the content filter" }, "content_policy 400"],
    ["an error alone, by its words: the time", { error: { message: "upstream request timed out" } }, "timeout 408"],
    ["an error alone, without a known word", { error: { code: "oops", message: "Internal" } }, "server_error"],
    ["a text that was broken off", choice("half", "network_error"), "broken"],
    ["a text that was broken off before it began", choice("", "abort"), "server_error"],
    ["a text that was filtered", choice("half", "SAFETY"), "content_filter"],
    ["nothing, at the limit", choice("", "FinishReason.MAX_TOKENS"), "reasoning_exhausted"],
    ["a call of a tool", choice(null, "tool_calls"), "empty"],
    ["reasoning alone", choice([{ type: "thinking", thinking: "hmm" }]), "empty"],
    ["a refusal among the parts", choice([{ type: "refusal", refusal: "I cannot" }]), "refusal"],
    ["a number", choice(42), "broken"],
    ["an object of something else", choice({ answer: "yes" }), "broken"],
    ["parts of something else", choice([{ type: "image_url", image_url: { url: "x" } }]), "broken"],
    [
      "no choices, though tokens were generated",
      { choices: [], usage: { prompt_tokens: 3, completion_tokens: 5 } },
      "broken",
    ],
    ["no choices", { choices: [] }, "malformed"],
    ["a stream that ends in the middle", lines.slice(0, 2).join("\n\n"), "broken"],
    ["a stream with an error", `${lines[1]}\n\nevent: error\ndata: {"code": 500, "message": "x"}\n\n`, "broken 500"],
    ["a stream of an error alone", 'data: {"error": {"code": 429, "message": "x"}}\n\n', "rate_limited 429"],
    ["a million choices", `{"choices":[${"{},".repeat(1_000_000)}{}]}`, "malformed"],
    ["a deep value", deep(), "malformed"],
    ["a deep content", `{"choices":[{"message":{"content":{"a":${deep()}}}}]}`, "broken"],
    ["a deep error", `{"error":{"message":${deep()},"code":429}}`, "rate_limited 429"],
  ])("%s: no answer", (_, body, reason) => {
    expect(read(body)).toBe(reason);
  });

  test.each([
    deep(),
    `{"custom_id": "7", "response": ${deep()}}`,
    `{"custom_id": "7", "error": {"message": ${deep()}}}`,
  ])("a line of a batch that is nested deep is an error of its own", (line) => {
    expect(readResult(line, MODEL, undefined)).toMatchObject({ error: { reason: expect.any(String) } });
  });

  test("what is shown of a value is short, whatever its size", () => {
    const value: unknown = JSON.parse(`{"a":${deep()},"b":"${"x".repeat(1_000_000)}","c":[${"1,".repeat(100_000)}1]}`);
    expect(shown(value).length).toBeLessThan(10_000);
    expect(shown({ a: [1, "b", null] })).toBe('{"a":[1,"b",null]}');
  });

  test("ids and names are kept to a kilobyte", () => {
    const body = { ...choice("yes"), id: "ä".repeat(5_000_000), model: "m".repeat(5_000_000) };
    const { requestId, servedModel } = completionOf(body, MODEL, HTTP, undefined);
    expect(Buffer.byteLength(requestId!)).toBeLessThanOrEqual(1_024);
    expect(Buffer.byteLength(servedModel!)).toBe(1_024);
  });

  test("a line that is too long loses its end, and no other", async () => {
    async function* text() {
      yield Buffer.from('{"custom_id": "1"}\n{"custom_id": "2", "x": "');
      for (let at = 0; at < 1_000; at += 1) yield Buffer.alloc(10_000, "x");
      yield Buffer.from('"}\n\n{"custom_id": "3"}');
    }
    const came: string[] = [];
    for await (const line of splitLines(text(), 50_000)) came.push(line);
    expect(came.map((line) => line.slice(0, 16))).toEqual([1, 2, 3].map((id) => `{"custom_id": "${id}`));
    expect(came[1]!.length).toBeLessThan(5_000);
  });
});

describe("a key that comes back", () => {
  test("is in nothing that is kept of an answer", () => {
    const body = { ...choice(`Your key is ${KEY}.`, `as_${KEY}_said`), id: `x-${KEY}`, model: KEY };
    const kept = JSON.stringify(completionOf(body, MODEL, { ...HTTP, requestId: `r-${KEY}` }, KEY));
    expect(kept).not.toContain(KEY);
    expect(kept).toContain("Your key is [key].");
  });

  test("is no id of a batch", () => {
    expect(() => readBatch({ id: `b-${KEY}`, status: "completed" }, KEY)).toThrow(
      "the server did not answer with a batch",
    );
    expect(readBatch({ id: "b", status: "completed" }, KEY).id).toBe("b");
  });

  test.each([
    ["max_tokens, or k?", "k", "max_tokens, or [key]?"],
    ["none is none_such", "none", "[key] is none_such"],
    ["über übe übe", "übe", "über [key] [key]"],
    [`x${KEY}y`, KEY, "x[key]y"],
  ])("%s without %s", (text, key, clean) => {
    expect(withoutKey(text, key)).toBe(clean);
  });

  test("a key that is a placeholder is only a word in an answer", () => {
    expect(read(choice("There is none."), "none")).toEqual(["There is none.", "stop"]);
  });
});

describe("usage that cannot be", () => {
  const prompt: Prompt = userPrompt(`Translate.${"x".repeat(400)}`);
  test.each<[prompt: number, completion: number, text: string | null, limit: number | null, isCredible: boolean]>([
    [100, 20, "a few words", 50, true],
    [100, 60, "a few words", 50, true],
    [100, 4_000, "a few words after much reasoning", null, true],
    [100, 0, null, 50, true],
    [100, 0, "a few words", 50, false],
    [0, 20, "a few words", 50, false],
    [0, 0, "a few words", 50, false],
    [0, 0, null, 50, false],
    [100, 1, "word ".repeat(900), 1_000, false],
    [100, 5_001, "a few words", 50, false],
    [100, 9_007_199_254_740_991, "a few words", null, false],
    [9_007_199_254_740_991, 5, "a few words", null, false],
    [1_000_000, 5, "a few words", null, false],
  ])("%i and %i for %o with a limit of %o: %o", (prompted, completed, text, limit, isCredible) => {
    const said = reportedUsage(prompted, completed);
    expect(credibleUsage(said, prompt, text, limit)).toBe(isCredible ? said : null);
  });

  test.each([
    [{ cachedTokens: 60, cacheWriteTokens: 40, cacheWrite1hTokens: 40, reasoningTokens: 20 }, true],
    [{ cachedTokens: 10_000_000 }, false],
    [{ cachedTokens: 60, cacheWriteTokens: 41 }, false],
    [{ cacheWriteTokens: 40, cacheWrite1hTokens: 41 }, false],
    [{ reasoningTokens: 21 }, false],
  ])("%j of 100 and 20: %o", (parts, isCredible) => {
    const said = { ...reportedUsage(100, 20), ...parts };
    expect(credibleUsage(said, prompt, "a few words", null)).toBe(isCredible ? said : null);
  });

  test("few prompts are counted where a server counts less than is likely", () => {
    const watch = new CutPrompts();
    const long: Prompt = userPrompt(`Summarize.${"word ".repeat(20_000)}`);
    expect(watch.suspects(long, reportedUsage(20_000, 5))).toBe(false);
    expect(watch.suspects(long, reportedUsage(12_000, 5))).toBe(true);
    expect(watch.warningOf(reportedUsage(12_000, 5), 20_000)).toBeNull();
    expect(watch.suspects(long, reportedUsage(12_000, 5))).toBe(false);
    expect(watch.suspects(long, reportedUsage(4_096, 5))).toBe(true);
    expect(watch.warningOf(reportedUsage(4_096, 5), 20_000)).toMatch(/seems to cut prompts at 4,096 tokens/);
    expect(watch.suspects(long, reportedUsage(1_000, 5))).toBe(false);
    const counts = new CutPrompts();
    const counted = Array.from({ length: 100 }, (_, at) => counts.suspects(long, reportedUsage(10_000 * 0.5 ** at, 5)));
    expect(counted.filter(Boolean).length).toBeLessThanOrEqual(8);
  });
});
