import { createHash } from "node:crypto";
import { encodingForModel } from "js-tiktoken";
import { describe, expect, test } from "vitest";
import {
  configFor,
  type ConfigOverrides,
  datagen,
  environmentFor,
  expectedDataset,
  promptOf,
  type Row,
  rows,
  type SpawnOptions,
} from "./support/harness.ts";
import { openLab, PLAIN } from "./support/lab.ts";
import { answerTo, type LoopbackServer, type ServerOptions } from "./support/server.ts";

const LLAMA = "meta-llama/Llama-3.3-70B-Instruct-Turbo";

/** One call for each row: a single perspective without a reading. */
const oneCallEach = (overrides: ConfigOverrides = {}): ConfigOverrides => ({
  agent_perspectives: [PLAIN],
  ...overrides,
});

/** A lab whose runs have to succeed. */
async function setUp(config: ConfigOverrides, data: Row[] = rows(1), server: ServerOptions = {}) {
  const lab = await openLab({ config, data, server });
  return {
    ...lab,
    /** Runs the config to its end; the dataset is `dataset.json`. */
    async run(env?: SpawnOptions["env"], flags: string[] = []) {
      const { code, stderr, run } = await lab.runConfig(flags, env);
      expect(code, stderr).toBe(0);
      return { run: run!, stderr };
    },
    /** What `datagen ARGS` prints. */
    print: async (...args: string[]) => (await lab.datagen(...args)).stdout,
  };
}

const pathsOf = (server: LoopbackServer) => server.requests.map(({ path }) => path);

describe.concurrent("the provider is known by the model's name", () => {
  test.for([
    ["gpt-4o-mini", "openai", "chat/completions"],
    ["chatgpt-4o-latest", "openai", "chat/completions"],
    ["ft:gpt-4o-mini-2024-07-18:lab::abc123", "openai", "chat/completions"],
    ["davinci-002", "openai", "completions"],
    ["ft:davinci-002:lab::abc123", "openai", "completions"],
    [LLAMA, "together", "chat/completions"],
    ["openai/gpt-oss-120b", "together", "chat/completions"],
    ["o10/large", "together", "chat/completions"],
    ["o3x", "together", "chat/completions"],
  ] as const)("%s: %s, %s", async ([model_name, provider, path]) => {
    await using lab = await setUp(oneCallEach({ model_config: { model_name } }));
    const env = environmentFor(lab.server);
    expect((await lab.run()).run).toMatchObject({ provider, model: model_name });
    expect(pathsOf(lab.server)).toEqual([`/${provider}/v1/${path}`]);
    expect(lab.server.requests[0]).toMatchObject({
      model: model_name,
      authorization: `Bearer ${provider === "openai" ? env.OPENAI_API_KEY : env.TOGETHER_API_KEY}`,
    });
  });

  test("unless the config names the provider", async () => {
    const config = oneCallEach({ api_provider: "together", model_config: { model_name: "davinci-002" } });
    await using lab = await setUp(config);
    expect((await lab.run()).run.provider).toBe("together");
    expect(pathsOf(lab.server)).toEqual(["/together/v1/chat/completions"]);
  });

  test("unless flags name the provider and the model; both are stored with the run", async () => {
    await using lab = await setUp(oneCallEach({ api_provider: "together", model_config: { model_name: LLAMA } }));
    await lab.run(undefined, ["--provider", "openai", "--model", "gpt-4o"]);
    expect(lab.server.requests).toMatchObject([{ provider: "openai", model: "gpt-4o" }]);
    expect(JSON.parse(await lab.print("runs", "show", "latest", "--json"))).toMatchObject({
      run: { provider: "openai", model: "gpt-4o" },
      base_url: lab.server.openaiUrl,
      config: { api_provider: "openai", model_config: { model_name: "gpt-4o" } },
    });
  });

  test("and a flag for the model alone changes the provider with it", async () => {
    await using lab = await setUp(oneCallEach());
    await lab.run(undefined, ["--model", LLAMA]);
    expect(lab.server.requests).toMatchObject([{ provider: "together", model: LLAMA }]);
  });
});

describe.concurrent("where requests go", () => {
  test("a base_url without api_provider means the OpenAI protocol, whatever the model is called", async () => {
    await using lab = await setUp(oneCallEach());
    const model_config = { model_name: "llama3.2", base_url: `${lab.server.openaiUrl}/` };
    await lab.space.write("config.json", configFor(oneCallEach({ model_config })));
    expect((await lab.run({ DATAGEN_API_KEY: "a-key" })).run.provider).toBe("openai");
    expect(lab.server.requests).toMatchObject([{ path: "/openai/v1/chat/completions", model: "llama3.2" }]);
  });

  test("a base_url with api_provider is asked in that provider's protocol", async () => {
    await using lab = await setUp(oneCallEach());
    const model_config = { base_url: lab.server.togetherUrl };
    await lab.space.write("config.json", configFor(oneCallEach({ api_provider: "together", model_config })));
    expect((await lab.run({ DATAGEN_API_KEY: "a-key" })).run.provider).toBe("together");
    expect(pathsOf(lab.server)).toEqual(["/together/v1/chat/completions"]);
  });
});

describe.concurrent("the endpoint", () => {
  test("chat is used for a davinci model where the config says so", async () => {
    await using lab = await setUp(oneCallEach({ model_config: { model_name: "davinci-002", endpoint: "chat" } }));
    await lab.run();
    expect(pathsOf(lab.server)).toEqual(["/openai/v1/chat/completions"]);
  });

  test("completions of text-davinci-003 find their places in the dataset", async () => {
    const config = configFor({ model_config: { model_name: "text-davinci-003" } });
    await using lab = await setUp(config, rows(3));
    const { run } = await lab.run();
    const { tasks, usage } = expectedDataset(lab.config, rows(3));
    expect(new Set(pathsOf(lab.server))).toEqual(new Set(["/openai/v1/completions"]));
    expect((await lab.dataset()).tasks).toEqual(tasks);
    expect(run.tokens).toEqual({ ...usage, estimated: false });
  });
});

describe.concurrent("models that refuse max_tokens and sampling parameters", () => {
  test.for(["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5-mini", "ft:o4-mini-2025-04-16:lab::abc123"])(
    "%s is sent what it accepts, and one warning says what is left out",
    async (model_name) => {
      const sampling = { top_p: 0.9, frequency_penalty: 0.5, presence_penalty: 0.5 };
      const kept = { seed: 7, reasoning_effort: "low" };
      const config = configFor({ model_config: { model_name, ...sampling, ...kept, extra_body: { store: false } } });
      await using lab = await setUp(config, rows(2));
      const { stderr } = await lab.run();
      expect(lab.server.requests).toHaveLength(12);
      for (const { provider, parameters } of lab.server.requests) {
        const { stream: _, ...sent } = parameters;
        expect([provider, sent]).toEqual(["openai", { max_completion_tokens: 200, ...kept, store: false }]);
      }
      expect(stderr.match(/.*does not take.*/g)).toEqual([
        `Warning: ${model_name} does not take temperature, top_p, frequency_penalty, presence_penalty: not sent`,
      ]);
      const expected = expectedDataset(lab.config, rows(2), (asked) => answerTo({ ...asked, temperature: undefined }));
      expect((await lab.dataset()).tasks).toEqual(expected.tasks);
    },
  );

  test.for([
    ["gpt-5-chat-latest", "openai"],
    ["ft:gpt-4o-mini-2024-07-18:lab:o3:abc123", "openai"],
    ["o1ive-7b", "together"],
  ] as const)("%s is none of them", async ([model_name, provider]) => {
    await using lab = await setUp(oneCallEach({ model_config: { model_name } }));
    const { stderr } = await lab.run();
    expect(lab.server.requests).toMatchObject([{ provider, parameters: { max_tokens: 200, temperature: 0.7 } }]);
    expect(stderr).not.toContain("does not take");
  });

  test("nothing is warned of where only the limit changes its name", async () => {
    const model_config = { model_name: "gpt-5", temperature: undefined } as object;
    await using lab = await setUp(oneCallEach({ model_config }));
    const { stderr } = await lab.run();
    expect(lab.server.requests[0]?.parameters).toMatchObject({ max_completion_tokens: 200 });
    expect(lab.server.requests[0]?.parameters).not.toHaveProperty("max_tokens");
    expect(stderr).not.toContain("does not take");
  });

  test("the key of an answer is made of the parameters as they are configured", async () => {
    const model_config = { model_name: "o3-mini", max_tokens: 99, temperature: 0.5, extra_body: { b: 1, a: [2] } };
    await using lab = await setUp(oneCallEach({ model_config }));
    await lab.run();
    expect(lab.server.requests[0]?.parameters).not.toHaveProperty("temperature");
    // The documented object, its members written down in the order of their names.
    const canonical = JSON.stringify({
      base_url: lab.server.openaiUrl,
      endpoint: "chat",
      messages: [{ content: promptOf(PLAIN.strategy, rows(1)[0]!.input), role: "user" }],
      model: "o3-mini",
      parameters: { extra_body: { a: [2], b: 1 }, max_tokens: 99, temperature: 0.5 },
      provider: "openai",
      version: 1,
    });
    expect(lab.query("select key from answers")).toEqual([
      { key: `s256:${createHash("sha256").update(canonical).digest("hex")}` },
    ]);
  });
});

describe.concurrent("the offline provider", () => {
  const OFFLINE = ["--provider", "offline"];
  const STORY: Row[] = [
    {
      input:
        "Der Leuchtturm stand seit hundert Jahren. Sein Wärter zählte jede Nacht die Schiffe. Eines Morgens fehlte " +
        "eines. Niemand glaubte ihm. Er ruderte selbst hinaus! Was fand er dort? Nur eine leere Kiste und einen Hut.",
    },
    { input: "Ein einziger Satz ohne Punkt" },
    // So long that its prompts may be counted in parts.
    { input: Array.from({ length: 400 }, (_, i) => `Am Tag ${i} fuhr das Schiff weiter nach Süden.`).join(" ") },
    { input: 'Zeilen wie ```let x = "1";``` stehen in manchen Texten. <|endoftext|> auch.' },
  ];
  const FOUR = ["Translate faithfully.", "Translate in haste.", "Praise the author.", "Use no adjectives."].map(
    (strategy) => ({ condition: strategy, reading: null, strategy }),
  );

  test("answers the same prompt alike, and needs neither a key nor the base_url", async () => {
    await using lab = await setUp(configFor({ model_config: { base_url: "http://127.0.0.1:9/v1" } }), STORY);
    const first = await lab.run({}, OFFLINE);
    const { tasks } = await lab.dataset();
    const second = await lab.run({}, [...OFFLINE, "--fresh"]);
    expect((await lab.dataset()).tasks).toEqual(tasks);
    expect(first.run.calls).toMatchObject({ total: 24, succeeded: 24, failed: 0 });
    expect(second.run.tokens).toEqual(first.run.tokens);
  });

  test("answers every perspective otherwise, with the words of the prompt's own text", async () => {
    await using lab = await setUp(configFor({ agent_perspectives: FOUR }), STORY);
    await lab.run({}, OFFLINE);
    const { tasks } = await lab.dataset();
    for (const [index, { responses }] of tasks.entries()) {
      expect(new Set(responses).size).toBe(FOUR.length);
      const sentences = STORY[index]!.input.split(/(?<=[.!?]) /);
      for (const response of responses) expect(sentences.some((sentence) => response?.includes(sentence))).toBe(true);
    }
  });

  test("cannot be mistaken for a model: every text, the list and the dataset say offline", async () => {
    await using lab = await setUp(configFor(), STORY);
    await lab.run({}, OFFLINE);
    const { tasks, metadata } = await lab.dataset();
    const texts = tasks.flatMap(({ responses, preparations }) => [...responses, ...preparations]);
    const written = texts.filter((text) => text !== null);
    expect(written).toHaveLength(24);
    for (const text of written) expect(text).toMatch(/^\[offline\b[^\]]*no model/);
    expect(metadata.api_provider).toBe("offline");
    expect(await lab.print("runs", "list")).toMatch(/\boffline\b/);
    expect(JSON.parse(await lab.print("runs", "list", "--json"))).toMatchObject([{ provider: "offline", cost_usd: 0 }]);
  });

  test.for(["gpt-4o-mini", "gpt-4"] as const)("counts tokens as js-tiktoken does: %s", async (model_name) => {
    await using lab = await setUp(configFor({ agent_perspectives: FOUR, model_config: { model_name } }), STORY);
    const { run } = await lab.run({}, OFFLINE);
    const { tasks, metadata } = await lab.dataset();
    const encoding = encodingForModel(model_name);
    const count = (text: string) => encoding.encode(text, [], []).length;
    const attempts = lab.query<{ task: number; perspective: number; prompt: number; completion: number }>(
      `select t.position task, p.position perspective, a.prompt_tokens prompt, a.completion_tokens completion
       from attempts a join calls c on c.id = a.call_id join tasks t on t.id = c.task_id
       join perspectives p on p.id = c.perspective_id`,
    );
    expect(attempts).toHaveLength(STORY.length * FOUR.length);
    for (const { task, perspective, prompt, completion } of attempts) {
      // A message has 3 tokens around it and one for its role; 3 begin the answer.
      const counted = count(promptOf(FOUR[perspective]!.strategy, STORY[task]!.input)) + 7;
      expect(Math.abs(prompt - counted)).toBeLessThanOrEqual(2);
      expect(completion).toBe(count(tasks[task]!.responses[perspective]!));
    }
    const prompt = attempts.reduce((sum, attempt) => sum + attempt.prompt, 0);
    const completion = attempts.reduce((sum, attempt) => sum + attempt.completion, 0);
    expect(run.tokens).toMatchObject({ prompt, completion, total: prompt + completion });
    expect(metadata.token_usage).toMatchObject({ prompt_tokens: prompt, completion_tokens: completion });
  });

  test.for([
    ["max_tokens", 1],
    ["max_tokens", 12],
    ["max_completion_tokens", 24],
  ] as const)("writes no more than %s allows: %i", async ([name, limit]) => {
    const model_config = { model_name: LLAMA, max_tokens: undefined, [name]: limit } as object;
    await using lab = await setUp(configFor({ agent_perspectives: FOUR, model_config }), STORY.slice(0, 1));
    const { run } = await lab.run({}, OFFLINE);
    const { tasks } = await lab.dataset();
    const encoding = encodingForModel("gpt-4o");
    for (const response of tasks[0]!.responses) {
      expect(response).not.toBe("");
      expect(encoding.encode(response!).length).toBeLessThanOrEqual(limit);
    }
    expect(run.calls).toMatchObject({ succeeded: 4, truncated: 4 });
  });

  test.for([
    ["one sentence", "lorem ipsum dolor "],
    ["many sentences of wide characters", "Đ lorem. ipsum "],
  ] as const)("takes the largest input in 350 MB: %s", { timeout: 60_000 }, async ([, words]) => {
    const input = words.repeat(Math.floor(7_900_000 / Buffer.byteLength(words)));
    const model_config = { max_tokens: 50 };
    await using lab = await setUp(configFor({ agent_perspectives: FOUR.slice(0, 1), model_config }), [{ input }]);
    const report = "process.on('exit',()=>console.error('peak',process.resourceUsage().maxRSS))";
    const { stderr } = await datagen(["run", "config.json", "--no-export", ...OFFLINE], {
      cwd: lab.space.path,
      env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(report)}` },
    });
    expect(Number(/peak (\d+)/.exec(stderr)?.[1]) * 1024).toBeLessThan(350_000_000);
  });
});
