import { describe, expect, test } from "vitest";
import { withoutReasoning } from "../src/plan/reasoning.ts";
import { type ConfigOverrides, openDatabase, promptOf, rows } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { DATABASE, type LabDataset, NO_JITTER, openLab, PLAIN } from "./support/lab.ts";
import type { IncomingCall } from "./support/server.ts";

const NOTED = { condition: "Noted", reading: "Take notes.", strategy: "Translate by these notes." };

/** The body of an answer. @param given more members of it, of its choice, or in their place */
function answer(content: unknown, finish_reason: string | null = "stop", given: object = {}): object {
  const choice = { index: 0, message: { role: "assistant", content }, text: content, finish_reason };
  return { choices: [choice], usage: { prompt_tokens: 30, completion_tokens: 5 }, ...given };
}

/** A server that answers with bodies of a test's own, and a folder; `await using` removes both. */
async function setUp(
  overrides: ConfigOverrides,
  count: number,
  bodyOf: (call: IncomingCall) => object | string | undefined,
  input?: string,
) {
  const lab = await openLab({
    config: { agent_perspectives: [PLAIN], give_up_after_s: 6, ...overrides },
    data: input === undefined ? rows(count) : [{ input }],
    server: {
      keepBodies: true,
      behave(call) {
        const body = bodyOf(call);
        return body === undefined ? undefined : { kind: "status", status: 200, body };
      },
    },
    env: NO_JITTER,
  });
  return { ...lab, run: (...flags: string[]) => lab.runConfig(flags) };
}

const ATTEMPTS = "select outcome, http_status, error_code from attempts";

describe.concurrent("an answer that its server calls broken", () => {
  const error = { code: 502, message: "Provider returned error" };
  const broken = () => {
    const body = answer("The first half of", "error") as { choices: object[] };
    return { ...body, choices: [{ ...body.choices[0], error }] };
  };

  test.each([
    ["chat", {}, []],
    ["completions", { endpoint: "completions" as const, model_name: "davinci-002" }, []],
    ["a batch", {}, ["--batch"]],
  ] as const)("is asked for twice more, and is no response: %s", async (_, model, flags) => {
    await using lab = await setUp({ model_config: model }, 1, broken);
    const { code, run } = await lab.run(...flags);
    expect([code, run?.calls.failed]).toEqual([1, 1]);
    expect(lab.query(ATTEMPTS)).toEqual(
      Array.from({ length: 3 }, () => ({ outcome: "broken", http_status: 502, error_code: "502" })),
    );
    expect(run?.tokens.completion).toBe(15);
    expect((await lab.dataset()).tasks[0]?.responses).toEqual([null]);
  });

  test("gives no notes", async () => {
    await using lab = await setUp({ agent_perspectives: [NOTED] }, 1, ({ prompt }) =>
      prompt.startsWith(NOTED.reading) ? answer("The first half of", "network_error") : undefined,
    );
    expect((await lab.run()).code).toBe(1);
    expect(lab.server.requests).toHaveLength(3);
    expect(lab.query("select step, failure from calls order by id")).toEqual([
      { step: "reading", failure: "broken" },
      { step: "strategy", failure: "reading_failed" },
    ]);
  });

  test("is no outage, however many calls it is the answer to: each is sent three times", async () => {
    await using lab = await setUp({ concurrency: 4 }, 6, () => answer([{ type: "image_url", image_url: {} }]));
    const { code, run } = await lab.run();
    expect([code, run?.calls.failed, lab.server.requests.length]).toEqual([1, 6, 18]);
  });

  test("stops nothing where its code is that of a refused key; alone such an error stops the run", async () => {
    await using lab = await setUp({}, 1, () => ({ ...answer("half"), error: { code: 401, message: "no" } }));
    expect([(await lab.run()).code, lab.server.requests.length]).toEqual([1, 3]);
    await using other = await setUp({}, 1, () => ({ error: { code: 402, message: "Insufficient credits" } }));
    expect([(await other.run()).code, other.server.requests.length]).toEqual([3, 1]);
  });
});

describe.concurrent("an answer that was cut off under another name", () => {
  test.each(["MAX_TOKENS", "FinishReason.MAX_TOKENS", "model_length"])("%s counts, and is asked again", async (own) => {
    await using lab = await setUp({}, 2, ({ max_tokens }) =>
      max_tokens === 200 ? answer("half", own) : answer("The whole.", "COMPLETE"),
    );
    const { run } = await lab.run();
    expect(run?.calls).toMatchObject({ succeeded: 2, truncated: 2 });
    const rowsOf = async () => (await lab.datagen("export", "latest", "--format", "jsonl", "--output", "-")).stdout;
    expect(JSON.parse((await rowsOf()).split("\n")[0]!)).toMatchObject({
      finish_reason: "length",
      finish_reason_raw: own,
    });
    expect((await lab.datagen("db", "check")).code).toBe(0);
    const resumed = await lab.datagen("resume", "latest", "--retry-truncated", "--max-tokens", "500", "--json");
    expect(JSON.parse(resumed.stdout)).toMatchObject({ run: { calls: { succeeded: 2, truncated: 0 } } });
    expect(JSON.parse((await rowsOf()).split("\n")[0]!)).toMatchObject({
      response: "The whole.",
      finish_reason: "stop",
      finish_reason_raw: "COMPLETE",
    });
    const into = await datagenInTurn(["db", "merge", DATABASE, "--db", "other.db"], {
      cwd: lab.space.path,
    });
    expect(into.code).toBe(0);
    const database = openDatabase(lab.space.at("other.db"));
    expect(database.prepare("select distinct finish_reason_raw raw from answers order by 1").pluck().all()).toEqual([
      "COMPLETE",
    ]);
    database.close();
  });

  test("an unknown word is kept, with one warning", async () => {
    await using lab = await setUp({}, 3, () => answer("yes", "yak_shaved"));
    const { code, stderr } = await lab.run();
    expect(code).toBe(0);
    expect(stderr.match(/Warning: .*"yak_shaved"/g)).toHaveLength(1);
    expect(lab.query("select distinct finish_reason, finish_reason_raw from answers")).toEqual([
      { finish_reason: "yak_shaved", finish_reason_raw: null },
    ]);
  });
});

describe.concurrent("answers of odd shapes", () => {
  test.each<[string, object | string]>([
    [
      "a stream",
      'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\ndata: {"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    ],
    ["JSON text", JSON.stringify(JSON.stringify(answer("Hello")))],
    [
      "parts beside an empty error",
      answer(
        [
          { type: "thinking", thinking: "hm" },
          { type: "text", text: "Hello" },
        ],
        "stop",
        { error: {} },
      ),
    ],
  ])("are read: %s", async (_, body) => {
    await using lab = await setUp({}, 1, () => body);
    expect((await lab.run()).code).toBe(0);
    expect((await lab.dataset()).tasks[0]?.responses).toEqual(["Hello"]);
    expect(lab.server.requests).toHaveLength(1);
  });

  test("nested deep are failures of their calls, as answers and as errors", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    await using lab = await setUp({ max_attempts: 1 }, 2, ({ index }) =>
      index === 0 ? deep : `{"choices":[{"message":{"content":{"a":${deep}}}}]}`,
    );
    expect((await lab.run()).code).toBe(1);
    lab.server.behave = () => ({ kind: "status", status: 400, body: `{"error":{"message":${deep},"x":${deep}}}` });
    const { code, stderr } = await lab.run("--fresh");
    // Both calls are refused alike, so that the run stops.
    expect([code, stderr]).toEqual([3, expect.not.stringContaining("Unexpected")]);
    expect(lab.query(`${ATTEMPTS} order by id desc limit 1`)).toMatchObject([
      { outcome: "bad_request", http_status: 400 },
    ]);
  });

  test("that are large wait for each other, and all come in the end", { timeout: 60_000 }, async () => {
    const body = JSON.stringify(answer("yes", "stop", { id: "i".repeat(6_000_000), model: "m".repeat(1_000_000) }));
    await using lab = await setUp({ concurrency: 20 }, 24, () => body);
    const { code, run } = await lab.run("--no-export");
    expect([code, run?.calls.succeeded]).toEqual([0, 24]);
  });

  test("in a batch, a line nested deep and one with a foreign id cost no other", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    await using lab = await setUp({ max_attempts: 1 }, 4, ({ index }) =>
      index === 1 ? `{"choices":${deep}}` : undefined,
    );
    const { run } = await lab.run("--batch");
    expect(run?.calls).toMatchObject({ succeeded: 3, failed: 1 });
  });

  test("with a key in them are stored without it", async () => {
    const key = "sk-proj-loopback-openai-0123456789abcdef";
    await using lab = await setUp({}, 1, () => ({ ...answer(`It is ${key}.`, `as_${key}`), id: key, model: key }));
    await lab.run();
    expect(lab.query("select text, served_model from answers")).toEqual([
      { text: "It is [key].", served_model: "[key]" },
    ]);
    expect((await lab.space.read(DATABASE)).includes(key)).toBe(false);
  });
});

describe.concurrent("usage that cannot be", () => {
  test.each([
    ["zeros", { prompt_tokens: 0, completion_tokens: 0 }],
    ["no completion", { prompt_tokens: 30, completion_tokens: 0 }],
    ["the largest whole number", { prompt_tokens: 30, completion_tokens: Number.MAX_SAFE_INTEGER }],
  ])("is counted here, and marked: %s", async (_, usage) => {
    await using lab = await setUp({ prices: { input: 1, output: 10 } }, 4, () =>
      answer("A text of some words.", "stop", { usage }),
    );
    const { run } = await lab.run();
    expect(run?.tokens.estimated).toBe(true);
    expect(run?.tokens.completion).toBeGreaterThan(4 * 4);
    expect(run?.tokens.completion).toBeLessThan(4 * 20);
    expect(run?.cost_usd).toBeGreaterThan(0);
    for (const args of [
      ["db", "check"],
      ["runs", "show", "latest"],
    ])
      expect((await lab.datagen(...args)).code).toBe(0);
  });

  test("zeros do not get a run past its cap", async () => {
    const text = "word ".repeat(900);
    const usage = { prompt_tokens: 0, completion_tokens: 0 };
    const overrides = { prices: { input: 1, output: 10 }, max_cost_usd: 0.05, model_config: { max_tokens: 1_000 } };
    await using lab = await setUp(overrides, 40, () => answer(text, "stop", { usage }));
    expect((await lab.run()).code).toBe(3);
    expect(lab.server.requests.length).toBeLessThan(7);
  });

  test("a server that cuts prompts is named once", async () => {
    const usage = { prompt_tokens: 4_096, completion_tokens: 5 };
    const input = "The old gardener carries nine heavy keys into the kitchen. ".repeat(1_500);
    await using lab = await setUp({ replicates: 3 }, 1, () => answer("yes", "stop", { usage }), input);
    const { code, stderr } = await lab.run();
    expect(code).toBe(0);
    expect(stderr.match(/Warning: the server seems to cut prompts at 4,096 tokens/g)).toHaveLength(1);
  });
});

describe.concurrent("reasoning between tags", () => {
  test.each([
    ["<think>hm</think>\n\nYes.", "Yes."],
    [" \n<think>\nhm\n</think>Yes. <think>no</think>", "Yes. <think>no</think>"],
    ["<think></think>\n\n<think>hm</think>\nYes.", "Yes."],
    ["<think>hm", ""],
    ["hm, so\n</think>\n\nYes.", "Yes."],
    ["Yes <think>hm</think>", "Yes <think>hm</think>"],
    ["It ends with </think> here.", "It ends with </think> here."],
    ["<think>a <think>b</think> c\n</think>\nYes.", "Yes."],
    ["Yes.", "Yes."],
  ])("%j is used as %j", (text, used) => {
    expect(withoutReasoning(text)).toBe(used);
  });

  const thinking = ({ prompt }: IncomingCall) =>
    answer(prompt.startsWith(NOTED.reading) ? "<think>hm</think>\n\nThe notes." : "<think>hm</think>\n\nYes.");
  const strip = { agent_perspectives: [NOTED], model_config: { reasoning_tags: "strip" } };

  test("stays, with one warning that names the key", async () => {
    await using lab = await setUp({ agent_perspectives: [NOTED] }, 2, thinking);
    const { stderr } = await lab.run();
    expect(stderr.match(/Warning: .*model_config\.reasoning_tags/g)).toHaveLength(1);
    expect((await lab.dataset()).tasks[0]?.responses).toEqual(["<think>hm</think>\n\nYes."]);
  });

  test("is left out of notes and datasets where the config says so, and of nothing else", async () => {
    await using lab = await setUp(strip, 1, thinking);
    const { stderr } = await lab.run();
    expect(stderr).not.toContain("reasoning_tags");
    expect((await lab.dataset()).tasks[0]).toMatchObject({ responses: ["Yes."], preparations: ["The notes."] });
    const messages = lab.server.requests.map(({ body }) => body!["messages"]);
    expect(messages[1]).toEqual([{ role: "user", content: promptOf(NOTED.strategy, "The notes.") }]);
    expect(lab.server.requests[0]?.parameters).not.toHaveProperty("reasoning_tags");
    expect(lab.query("select text from answers order by id")).toEqual([
      { text: "<think>hm</think>\n\nThe notes." },
      { text: "<think>hm</think>\n\nYes." },
    ]);
    // What is left of an answer is that answer still when the dataset is taken in again.
    expect((await lab.datagen("import", "dataset.json")).code).toBe(0);
    expect((await lab.datagen("export", "latest", "--output", "again.json")).code).toBe(0);
    expect((await lab.space.json<LabDataset>("again.json")).tasks).toEqual((await lab.dataset()).tasks);
    expect(lab.query("select count(*) n from answers")).toEqual([{ n: 2 }]);
    // A second run asks nothing: the notes are the same, and so is the prompt on them.
    expect((await lab.run()).run?.calls.reused).toBe(2);
    // One that keeps the reasoning shares the notes, and asks with what it makes of them.
    await lab.space.write("config.json", {
      ...lab.config,
      model_config: { ...lab.config.model_config, reasoning_tags: "keep" },
    });
    expect((await lab.run()).run?.calls.reused).toBe(1);
    const diff = await lab.datagen(
      "diff",
      "latest",
      lab.query<{ id: string }>("select public_id id from runs where id = 1")[0]!.id,
      "--json",
    );
    expect(JSON.parse(diff.stdout)).toMatchObject({
      config: [{ path: "model_config.reasoning_tags", a: "keep", b: "strip" }],
      conditions: { both: [{ compared: 1, identical: 0, a: { mean_characters: 23 }, b: { mean_characters: 4 } }] },
    });
  });

  test("that is never closed is all that there is: no answer, asked for twice more, and never reused", async () => {
    await using lab = await setUp({ model_config: {} }, 1, () => answer("<think>hm, so", "length"));
    expect((await lab.run()).run?.calls).toMatchObject({ succeeded: 1, truncated: 1 });
    await lab.space.write("config.json", {
      ...lab.config,
      model_config: { ...lab.config.model_config, reasoning_tags: "strip" },
    });
    const { code, run } = await lab.run();
    expect([code, run?.calls.reused, run?.calls.failed]).toEqual([1, 0, 1]);
    expect(lab.query(`${ATTEMPTS} where id > 1`)).toMatchObject(
      Array.from({ length: 3 }, () => ({ outcome: "reasoning_exhausted" })),
    );
  });
});
