import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { encodingForModel } from "js-tiktoken";
import { describe, expect, test } from "vitest";
import type { RunSummary } from "../src/app/runs/summary.ts";
import {
  type Config,
  configFor,
  type ConfigOverrides,
  datagen,
  environmentFor,
  expectedDataset,
  openDatabase,
  promptOf,
  type Row,
  rows,
  type SpawnOptions,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import { answerTo, type LoopbackServer, type ServerOptions, startServer } from "./support/server.ts";

const PLAIN = { condition: "Plain", reading: null, strategy: "Translate the German text into English." };
const LLAMA = "meta-llama/Llama-3.3-70B-Instruct-Turbo";

/** One call for each row: a single perspective without a reading. */
function oneCallEach(overrides: ConfigOverrides = {}): Config {
  return configFor({ agent_perspectives: [PLAIN], ...overrides });
}

/** A server, and a folder with a config and its inputs; `await using` removes both. */
async function setUp(config: Config, data: Row[] = rows(1), options: ServerOptions = {}) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await startServer(options));
  const space = stack.use(await workspace());
  await space.write("config.json", config);
  await space.write("rows.json", data);
  return {
    server,
    space,
    /** Runs the config to its end; the dataset is `dataset.json`. */
    async run(env: SpawnOptions["env"] = environmentFor(server), flags: string[] = []) {
      const args = ["run", "config.json", "--json", "--db", "datagen.db", "--output", "dataset.json", ...flags];
      const { code, stdout, stderr } = await datagen(args, { cwd: space.path, ...(env && { env }) });
      expect(code, stderr).toBe(0);
      return { run: (JSON.parse(stdout) as { run: RunSummary }).run, stderr };
    },
    /** What `datagen ARGS` prints. */
    async print(...args: string[]) {
      return (await datagen([...args, "--db", "datagen.db"], { cwd: space.path })).stdout;
    },
    dataset: () => space.json<Dataset>("dataset.json"),
    query<T>(sql: string): T[] {
      const database = openDatabase(space.at("datagen.db"));
      try {
        return database.prepare<[], T>(sql).all();
      } finally {
        database.close();
      }
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

interface Dataset {
  tasks: { responses: (string | null)[]; preparations: (string | null)[] }[];
  metadata: { api_provider: string; token_usage: { prompt_tokens: number; completion_tokens: number } };
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

  test("unless the config says who answers", async () => {
    const config = oneCallEach({ api_provider: "together", model_config: { model_name: "davinci-002" } });
    await using lab = await setUp(config);
    expect((await lab.run()).run.provider).toBe("together");
    expect(pathsOf(lab.server)).toEqual(["/together/v1/chat/completions"]);
  });

  test("unless flags say who answers, and with which model; both are stored with the run", async () => {
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
    await lab.space.write("config.json", oneCallEach({ model_config }));
    expect((await lab.run({ DATAGEN_API_KEY: "a-key" })).run.provider).toBe("openai");
    expect(lab.server.requests).toMatchObject([{ path: "/openai/v1/chat/completions", model: "llama3.2" }]);
  });

  test("a base_url with api_provider is asked in that provider's protocol", async () => {
    await using lab = await setUp(oneCallEach());
    const model_config = { base_url: lab.server.togetherUrl };
    await lab.space.write("config.json", oneCallEach({ api_provider: "together", model_config }));
    expect((await lab.run({ DATAGEN_API_KEY: "a-key" })).run.provider).toBe("together");
    expect(pathsOf(lab.server)).toEqual(["/together/v1/chat/completions"]);
  });

  test.for([
    ["openai", "gpt-4o-mini", "OPENAI_BASE_URL"],
    ["together", LLAMA, "TOGETHER_BASE_URL"],
  ] as const)("a flag wins over the config, the config over the environment: %s", async ([provider, model, name]) => {
    const plain = oneCallEach({ api_provider: provider, model_config: { model_name: model } });
    await using lab = await setUp(plain);
    await using configs = await startServer();
    await using flags = await startServer();
    const key = "a-key-for-all";
    const env = {
      OPENAI_API_KEY: key,
      TOGETHER_API_KEY: key,
      DATAGEN_API_KEY: key,
      [name]: lab.server[`${provider}Url`],
    };
    const seen = () => [flags, configs, lab.server].map(({ requests }) => requests.length);

    await lab.run(env);
    expect(seen()).toEqual([0, 0, 1]);

    const model_config = { ...plain.model_config, base_url: configs[`${provider}Url`] };
    await lab.space.write("config.json", { ...plain, model_config });
    await lab.run(env);
    expect(seen()).toEqual([0, 1, 1]);

    await lab.run(env, ["--base-url", flags[`${provider}Url`]]);
    expect(seen()).toEqual([1, 1, 1]);
  });

  test.for([
    ["gpt-4o-mini", { OPENAI_API_KEY: "a-key", OPENAI_BASE_URL: "" }, "api.openai.com:443"],
    [LLAMA, { TOGETHER_API_KEY: "a-key", TOGETHER_BASE_URL: "" }, "api.together.ai:443"],
  ] as const)(
    "%s is asked at its provider's own host where nothing says otherwise",
    async ([model_name, env, host]) => {
      await using lab = await setUp(oneCallEach({ model_config: { model_name } }));
      // A proxy that opens no tunnel: nothing leaves this machine.
      const asked: (string | undefined)[] = [];
      await using proxy = createServer().on("connect", ({ url }, socket) => {
        asked.push(url);
        socket.destroy();
      });
      await once(proxy.listen(0, "127.0.0.1"), "listening");
      const { port } = proxy.address() as AddressInfo;
      const connected = once(proxy, "connect");
      await using running = startDatagen(["run", "config.json"], {
        cwd: lab.space.path,
        env: { ...env, HTTPS_PROXY: `http://127.0.0.1:${port}` },
      });
      await Promise.race([connected, running.done]);
      running.kill("SIGINT");
      expect((await running.done).code).toBe(130);
      expect(new Set(asked)).toEqual(new Set([host]));
    },
  );
});

describe.concurrent("the endpoint", () => {
  test.for([
    ["openai", "gpt-4o-mini"],
    ["together", LLAMA],
  ] as const)("completions is used where the config says so: %s", async ([provider, model_name]) => {
    const config = configFor({ api_provider: provider, model_config: { model_name, endpoint: "completions" } });
    await using lab = await setUp(config, rows(3), { keepBodies: true });
    const { run } = await lab.run();
    expect(new Set(pathsOf(lab.server))).toEqual(new Set([`/${provider}/v1/completions`]));
    for (const { body } of lab.server.requests) {
      expect(body).toMatchObject({ prompt: expect.any(String) as string });
      expect(body).not.toHaveProperty("messages");
    }
    const { tasks, usage } = expectedDataset(config, rows(3));
    expect((await lab.dataset()).tasks).toEqual(tasks);
    expect(run.tokens).toEqual({ ...usage, estimated: false });
  });

  test("chat is used for a davinci model where the config says so", async () => {
    await using lab = await setUp(oneCallEach({ model_config: { model_name: "davinci-002", endpoint: "chat" } }));
    await lab.run();
    expect(pathsOf(lab.server)).toEqual(["/openai/v1/chat/completions"]);
  });

  test("completions of text-davinci-003 find their places in the dataset", async () => {
    const config = configFor({ model_config: { model_name: "text-davinci-003" } });
    await using lab = await setUp(config, rows(3));
    const { run } = await lab.run();
    const { tasks, usage } = expectedDataset(config, rows(3));
    expect(new Set(pathsOf(lab.server))).toEqual(new Set(["/openai/v1/completions"]));
    expect((await lab.dataset()).tasks).toEqual(tasks);
    expect(run.tokens).toEqual({ ...usage, estimated: false });
  });
});

describe.concurrent("parameters", () => {
  const ALL = {
    max_tokens: 321,
    temperature: 0.25,
    top_p: 0.5,
    seed: 0,
    stop: ["END", "\n\n"],
    frequency_penalty: -0.5,
    presence_penalty: 1.5,
    reasoning_effort: "low",
  };
  const EXTRA = { top_k: 40, repetition_penalty: 1.1, nested: { list: [1, null, "Grün"], off: false } };
  // Whether it is spelt out or left out, no answer is streamed.
  const unstreamed = { stream: false };

  test.for([
    ["openai", "chat", "gpt-4o-mini"],
    ["openai", "completions", "gpt-4o-mini"],
    ["together", "chat", LLAMA],
    ["together", "completions", LLAMA],
  ] as const)("all reach the server as they are configured, extra_body among them: %s, %s", async (row) => {
    const [api_provider, endpoint, model_name] = row;
    const model_config = { model_name, endpoint, ...ALL, extra_body: EXTRA };
    await using lab = await setUp(oneCallEach({ api_provider, model_config }), rows(1), { keepBodies: true });
    const { stderr } = await lab.run();
    const prompt = promptOf(PLAIN.strategy, rows(1)[0]!.input);
    expect({ ...unstreamed, ...lab.server.requests[0]?.body }).toEqual({
      model: model_name,
      ...(endpoint === "chat" ? { messages: [{ role: "user", content: prompt }] } : { prompt }),
      ...ALL,
      ...EXTRA,
      ...unstreamed,
    });
    expect(stderr).not.toContain("does not take");
  });

  test.for(["gpt-4o-mini", LLAMA, "o3"])("max_completion_tokens keeps its name: %s", async (model_name) => {
    const limit = { max_tokens: undefined, temperature: undefined, max_completion_tokens: 64 };
    await using lab = await setUp(oneCallEach({ model_config: { model_name, ...limit } as object }));
    const { stderr } = await lab.run();
    expect({ ...unstreamed, ...lab.server.requests[0]?.parameters }).toEqual({
      max_completion_tokens: 64,
      ...unstreamed,
    });
    expect(stderr).not.toContain("does not take");
  });

  test.for(["gpt-4o-mini", LLAMA])("none is sent that is not configured: %s", async (model_name) => {
    const bare = { model_name, max_tokens: undefined, temperature: undefined } as object;
    await using lab = await setUp(oneCallEach({ model_config: bare }));
    await lab.run();
    expect({ ...unstreamed, ...lab.server.requests[0]?.parameters }).toEqual(unstreamed);
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
      const expected = expectedDataset(config, rows(2), (asked) => answerTo({ ...asked, temperature: undefined }));
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
  ] as const)("takes the largest input in 300 MB: %s", { timeout: 60_000 }, async ([, words]) => {
    const input = words.repeat(Math.floor(7_900_000 / Buffer.byteLength(words)));
    const model_config = { max_tokens: 50 };
    await using lab = await setUp(configFor({ agent_perspectives: FOUR.slice(0, 1), model_config }), [{ input }]);
    const report = "process.on('exit',()=>console.error('peak',process.resourceUsage().maxRSS))";
    const { stderr } = await lab.run(
      { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(report)}` },
      OFFLINE,
    );
    expect(Number(/peak (\d+)/.exec(stderr)?.[1]) * 1024).toBeLessThan(300_000_000);
  });
});
