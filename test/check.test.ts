import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ConfigCheck } from "../src/app/check/check-config.ts";
import { openLab, PLAIN } from "./support/lab.ts";
import type { IncomingCall, ServerOptions } from "./support/server.ts";

const PRICES = { input: 2, output: 8 };
const ESCAPE = "\u001b";

type Body = Record<string, unknown>;

/** A model, the parameters of a config, why it refuses a request, and what is to be written instead. */
const REFUSALS: Record<string, { given: Body; refuses: (body: Body) => string | false; wanted: Body }> = {
  "other-limit": {
    given: { max_tokens: 500 },
    refuses: ({ max_tokens: limit }) =>
      limit !== undefined &&
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    wanted: { max_completion_tokens: 500 },
  },
  "older-limit": {
    given: { max_completion_tokens: 500 },
    refuses: ({ max_completion_tokens: limit }) =>
      limit !== undefined && "Unrecognized request argument supplied: max_completion_tokens",
    wanted: { max_tokens: 500 },
  },
  "lower-limit": {
    given: { max_tokens: 100_000 },
    refuses: ({ max_tokens: limit }) =>
      Number(limit) > 16_384 &&
      `max_tokens is too large: ${Number(limit)}. This model supports at most 16384 completion tokens.`,
    wanted: { max_tokens: 16_384 },
  },
  "of-claude": {
    given: { max_tokens: 100_000 },
    refuses: ({ max_tokens: limit }) =>
      Number(limit) > 64_000 &&
      `max_tokens: ${Number(limit)} > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4-5-20250929`,
    wanted: { max_tokens: 64_000 },
  },
  "of-gemini": {
    given: { max_tokens: 100_000 },
    refuses: ({ max_tokens: limit }) =>
      Number(limit) >= 65_537 &&
      `it has a maxOutputTokens value of ${Number(limit)} but the supported range is from 1 (inclusive) to 65537 (exclusive)`,
    wanted: { max_tokens: 65_536 },
  },
  "small-window": {
    given: { max_tokens: 100_000 },
    refuses: ({ max_tokens: limit }) =>
      Number(limit) > 8_000 &&
      `This model's maximum context length is 8192 tokens. However, you requested ${Number(limit) + 20} tokens (20 in the messages, ${Number(limit)} in the completion).`,
    wanted: { max_tokens: 4_096 },
  },
  "no-temperature": {
    given: { temperature: 0.7, top_p: 0.9 },
    refuses: ({ temperature, top_p: topP }) =>
      temperature !== undefined
        ? "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported."
        : topP !== undefined && "Unsupported parameter: 'top_p' is not supported with this model.",
    wanted: {},
  },
  cooler: {
    given: { temperature: 1.5 },
    refuses: ({ temperature }) => Number(temperature) > 1 && "temperature: Input should be less than or equal to 1",
    wanted: { temperature: 1 },
  },
  "in-a-range": {
    given: { presence_penalty: -2 },
    refuses: ({ presence_penalty: penalty }) => Number(penalty) < 0 && "presence_penalty must be between 0 and 1.5",
    wanted: { presence_penalty: 0 },
  },
  "no-stop": {
    given: { stop: ["END"], max_tokens: 50 },
    refuses: ({ stop }) => stop !== undefined && "'stop' is not supported with this model",
    wanted: { max_tokens: 50 },
  },
  "other-effort": {
    given: { reasoning_effort: "minimal" },
    refuses: ({ reasoning_effort: effort }) =>
      effort === "minimal" &&
      "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. Supported values are: 'low', 'medium', and 'high'.",
    wanted: { reasoning_effort: "low" },
  },
  "no-top-k": {
    given: { extra_body: { top_k: 40, min_p: 0.1 } },
    refuses: ({ top_k: topK }) => topK !== undefined && "Unrecognized request argument supplied: top_k",
    wanted: { extra_body: { min_p: 0.1 } },
  },
  "says-no-name": {
    // More parameters than a check can leave out one by one.
    given: { temperature: 0.5, seed: 1, top_p: 0.5, stop: ["END"], frequency_penalty: 1, presence_penalty: 1 },
    refuses: ({ temperature }) => temperature !== undefined && "Invalid request.",
    wanted: { seed: 1, top_p: 0.5, stop: ["END"], frequency_penalty: 1, presence_penalty: 1 },
  },
};

const refusing = ({ model, body }: IncomingCall) => {
  const message = REFUSALS[model]?.refuses(body);
  return message ? ({ kind: "status", status: 400, message } as const) : undefined;
};

/** A server, a config with these keys, and checks of it. */
async function checkLab(config: Body, server: ServerOptions = {}) {
  const lab = await openLab({ server });
  const whole: Body = { ...lab.config, agent_perspectives: [PLAIN], ...config };
  await lab.space.write("config.json", whole);
  return {
    ...lab,
    whole,
    async check(...flags: string[]) {
      const result = await lab.datagen("check", "config.json", "--json", ...flags);
      const found = result.stdout === "" ? undefined : (JSON.parse(result.stdout) as ConfigCheck);
      return { ...result, found: found! };
    },
  };
}

/** The config with the lines that a check has printed. */
function pasted(config: Body, { models }: ConfigCheck): Body {
  const next = structuredClone(config);
  for (const { replaces, json } of models.flatMap(({ lines }) => lines)) {
    const [, index] = /^agent_perspectives\[(\d+)\]\.model_config$/.exec(replaces) ?? [];
    const [, name] = /^the entry of (\S+) in model_config$/.exec(replaces) ?? [];
    if (name !== undefined) {
      const entries = next["model_config"] as Body[];
      entries[entries.findIndex((entry) => entry["model_name"] === name)] = JSON.parse(json) as Body;
    } else {
      const place = index === undefined ? next : (next["agent_perspectives"] as Body[])[Number(index)]!;
      Object.assign(place, JSON.parse(`{${json}}`));
    }
  }
  return next;
}

const model = (more: Body = {}) => ({ model_name: "gpt-4o-mini", max_tokens: 200, ...more });

describe.concurrent("datagen check", () => {
  test("says what a server answers, what it cost, and stores nothing", async () => {
    const limits = { "x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499" };
    await using lab = await checkLab({ model_config: model(), prices: PRICES }, { headers: () => limits });
    const { code, found, stderr } = await lab.check();
    expect(code, stderr).toBe(0);
    expect(stderr).toBe(
      `Sending a short request to ${lab.server.openaiUrl} for gpt-4o-mini, which may cost a little, and asking whether it takes batches.\n`,
    );
    expect(lab.server.requests.map(({ parameters }) => parameters["max_tokens"])).toEqual([200]);
    const { prompt, completion } = lab.server.served;
    expect(found).toMatchObject({
      ok: true,
      requests: 1,
      cost_usd: Math.round((prompt * PRICES.input + completion * PRICES.output) * 1_000) / 1e9,
      models: [{ model: "gpt-4o-mini", provider: "openai", changes: [], lines: [] }],
    });
    expect(found.models[0]?.servers).toEqual([
      {
        base_url: lab.server.openaiUrl,
        ok: true,
        requests: 1,
        cost_usd: found.cost_usd,
        problems: [],
        latency_ms: expect.any(Number) as number,
        served_model: "gpt-4o-mini-2024-07-18",
        usage: true,
        reasoning_tags: false,
        limits: {
          requests: { limit: 500, remaining: 499, reset_ms: null },
          tokens: null,
          inputTokens: null,
          outputTokens: null,
        },
        batches: true,
      },
    ]);
    expect(existsSync(lab.space.at("data"))).toBe(false);
  });

  test("finds the parameters that models refuse, with few requests, and prints what makes the next check clean", async () => {
    await using lab = await checkLab({}, { behave: refusing });
    const entries = Object.entries(REFUSALS).map(([model_name, { given }]) => ({
      model_name,
      ...given,
      base_url: lab.server.openaiUrl,
    }));
    const config = { ...lab.whole, model_config: entries };
    await lab.space.write("config.json", config);
    const { code, found, stderr } = await lab.check();
    expect(code, stderr).toBe(1);
    expect(found.models.map(({ ok }) => ok)).toEqual(entries.map(() => false));
    expect(Math.max(...found.models.flatMap(({ servers }) => servers.map(({ requests }) => requests)))).toBeLessThan(9);
    expect(found.requests).toBe(lab.server.requests.length);
    for (const { refuses, given } of Object.values(REFUSALS))
      expect(stderr).toContain(refuses({ ...given, ...Object(given["extra_body"]) }));
    const mended = pasted(config, found);
    expect(mended["model_config"]).toEqual(
      Object.entries(REFUSALS).map(([model_name, { wanted }]) => ({
        model_name,
        ...wanted,
        base_url: lab.server.openaiUrl,
      })),
    );
    await lab.space.write("config.json", mended);
    const again = await lab.check();
    expect(again.code, again.stderr).toBe(0);
    expect(again.found.models.flatMap(({ lines, changes }) => [...lines, ...changes])).toEqual([]);
    expect(again.found.requests).toBe(entries.length);
  });

  test("changes the parameters of perspectives, too", async () => {
    const behave = ({ body }: IncomingCall) =>
      body["temperature"] === undefined
        ? undefined
        : ({ kind: "status", status: 400, message: "temperature is not supported" } as const);
    const perspectives = [
      { ...PLAIN, condition: "A" },
      { ...PLAIN, condition: "B", model_config: { temperature: 1.2, top_p: 0.5 } },
      { ...PLAIN, condition: "C", model_config: { temperature: null } },
    ];
    await using lab = await checkLab({ model_config: model(), agent_perspectives: perspectives }, { behave });
    const { code, found } = await lab.check();
    expect(code).toBe(1);
    expect(found.models[0]?.lines).toEqual([
      {
        replaces: "agent_perspectives[1].model_config",
        json: '"model_config": {\n  "top_p": 0.5\n}',
      },
    ]);
    await lab.space.write("config.json", pasted(lab.whole, found));
    expect((await lab.check()).found).toMatchObject({ ok: true, requests: 2 });
  });

  test("prints the part of the config to paste, and nothing that a terminal obeys", async () => {
    const message = `${ESCAPE}[31m max_tokens is unsupported`;
    await using lab = await checkLab(
      { model_config: model() },
      { behave: ({ body }) => (body["max_tokens"] ? { kind: "status", status: 400, message } : undefined) },
    );
    const { code, stdout, stderr } = await lab.datagen("check", "config.json");
    expect(code).toBe(1);
    expect(stdout + stderr).not.toContain(ESCAPE);
    expect(stdout).toContain("✗ gpt-4o-mini at ");
    expect(stdout).toContain("problem: the model refuses max_tokens: ");
    expect(stdout).toContain(`Put this into the config, in the place of model_config:

"model_config": {
  "model_name": "gpt-4o-mini",
  "max_completion_tokens": 200
}
`);
    expect(stdout).toMatch(
      /\n2 requests sent, for \$0\.\d+\. Nothing was stored\.\nA run would not work as the config is\.\n$/,
    );
  });

  test("offers reasoning_tags where an answer begins with reasoning", async () => {
    await using lab = await checkLab(
      { model_config: model() },
      { behave: () => ({ kind: "text", text: "<think>The user wants yes.</think>\n\nyes" }) },
    );
    const { code, found } = await lab.check();
    expect(code).toBe(0);
    expect(found.models[0]?.servers[0]?.reasoning_tags).toBe(true);
    const mended = pasted(lab.whole, found);
    expect(mended["model_config"]).toEqual(model({ reasoning_tags: "strip" }));
    await lab.space.write("config.json", mended);
    expect((await lab.check()).found.models[0]?.lines).toEqual([]);
  });

  test("asks each server of each model", async () => {
    await using lab = await checkLab({}, { behave: () => ({ kind: "noUsage" }) });
    const { openaiUrl, togetherUrl } = lab.server;
    await lab.space.write("config.json", {
      ...lab.whole,
      model_config: [
        { model_name: "one", base_url: [openaiUrl, togetherUrl] },
        { model_name: "two", base_url: openaiUrl },
        { model_name: "three", api_provider: "offline" },
      ],
    });
    const { code, found } = await lab.check();
    expect(code).toBe(0);
    expect(found.cost_usd).toBeNull();
    expect(
      found.models.map(({ model: name, servers }) => [
        name,
        ...servers.map(({ base_url: url, usage }) => [url, usage]),
      ]),
    ).toEqual([
      ["one", [openaiUrl, false], [togetherUrl, false]],
      ["two", [openaiUrl, false]],
      ["three", [null, true]],
    ]);
    expect(lab.server.requests.map(({ path, model: name }) => [path, name])).toEqual([
      ["/openai/v1/chat/completions", "one"],
      ["/together/v1/chat/completions", "one"],
      ["/openai/v1/chat/completions", "two"],
    ]);
  });

  test.each<[string, ServerOptions, Body, RegExp, number]>([
    ["a key that is refused", { behave: () => ({ kind: "status", status: 401 }) }, {}, /refused the API key: /, 1],
    ["a model that is unknown", { behave: () => ({ kind: "status", status: 404 }) }, {}, /does not know the model/, 1],
    [
      "a parameter without which it is refused, too",
      { behave: () => ({ kind: "status", status: 400, message: "The system role is not supported." }) },
      {},
      /bad_request: The system role is not supported\./,
      2,
    ],
    ["a server that fails", { behave: () => ({ kind: "status", status: 503 }) }, {}, /server_error: /, 3],
    ["an answer without text", { behave: () => ({ kind: "empty" }) }, {}, /accepted, but the answer is empty/, 1],
    [
      "batches that it does not take",
      { behaveApi: () => ({ kind: "status", status: 404 }) },
      { executor: "batch" },
      /does not take batches: set executor to live/,
      1,
    ],
  ])("says that a run would not work with %s", async (_, server, config, problem, requests) => {
    await using lab = await checkLab({ model_config: model(), ...config }, server);
    const { code, found } = await lab.check();
    expect(code).toBe(1);
    expect(found.models[0]?.servers[0]?.problems[0]).toMatch(problem);
    expect(found.requests).toBe(requests);
    expect(lab.server.requests).toHaveLength(requests);
  });

  test("asks again after a failure that passes", async () => {
    await using lab = await checkLab(
      { model_config: model() },
      { behave: ({ nth }) => (nth === 1 ? { kind: "status", status: 503 } : undefined) },
    );
    expect((await lab.check()).found).toMatchObject({ ok: true, requests: 2 });
    // Nothing leaves for a server that is away.
    await lab.server.goDown();
    const { code, found } = await lab.check();
    expect(code).toBe(1);
    expect(found).toMatchObject({ ok: false, requests: 0, cost_usd: 0 });
    const [problem] = found.models[0]!.servers[0]!.problems;
    expect(problem).toMatch(/^the server has not answered: connect ECONNREFUSED \S+\. Check the address, and whether/);
  });

  test("needs the key that a run needs, and no key offline", async () => {
    await using lab = await checkLab({ model_config: model() });
    const bare = { cwd: lab.space.path, env: {} };
    const { datagen } = await import("./support/harness.ts");
    const { code, stderr } = await datagen(["check", "config.json"], bare);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/OPENAI_API_KEY is not set, but OpenAI needs a key/)]);
    const misspelt = await datagen(["check", "config.json", "--model", "gtp-4o-mini"], bare);
    expect(misspelt.stderr).toMatch(
      /Together needs a key for gtp-4o-mini\n.*\n.*: check the name\. Your own server needs --base-url/,
    );
    const offline = await datagen(["check", "config.json", "--provider", "offline"], bare);
    expect(offline.code, offline.stderr).toBe(0);
    expect(offline.stdout).toMatch(/1 request sent, for \$0\.00\. Nothing was stored\.\nA run would work\.\n$/);
    expect(lab.server.requests).toEqual([]);
  });
});
