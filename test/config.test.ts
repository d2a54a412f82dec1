import { existsSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { cp, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { loadConfig } from "../src/config/load.ts";
import { applyOverrides, parseConfig } from "../src/config/parse.ts";
import { PROVIDERS } from "../src/config/providers.ts";
import { configJsonSchema } from "../src/config/schema.ts";
import { readInputs } from "../src/sources/inputs.ts";
import { configWarnings } from "../src/config/warnings.ts";
import { UsageError } from "../src/errors.ts";
import {
  configFor,
  environmentFor,
  expectedDataset,
  openDatabase,
  promptOf,
  type Row,
  rows,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { startServer } from "./support/server.ts";

const ROOT = resolve(import.meta.dirname, "..");

const ONE_PROVIDER = `one of ${PROVIDERS.map((name) => `"${name}"`).join(", ")}`;

/** A config as the documentation shows it: the keys, the comments and the commas of one that is pasted. */
const PASTED = `{
  "task_type": "translation",
  "task_description": "German to English translation task",
  /* The model, and how
     it is asked. */
  "model_config": {
    "model_name": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "max_tokens": 500,
    "temperature": 0.7, // the same for both steps
  },
  "agent_perspectives": [
    {
      "condition": "Original", // no comment: "https://example.com/a" /* nor here
      "reading": null,
      "strategy": "Put the German sentence into English, as in http://example.com/*all*/ // of it..."
    },
  ],
  "data_config": {
    "input_data_path": "data/wmt14_de_en_500.json",
    "sample_size": 500
  },
  "add_references": false,  // Optional: prepend reference as first agent
  "api_provider": "together"  // Optional: "together" or "openai" (auto-detected)
}
`;

/** The text of the error with which a value is refused. */
function refusalOf(value: unknown): string {
  try {
    parseConfig(value);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  throw new Error(`accepted: ${JSON.stringify(value)}`);
}

const parsedWith = (model: Record<string, unknown>) =>
  parseConfig(configFor({ model_config: { max_tokens: undefined, ...model } as object })).model_config;

test("the name of a model has no spaces around it, in a config and as a flag", () => {
  const config = parseConfig(configFor({ model_config: { model_name: " gpt-4o-mini\n" } }));
  expect(config.model_config.model_name).toBe("gpt-4o-mini");
  expect(applyOverrides(config, { model: "\tgpt-4o " }).model_config.model_name).toBe("gpt-4o");
});

describe("a config that is right", () => {
  test("loads as it is pasted from the documentation, and asks for just what it says", async () => {
    await using ws = await workspace();
    await using server = await startServer({ keepBodies: true });
    await ws.write("translation.json", PASTED);
    await ws.write("data/wmt14_de_en_500.json", rows(3));

    const result = await datagenInTurn(["run", "translation.json", "--output", "out.json"], {
      cwd: ws.path,
      env: environmentFor(server),
    });

    expect(result).toMatchObject({ code: 0, stdout: "out.json\n" });
    const strategy = "Put the German sentence into English, as in http://example.com/*all*/ // of it...";
    expect(server.requests).toHaveLength(3);
    expect(new Set(server.requests.map(({ path }) => path))).toEqual(new Set(["/together/v1/chat/completions"]));
    expect(server.requests.map(({ body }) => body)).toContainEqual({
      model: "meta-llama/Llama-3.3-70B-Instruct-Turbo",
      messages: [{ role: "user", content: promptOf(strategy, rows(1)[0]!.input) }],
      max_tokens: 500,
      temperature: 0.7,
      stream: false,
    });
    expect(await ws.json("out.json")).toMatchObject({
      task_type: "translation",
      task_description: "German to English translation task",
      add_references: false,
      agent_perspectives: [{ condition: "Original", reading: null, strategy }],
      metadata: {
        api_provider: "together",
        data_config: { input_data_path: "data/wmt14_de_en_500.json", sample_size: 500 },
      },
    });
  });

  test("may begin with a byte order mark and have CRLF lines", async () => {
    await using ws = await workspace();
    await ws.write("data/wmt14_de_en_500.json", rows(1));
    const path = await ws.write("config.json", `\ufeff${PASTED.replaceAll("\n", "\r\n")}`);
    expect(await loadConfig(path)).toEqual(await loadConfig(await ws.write("plain.json", PASTED)));
  });

  test("may leave out every key that is optional, and gets the documented defaults", () => {
    const least = {
      task_type: "poems about rain",
      task_description: "Any name is a task",
      model_config: { model_name: "some-model" },
      agent_perspectives: [{ condition: "Plain", strategy: "Write a poem." }],
      data_config: { input_data_path: "rows.json" },
    };
    expect(parseConfig(least)).toEqual({
      ...least,
      agent_perspectives: [{ condition: "Plain", reading: null, strategy: "Write a poem." }],
      data_config: { input_data_path: "rows.json", sample_size: 100 },
      add_references: false,
      concurrency: 32,
      timeout_s: 120,
      max_attempts: 6,
      give_up_after_s: 600,
    });
  });

  test("may name a $schema, which is no part of the config", () => {
    const config = configFor();
    expect(parseConfig({ $schema: "./schema.json", ...config })).toEqual(parseConfig(config));
  });

  test("may call a perspective Reference where no references are added", () => {
    const agent_perspectives = [{ condition: "Reference", reading: null, strategy: "Answer as the reference would." }];
    expect(parseConfig(configFor({ agent_perspectives })).agent_perspectives).toEqual(agent_perspectives);
  });

  test.each([
    { temperature: 0 },
    { temperature: 2 },
    { top_p: 0 },
    { top_p: 1 },
    { max_tokens: 1 },
    { max_completion_tokens: 1 },
    { seed: 0 },
    { seed: -5 },
    { stop: "\n" },
    { stop: ["a", "b", "c", "d"] },
    { frequency_penalty: -2 },
    { presence_penalty: 2 },
    { reasoning_effort: "minimal" },
    { endpoint: "chat" },
    { base_url: "http://localhost:11434/v1" },
    { base_url: "https://models.example.org:8443/some/path/" },
    { base_url: "http://[::1]:8000" },
    { extra_body: {} },
    { extra_body: { top_k: 40, deep: { list: [1, "two", null, true, { three: 3.5 }] } } },
  ])("may have %j in its model_config", (model) => {
    expect(parsedWith(model)).toMatchObject(model);
  });

  test.each([
    { concurrency: 1 },
    { concurrency: 10_000 },
    { timeout_s: 0.5 },
    { timeout_s: 86_400 },
    { add_references: true },
    { api_provider: "openai" },
    { api_provider: "together" },
    { api_provider: "offline" },
    { task_type: "Größe/прочее: 日本語" },
  ])("may have %j", (members) => {
    expect(parseConfig(configFor(members))).toMatchObject(members);
  });
});

describe("what a config says of the model", () => {
  const extra_body = { user: "reader-7", logit_bias: { "50256": -100 }, deep: { list: [1, "two", null, true] } };
  const sampling = {
    temperature: 0.25,
    top_p: 0.9,
    seed: 7,
    stop: ["END", "\n\n"],
    frequency_penalty: 0.5,
    presence_penalty: -0.5,
  };
  const chat = { ...sampling, max_tokens: 321, reasoning_effort: "low" };

  test.each([
    {
      name: "everything, at OpenAI",
      model_config: { model_name: "gpt-4o-mini", ...chat, extra_body },
      path: "/openai/v1/chat/completions",
      parameters: { ...chat, ...extra_body },
    },
    {
      name: "everything, at Together",
      model_config: { model_name: "meta-llama/Llama-3.3-70B-Instruct-Turbo", ...chat, extra_body },
      path: "/together/v1/chat/completions",
      parameters: { ...chat, ...extra_body },
    },
    {
      name: "max_completion_tokens and the endpoint chat",
      model_config: {
        model_name: "gpt-4o-mini",
        max_tokens: undefined,
        max_completion_tokens: 123,
        temperature: 1,
        endpoint: "chat" as const,
      },
      path: "/openai/v1/chat/completions",
      parameters: { max_completion_tokens: 123, temperature: 1 },
    },
    {
      name: "the endpoint completions at OpenAI",
      model_config: {
        model_name: "gpt-3.5-turbo-instruct",
        max_tokens: 50,
        ...sampling,
        endpoint: "completions" as const,
        extra_body: { suffix: "." },
      },
      path: "/openai/v1/completions",
      parameters: { max_tokens: 50, ...sampling, suffix: "." },
    },
    {
      name: "the endpoint completions at Together",
      model_config: {
        model_name: "base/model",
        max_tokens: 50,
        ...sampling,
        endpoint: "completions" as const,
        extra_body: { top_k: 5 },
      },
      path: "/together/v1/completions",
      parameters: { max_tokens: 50, ...sampling, top_k: 5 },
    },
    {
      name: "zeros and a single stop",
      model_config: {
        model_name: "gpt-4o-mini",
        max_tokens: undefined,
        temperature: 0,
        top_p: 0,
        seed: 0,
        stop: "END",
        frequency_penalty: 0,
        presence_penalty: 0,
        extra_body: { zero: 0, no: false, none: null },
      },
      path: "/openai/v1/chat/completions",
      parameters: {
        temperature: 0,
        top_p: 0,
        seed: 0,
        stop: "END",
        frequency_penalty: 0,
        presence_penalty: 0,
        zero: 0,
        no: false,
        none: null,
      },
    },
    {
      name: "nothing but a name",
      model_config: { model_name: "gpt-4o-mini", max_tokens: undefined, temperature: undefined },
      path: "/openai/v1/chat/completions",
      parameters: {},
    },
  ])("arrives in the request as it stands: $name", async ({ model_config, path, parameters }) => {
    await using ws = await workspace();
    await using server = await startServer({ keepBodies: true });
    const config = configFor({
      model_config: model_config as object,
      agent_perspectives: [{ condition: "Plain", reading: null, strategy: "Translate." }],
    });
    await ws.write("config.json", config);
    await ws.write("rows.json", rows(1));

    const result = await datagenInTurn(["run", "config.json", "--output", "out.json"], {
      cwd: ws.path,
      env: environmentFor(server),
    });

    expect(result).toMatchObject({ code: 0 });
    const prompt = promptOf("Translate.", rows(1)[0]!.input);
    const [request, ...others] = server.requests;
    expect(others).toEqual([]);
    expect(request?.path).toBe(path);
    expect(request?.body).toEqual({
      model: model_config.model_name,
      ...(path.endsWith("chat/completions") ? { messages: [{ role: "user", content: prompt }] } : { prompt }),
      stream: false,
      ...parameters,
    });
    const { metadata } = await ws.json<{ metadata: { model_config: object } }>("out.json");
    expect(metadata.model_config).toEqual(JSON.parse(JSON.stringify(model_config)));
  });

  test.each([
    { name: "the OpenAI protocol where nothing else is said", api_provider: undefined, server: "openai" as const },
    { name: "OpenAI's protocol", api_provider: "openai", server: "openai" as const },
    { name: "Together's protocol", api_provider: "together", server: "together" as const },
  ])(
    "decides with base_url where requests go, with nobody's key: $name",
    async ({ api_provider, server: provider }) => {
      await using ws = await workspace();
      await using server = await startServer();
      const base_url = `${provider === "openai" ? server.openaiUrl : server.togetherUrl}/`;
      const model_config = { model_name: "llama3.2", base_url };
      await ws.write("config.json", configFor({ model_config, api_provider: api_provider as string }));
      await ws.write("rows.json", rows(1));

      const env = { OPENAI_API_KEY: "sk-of-openai", TOGETHER_API_KEY: "of-together" };
      const result = await datagenInTurn(["run", "config.json", "--output", "out.json"], { cwd: ws.path, env });

      expect(result).toMatchObject({ code: 0 });
      expect(server.requests).toHaveLength(6);
      expect(new Set(server.requests.map(({ path, authorization }) => `${path} ${authorization}`))).toEqual(
        new Set([`/${provider}/v1/chat/completions undefined`]),
      );
      const { tasks } = expectedDataset(configFor({ model_config, api_provider: provider }), rows(1));
      expect(await ws.json("out.json")).toMatchObject({ tasks, metadata: { api_provider: provider } });
    },
  );
});

describe("what is wrong with a config", () => {
  test("is reported all at once: the line, the path, the expected and the found value", async () => {
    await using ws = await workspace();
    await ws.write(
      "broken.json",
      [
        "{",
        '  "task_type": "", // no name',
        '  "task_descripton": "A description",',
        '  "model_config": {',
        '    "model_name": "gpt-4o-mini",',
        '    "max_tokens": "many",',
        '    "temperature": 7,',
        "    /* two",
        "       lines */",
        '    "top_k": 5',
        "  },",
        '  "agent_perspectives": [',
        '    {"condition": "One", "strategy": "Do it."},',
        "    {",
        '      "condition": "One",',
        '      "reading": ["Take notes."]',
        "    }",
        "  ],",
        '  "data_config": {"sample_size": 0},',
        '  "add_references": "yes",',
        '  "api_provider": "opnai",',
        '  "concurrency": 0.5,',
        '  "timeout_s": null',
        "}",
      ].join("\n"),
    );

    const { code, stdout, stderr } = await datagenInTurn(["run", "broken.json"], { cwd: ws.path });

    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    const [first, ...lines] = stderr.split("\n");
    expect(first).toBe("Error: broken.json has 14 errors:");
    expect(lines.slice(0, 14)).toEqual([
      '  line 2, task_type: expected the name of the task, a non-empty string, found ""',
      '  line 3, task_descripton: unknown key; did you mean "task_description"?',
      '  line 6, model_config.max_tokens: expected a whole number of at least 1, found "many"',
      "  line 7, model_config.temperature: expected a number from 0 to 2, found 7",
      expect.stringMatching(/^ {2}line 10, model_config\.top_k: unknown key; /),
      "  line 14, agent_perspectives[1].strategy: missing; expected the main instruction, a non-empty string",
      '  line 15, agent_perspectives[1].condition: expected a unique condition, found "One", which agent_perspectives[0] has too',
      '  line 16, agent_perspectives[1].reading: expected an instruction, a non-empty string, or null, found ["Take notes."]',
      "  line 19, data_config.input_data_path: missing; expected the path of the input file, a non-empty string, or an array of paths",
      "  line 19, data_config.sample_size: expected a whole number of at least 1, found 0",
      '  line 20, add_references: expected true or false, found "yes"',
      `  line 21, api_provider: expected ${ONE_PROVIDER}, found "opnai"`,
      "  line 22, concurrency: expected a whole number of at least 1, found 0.5",
      "  line 23, timeout_s: expected a number of seconds above 0, found null",
    ]);
  });

  test.each([
    [["task_typ"], "task_type"],
    [["taskType"], "task_type"],
    [["task-description"], "task_description"],
    [["modle_config"], "model_config"],
    [["agent_perspective"], "agent_perspectives"],
    [["AgentPerspectives"], "agent_perspectives"],
    [["data_confg"], "data_config"],
    [["add_refrences"], "add_references"],
    [["api_provder"], "api_provider"],
    [["concurency"], "concurrency"],
    [["timeouts"], "timeout_s"],
    [["model_config", "modelname"], "model_name"],
    [["model_config", "max_token"], "max_tokens"],
    [["model_config", "maxCompletionTokens"], "max_completion_tokens"],
    [["model_config", "temprature"], "temperature"],
    [["model_config", "Temperature"], "temperature"],
    [["model_config", "topp"], "top_p"],
    [["model_config", "seeds"], "seed"],
    [["model_config", "stops"], "stop"],
    [["model_config", "frequency_penality"], "frequency_penalty"],
    [["model_config", "presense_penalty"], "presence_penalty"],
    [["model_config", "reasoning-effort"], "reasoning_effort"],
    [["model_config", "baseURL"], "base_url"],
    [["model_config", "end_point"], "endpoint"],
    [["model_config", "extrabody"], "extra_body"],
    [["data_config", "input_path"], "input_data_path"],
    [["data_config", "samplesize"], "sample_size"],
    [["agent_perspectives", 0, "conditon"], "condition"],
    [["agent_perspectives", 0, "raeding"], "reading"],
    [["agent_perspectives", 0, "strategey"], "strategy"],
  ] satisfies [(string | number)[], string][])("is for the key %j that %s was meant, once", (path, meant) => {
    const config = structuredClone(configFor()) as Record<string, unknown>;
    const holder = path.slice(0, -1).reduce<Record<string, unknown>>((at, part) => at[part] as never, config);
    const key = String(path.at(-1));
    holder[key] = holder[meant];
    delete holder[meant];
    const place = path.reduce<string>(
      (text, part) => (typeof part === "number" ? `${text}[${part}]` : [text, part].filter(Boolean).join(".")),
      "",
    );
    expect(refusalOf(config)).toBe(
      `the config has 1 error:\n  ${place}: unknown key; did you mean ${JSON.stringify(meant)}?`,
    );
  });

  test("is for a key that is like no other which keys there are", () => {
    const { agent_perspectives, ...config } = configFor();
    const [first, ...others] = agent_perspectives;
    expect(refusalOf({ ...config, agent_perspectives: [{ ...first, zzz: 1 }, ...others] })).toContain(
      "agent_perspectives[0].zzz: unknown key; the keys here are condition, reading, strategy",
    );
  });

  test.each([
    [{ temperature: -0.1 }, "temperature: expected a number from 0 to 2, found -0.1"],
    [{ temperature: "0.7" }, 'temperature: expected a number from 0 to 2, found "0.7"'],
    [{ temperature: null }, "temperature: expected a number from 0 to 2, found null"],
    [{ temperature: Infinity }, "temperature: expected a number from 0 to 2, found Infinity"],
    [{ top_p: 1.01 }, "top_p: expected a number from 0 to 1, found 1.01"],
    [{ max_tokens: 0 }, "max_tokens: expected a whole number of at least 1, found 0"],
    [{ max_tokens: 2.5 }, "max_tokens: expected a whole number of at least 1, found 2.5"],
    [{ max_completion_tokens: -1 }, "max_completion_tokens: expected a whole number of at least 1, found -1"],
    [{ seed: 1.5 }, "seed: expected a whole number, found 1.5"],
    [{ stop: [] }, "stop: expected a non-empty string, or an array of 1 to 4 of them, found []"],
    [{ stop: "" }, 'stop: expected a non-empty string, or an array of 1 to 4 of them, found ""'],
    [
      { stop: ["a", "b", "c", "d", "e"] },
      'stop: expected a non-empty string, or an array of 1 to 4 of them, found ["a","b","c","d","e"]',
    ],
    [{ frequency_penalty: 2.1 }, "frequency_penalty: expected a number from -2 to 2, found 2.1"],
    [{ presence_penalty: -3 }, "presence_penalty: expected a number from -2 to 2, found -3"],
    [{ reasoning_effort: "much" }, /reasoning_effort: expected one of "none", .*"high", "xhigh", found "much"/],
    [{ endpoint: "responses" }, 'endpoint: expected one of "chat", "completions", found "responses"'],
    [{ base_url: 80 }, "base_url: expected a URL such as http://localhost:11434/v1, or an array of URLs, found 80"],
    [{ base_url: "localhost:11434/v1" }, /base_url: expected an http or https URL .*, found "localhost:11434\/v1"/],
    [{ base_url: "ftp://example.org" }, /base_url: expected an http or https URL .*, found "ftp:\/\/example.org"/],
    [{ base_url: "http://x/v1?key=1" }, /base_url: expected an http or https URL without .* a query/],
    [
      { base_url: "https://me.openai.azure.com/openai/deployments/d?api-version=2024-10-21" },
      /base_url: expected .*\(of Azure: https:\/\/NAME\.openai\.azure\.com\/openai\/v1, without \?api-version\)/,
    ],
    [{ model_name: " \t" }, /model_name: expected the name of a model, a non-empty string/],
    [{ base_url: "http://me:secret@x/v1" }, /base_url: expected an http or https URL without a user name, a password/],
    [{ model_name: "" }, 'model_name: expected the name of a model, a non-empty string, found ""'],
    [{ max_tokens: 1e15 }, "max_tokens: expected at most 1000000000 tokens, found 1000000000000000"],
    [{ extra_body: { max_new_tokens: -1 } }, /extra_body.max_new_tokens: expected a whole number from 1/],
    [{ model_name: ["a"] }, 'model_name: expected the name of a model, a non-empty string, found ["a"]'],
    [{ extra_body: [1] }, "extra_body: expected an object, found [1]"],
    [
      { max_tokens: 5, max_completion_tokens: 5 },
      "max_completion_tokens: expected either max_tokens or max_completion_tokens, because both set the same limit; found both",
    ],
  ])("is told of the model_config %j", (model, expected) => {
    const message = refusalOf(configFor({ model_config: { max_tokens: undefined, ...model } as object }));
    expect(message).toMatch(/^the config has 1 error:\n {2}model_config\..*$/);
    if (typeof expected === "string") expect(message).toBe(`the config has 1 error:\n  model_config.${expected}`);
    else expect(message).toMatch(expected);
  });

  test.each(["model", "messages", "prompt", "stream", "stream_options", "n", "best_of", "echo"])(
    "is told of the key %s in extra_body, which datagen sets itself",
    (key) => {
      const message = refusalOf(configFor({ model_config: { extra_body: { top_k: 4, [key]: 1 } } }));
      expect(message).toMatch(/^the config has 1 error:\n {2}model_config\.extra_body: expected an object without /);
      expect(message).toContain(`found {"top_k":4,${JSON.stringify(key)}:1}`);
    },
  );

  test.each([-1, 0, 1.5, 1e308, -1_000_000, "500", true])("is reported for max_tokens %j in extra_body", (limit) => {
    const expected = "expected a whole number from 1 to 1000000000, or null for no limit";
    expect(refusalOf(configFor({ model_config: { extra_body: { max_tokens: limit } } }))).toBe(
      `the config has 1 error:\n  model_config.extra_body.max_tokens: ${expected}, found ${typeof limit === "number" ? String(limit) : JSON.stringify(limit)}`,
    );
  });

  test("is a whole number that lost digits when the config was read", () => {
    const where = { post: [1, 2 ** 53], year: 2020, mean: 1e-3 };
    expect(refusalOf(configFor({ data_config: { where } }))).toContain(
      "data_config.where.post: expected a text, because a number cannot hold all digits of so large a whole number",
    );
    const { post: _, ...others } = where;
    expect(() => parseConfig(configFor({ data_config: { where: others } }))).not.toThrow();
  });

  test("is one line where something is nested deeper than anybody means", () => {
    const deep = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`) as object;
    const extra = (levels: number) => configFor({ model_config: { extra_body: deep(levels) } });
    expect(refusalOf(extra(4_000))).toBe(
      "the config has 1 error:\n  model_config: objects and arrays are nested more than 100 deep",
    );
    expect(() => parseConfig(extra(90))).not.toThrow();
    const round: Record<string, unknown> = {};
    round["again"] = round;
    expect(refusalOf(configFor({ model_config: { extra_body: round } }))).toContain("nested more than 100 deep");
  });

  test("is 50 lines and a count where there is more, quickly, however long the keys are", () => {
    const keys = Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`key_${at}`, 1]));
    const message = refusalOf({ ...configFor(), ...keys }).split("\n");
    expect(message).toHaveLength(52);
    expect(message[0]).toBe("the config has 100000 errors:");
    expect(message[1]).toMatch(/^ {2}key_0: unknown key; the keys here are task_type, /);
    expect(message.at(-1)).toBe("  and 99950 more");
    const long = "k".repeat(1_000_000);
    expect(refusalOf({ ...configFor(), [long]: 1 })).toContain(`\n  ${"k".repeat(60)}...: unknown key; `);
  });

  test("is an instruction of more than 8 MB, with its place", () => {
    const [first, ...others] = configFor().agent_perspectives;
    const long = { ...first!, strategy: "ä".repeat(4_500_000) };
    expect(refusalOf({ ...configFor(), agent_perspectives: [...others, long] })).toBe(
      "the config has 1 error:\n  agent_perspectives[3].strategy: has 9 MB; expected at most 8 MB",
    );
  });

  test("is shown cut off where it is long", () => {
    const message = refusalOf(configFor({ concurrency: "x".repeat(5_000) }));
    expect(message).toMatch(/concurrency: expected .*, found "x{50,60}\.\.\.$/);
  });
});

interface Broken {
  name: string;
  /** What config.json holds; without it, a config that is right. */
  config?: unknown;
  /** Default: config.json. */
  path?: string;
  flags?: string[];
  env?: Record<string, string>;
  /** What stderr says. */
  says: (string | RegExp)[];
}

const json = (config: object) => JSON.stringify(config, null, 2);
const right = configFor({ data_config: { input_data_path: "rows.json" } });
const perspectives = (...list: object[]) => ({ ...right, agent_perspectives: list });

const UNREADABLE: Broken[] = [
  {
    name: "a path that goes on behind a file",
    path: "config.json/config.json",
    says: [/the config file .*config\.json\/config\.json cannot be read/],
  },
  { name: "nothing but white space and a comment", config: " \n// later\n", says: ["config.json is empty"] },
  {
    name: "text in UTF-16",
    config: Buffer.from(`\ufeff${json(right)}`, "utf16le"),
    says: ["config.json is not UTF-8 text"],
  },
  {
    name: "a missing comma",
    config: '{\n  "task_type": "a"\n  "task_description": "b"\n}',
    says: ['line 3, column 3: expected a comma, found "\\"task_description\\""'],
  },
  {
    name: "a string that is never closed",
    config: '{"task_type": "a}',
    says: ["line 1, column 15: a string is never closed"],
  },
  {
    name: "single quotes",
    config: "{'task_type': 'a'}",
    says: ["line 1, column 2: \"'task_type'\" is not a JSON value"],
  },
  {
    name: "text behind the object",
    config: `${json(right)}\n{}`,
    says: ['expected the end of the file, found "{"'],
  },
  {
    name: "Infinity as the temperature",
    config: json(right).replace("0.7", "Infinity"),
    says: ['"Infinity" is not a JSON value'],
  },
  {
    name: "Python's True",
    config: json({ ...right, add_references: true }).replace("true", "True"),
    says: ['"True" is not a JSON value'],
  },
  {
    name: "a comment that is never closed",
    config: `${json(right)} /* the end`,
    says: ["a comment is never closed"],
  },
  {
    name: "an array",
    config: [right],
    says: ["config.json has 1 error", "expected an object with the keys of a config, found [{"],
  },
  { name: "null", config: "null", says: ["expected an object with the keys of a config, found null"] },
  {
    name: "a strategy that is null",
    config: perspectives({ condition: "Plain", strategy: null }),
    says: ["agent_perspectives[0].strategy: expected the main instruction, a non-empty string, found null"],
  },
  { name: "no perspectives", config: perspectives(), says: ["expected at least one perspective, found []"] },
];

const DEEP = 100_000;
const nested = (open: string, close: string) => `{"extra": ${open.repeat(DEEP)}1${close.repeat(DEEP)}}`;

UNREADABLE.push(
  { name: "objects in each other", config: nested('{"a":', "}"), says: ["line 1, column 506: objects and arrays are"] },
  {
    name: "arrays in each other",
    config: nested("[", "]"),
    says: ["objects and arrays are nested more than 100 deep"],
  },
  { name: "arrays that are never closed", config: "[".repeat(DEEP), says: ["nested more than 100 deep"] },
  {
    name: "100,000 mistakes",
    config: "x ".repeat(DEEP),
    says: [/^UsageError: .*is not valid JSON:\n.*not a JSON value$/],
  },
  {
    name: "a million values",
    config: `{"a": [${"1,".repeat(1_000_000)}1]}`,
    says: [/config\.json has more than 250000 values/],
  },
  {
    name: "50,000 perspectives",
    config: JSON.stringify({ agent_perspectives: Array.from({ length: 50_000 }, () => ({})) }),
    says: ["line 1, agent_perspectives: expected at most 10000 perspectives, found 50000"],
  },
  {
    name: "100,000 keys that stand twice",
    config: `{${'"a":1,'.repeat(DEEP)}"a":1}`,
    says: ['line 1, column 8: the key "a" occurs twice', "and 99950 more"],
  },
  { name: "17 MB", config: `"${"x".repeat(17_000_000)}"`, says: ["is larger than 16 MB"] },
  { name: "a device without an end", path: "/dev/zero", says: ["/dev/zero holds NUL bytes, so it is not text."] },
  {
    name: "a Parquet file",
    config: Buffer.from("PAR1\u0015\u0004"),
    says: [/config\.json is a Parquet file$/],
  },
  { name: "a gzip file", config: gzipSync("{}"), says: [/config\.json is a gzip file$/] },
  {
    name: "text in UTF-16 without a byte order mark",
    config: Buffer.from(json(right), "utf16le"),
    says: ["config.json is not UTF-8 text, but UTF-16."],
  },
  {
    name: "text in Windows-1252",
    config: Buffer.from(json(right).replace("German", "Größen"), "latin1"),
    says: [/config\.json is not UTF-8 text: the byte at \d+ \(0xF6\) is not valid UTF-8/],
  },
);

const BROKEN: Broken[] = [
  {
    name: "a file that is not there",
    path: "nowhere.json",
    says: ["there is no config file nowhere.json"],
  },
  { name: "a directory", path: ".", says: [". is a directory, not a config file"] },
  { name: "a file of zero bytes", config: "", says: ["config.json is empty"] },
  {
    name: "text in Latin-1",
    config: Buffer.from(json(right).replace("German", "Größen"), "latin1"),
    says: ["config.json is not UTF-8 text"],
  },
  {
    name: "a brace that is never closed",
    config: json(right).slice(0, -1),
    says: ["config.json is not valid JSON", "a { is never closed"],
  },
  {
    name: "NaN as the temperature",
    config: json(right).replace("0.7", "NaN"),
    says: [/line \d+, column \d+: "NaN" is not a JSON value/],
  },
  {
    name: "keys that stand twice in one object",
    config:
      '{\n "task_type": "a",\n "task_type": "b",\n "model_config": {"seed": 1,\n "seed": 1},\n "data_config": {"seed": 1}}',
    says: ['line 3, column 2: the key "task_type" occurs twice', 'line 5, column 2: the key "seed" occurs twice'],
  },
  {
    name: "an empty object",
    config: {},
    says: [
      "config.json has 5 errors",
      "task_type: missing; ",
      "task_description: missing; ",
      "model_config: missing; ",
      "agent_perspectives: missing; ",
      "data_config: missing; ",
    ],
  },
  {
    name: "two perspectives with one condition",
    config: perspectives(
      { condition: "Plain", strategy: "One." },
      { condition: "Other", strategy: "Two." },
      { condition: "Plain", strategy: "Three." },
    ),
    says: [
      /line \d+, agent_perspectives\[2\]\.condition: expected a unique condition, found "Plain", which agent_perspectives\[0\] has too/,
    ],
  },
  {
    name: "a missing strategy",
    config: perspectives({ condition: "Plain", reading: "Take notes." }),
    says: ["agent_perspectives[0].strategy: missing; expected the main instruction, a non-empty string"],
  },
  {
    name: "a misspelt strategy",
    config: perspectives({ condition: "Plain", strategey: "Do it." }),
    says: ["config.json has 1 error", 'agent_perspectives[0].strategey: unknown key; did you mean "strategy"?'],
  },
  {
    name: "a perspective called Reference beside the references",
    config: { ...perspectives({ condition: "Reference", strategy: "Do it." }), add_references: true },
    says: ['expected a condition other than "Reference", which add_references uses'],
  },
  {
    name: "a sample size of 0",
    config: configFor({ data_config: { sample_size: 0 } }),
    says: [/line \d+, data_config\.sample_size: expected a whole number of at least 1, found 0/],
  },
  {
    name: "a temperature of 7",
    config: configFor({ model_config: { temperature: 7 } }),
    says: [/line \d+, model_config\.temperature: expected a number from 0 to 2, found 7/],
  },
  {
    name: "two limits of tokens",
    config: configFor({ model_config: { max_tokens: 5, max_completion_tokens: 5 } }),
    says: ["expected either max_tokens or max_completion_tokens, because both set the same limit; found both"],
  },
  {
    name: "messages in extra_body",
    config: configFor({ model_config: { extra_body: { messages: [] } } }),
    says: [
      /model_config\.extra_body: expected an object without model, messages, .*, which datagen sets itself, found \{"messages":\[\]\}/,
    ],
  },
  {
    name: "a base_url without a scheme",
    config: configFor({ model_config: { base_url: "localhost:8000/v1" } }),
    says: [/model_config\.base_url: expected an http or https URL .*, found "localhost:8000\/v1"/],
  },
  {
    name: "an unknown provider",
    config: configFor({ api_provider: "azure" }),
    says: [`api_provider: expected ${ONE_PROVIDER}, found "azure"`],
  },
  {
    name: "no config at all",
    path: "--test",
    says: ["CONFIG is missing", "datagen run --help"],
  },
  {
    name: "--sample-size 0",
    flags: ["--sample-size", "0"],
    says: ["--sample-size: expected a whole number of at least 1, found 0"],
  },
  { name: "--sample-size abc", flags: ["--sample-size", "abc"], says: [/--sample-size.*"abc"/] },
  {
    name: "--concurrency 0",
    flags: ["--concurrency", "0"],
    says: ["--concurrency: expected a whole number of at least 1, found 0"],
  },
  { name: "--provider foo", flags: ["--provider", "foo"], says: [/--provider.*"offline".*"foo"/] },
  {
    name: "--base-url nonsense",
    flags: ["--base-url", "nonsense"],
    says: [/--base-url: expected an http or https URL .*, found "nonsense"/],
  },
  { name: "an empty --model", flags: ["--model", ""], says: [/--model: expected the name of a model.*, found ""/] },
  {
    name: "several flags",
    flags: ["--sample-size", "0", "--concurrency=0", "--base-url", "x"],
    says: [/--sample-size: .*found 0/, /--concurrency: .*found 0/, /--base-url: .*found "x"/],
  },
  { name: "a flag that does not exist", flags: ["--samples", "3"], says: [/--samples/, "datagen run --help"] },
  {
    name: "an OPENAI_BASE_URL that is none",
    env: { OPENAI_BASE_URL: "nonsense" },
    says: ["OPENAI_BASE_URL is not a base URL"],
  },
];

/** How many runs the database of a workspace has, hidden ones included; a database that was never made has none. */
function runsIn(ws: Workspace): unknown {
  if (!existsSync(ws.at("datagen.db"))) return 0;
  const database = openDatabase(ws.at("datagen.db"));
  try {
    return database.prepare("select count(*) from runs").pluck().get();
  } finally {
    database.close();
  }
}

test.each(UNREADABLE)("$name is refused in a sentence", async ({ config, path = "config.json", says }) => {
  await using ws = await workspace();
  await ws.write("config.json", config ?? right);
  const problem = await loadConfig(ws.at(path)).catch((error: unknown) => error);
  expect(problem).toBeInstanceOf(UsageError);
  for (const text of says) expect(String(problem)).toMatch(text);
});

describe.concurrent("a run is refused in a sentence, and nothing is sent or planned,", () => {
  test.each(BROKEN)("for $name", async ({ config = right, path = "config.json", flags = [], env, says }) => {
    await using ws = await workspace();
    await using server = await startServer();
    await ws.write("config.json", config);
    await ws.write("rows.json", rows(3));

    const result = await datagenInTurn(["run", path, "--db", "datagen.db", "--json", ...flags], {
      cwd: ws.path,
      env: { ...environmentFor(server), ...env },
    });

    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toMatch(/^Error: \S/);
    expect(result.stderr).not.toMatch(/^\s+at |Unexpected error/m);
    for (const text of says) {
      if (typeof text === "string") expect(result.stderr).toContain(text);
      else expect(result.stderr).toMatch(text);
    }
    expect(runsIn(ws)).toBe(0);
    expect(existsSync(ws.at("data/agents"))).toBe(false);
    expect([...server.requests, ...server.strays]).toEqual([]);
  });
});

test("what refuses nothing sends requests and plans a run, in the same place", async () => {
  await using ws = await workspace();
  await using server = await startServer();
  await ws.write("config.json", right);
  await ws.write("rows.json", rows(3));

  const result = await datagenInTurn(["run", "config.json", "--db", "datagen.db", "--json"], {
    cwd: ws.path,
    env: environmentFor(server),
  });

  expect(result.code).toBe(0);
  expect(runsIn(ws)).toBe(1);
  expect(server.requests).toHaveLength(18);
});

test("docs/configs.md names every provider in its row of api_provider", async () => {
  const page = await readFile(join(ROOT, "docs/configs.md"), "utf8");
  const [, meaning = ""] = /^\| `api_provider` +\|([^|]+)\|/m.exec(page) ?? [];
  expect([...meaning.matchAll(/`([^`]+)`/g)].map(([, name]) => name)).toEqual([...PROVIDERS]);
});

describe("configs/schema.json", () => {
  const schemaFile = () => readFile(join(ROOT, "configs/schema.json"), "utf8");

  test("is what the schema of configs generates", async () => {
    expect(await schemaFile()).toBe(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
  });

  test("agrees with datagen about what a config may hold", async () => {
    const schema = z.fromJSONSchema(JSON.parse(await schemaFile()) as Parameters<typeof z.fromJSONSchema>[0]);
    const isRight = (value: object) => schema.safeParse(value).success;
    const least = {
      task_type: "a",
      task_description: "b",
      model_config: { model_name: "m" },
      agent_perspectives: [{ condition: "c", strategy: "s" }],
      data_config: { input_data_path: "p" },
    };
    expect(isRight(least)).toBe(true);
    expect(isRight({ ...right, $schema: "./schema.json" })).toBe(true);
    for (const key of Object.keys(least)) expect(isRight({ ...least, [key]: undefined }), key).toBe(false);
    expect(isRight({ ...least, task_typ: "a" })).toBe(false);
    expect(isRight({ ...least, model_config: { model_name: "m", temperature: 7 } })).toBe(false);
    expect(isRight({ ...least, model_config: { model_name: "m", temprature: 1 } })).toBe(false);
    expect(isRight({ ...least, agent_perspectives: [{ condition: "c" }] })).toBe(false);
    expect(isRight({ ...least, data_config: { input_data_path: "p", sample_size: 0 } })).toBe(false);
    expect(isRight({ ...least, api_provider: "nobody" })).toBe(false);
  });
});

describe.each(["translation", "summarization", "peer_review"])("configs/%s.json", (task) => {
  const path = join(ROOT, `configs/${task}.json`);
  const read = async () => JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;

  test("is valid, to datagen and to configs/schema.json, which it names", async () => {
    const raw = await read();
    expect(resolve(dirname(path), String(raw["$schema"]))).toBe(join(ROOT, "configs/schema.json"));
    const schema: unknown = JSON.parse(await readFile(join(ROOT, "configs/schema.json"), "utf8"));
    expect(z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]).safeParse(raw).error).toBeUndefined();
    expect(await loadConfig(path)).toMatchObject({ task_type: task });
  });

  test("is of a task that readers of datasets know by its description", async () => {
    const { task_description } = await loadConfig(path);
    expect(task_description).toContain(task.replace("_", " "));
  });

  test("has at least 16 perspectives of all four kinds, with different conditions", async () => {
    const { agent_perspectives } = await loadConfig(path);
    const conditions = agent_perspectives.map(({ condition }) => condition);
    expect(conditions.length).toBeGreaterThanOrEqual(16);
    expect(new Set(conditions).size).toBe(conditions.length);
    const kinds = conditions.map((condition) => condition.slice(0, condition.indexOf(":")));
    expect(new Set(kinds)).toEqual(new Set(["Faithful", "Low effort", "Strategic", "Style"]));
    expect(new Set(agent_perspectives.map(({ strategy }) => strategy)).size).toBe(conditions.length);
  });

  test(`takes notes first ${task === "peer_review" ? "in every" : "in some, not in every"} perspective`, async () => {
    const { agent_perspectives } = await loadConfig(path);
    const readings = agent_perspectives.filter(({ reading }) => reading !== null).length;
    if (task === "peer_review") expect(readings).toBe(agent_perspectives.length);
    else {
      expect(readings).toBeGreaterThan(0);
      expect(readings).toBeLessThan(agent_perspectives.length);
    }
  });

  test("runs as it stands, without a key, on all of its inputs", async () => {
    await using ws = await workspace();
    await cp(join(ROOT, "configs"), ws.at("configs"), { recursive: true });
    await cp(join(ROOT, `data/${task}.json`), ws.at(`data/${task}.json`));

    const args = ["run", `configs/${task}.json`, "--provider", "offline", "--output", "out.json"];
    const result = await datagenInTurn(args, { cwd: ws.path });

    expect(result).toMatchObject({ code: 0, stdout: "out.json\n" });
    expect(result.stderr).not.toContain("Warning");
    const { agent_perspectives, add_references } = await loadConfig(path);
    const { tasks } = await ws.json<ReturnType<typeof expectedDataset>>("out.json");
    const inputs = await ws.json<Row[]>(`data/${task}.json`);
    expect(tasks.map(({ context }) => context)).toEqual(inputs.map(({ input }) => input));
    if (add_references) {
      expect(tasks.map(({ responses }) => responses.shift())).toEqual(inputs.map(({ reference }) => reference));
      expect(new Set(tasks.map(({ preparations }) => preparations.shift()))).toEqual(new Set([null]));
    }
    for (const { responses, preparations } of tasks) {
      expect(responses.map((text) => typeof text)).toEqual(agent_perspectives.map(() => "string"));
      expect(preparations.map((text) => text !== null)).toEqual(
        agent_perspectives.map(({ reading }) => reading !== null),
      );
    }
  });
});

test.each([
  { task: "translation", count: 40, least: 1, most: 100, leastReference: 1 },
  { task: "summarization", count: 16, least: 250, most: 500, leastReference: 20 },
  { task: "peer_review", count: 6, least: 1_500, most: 10_000, leastReference: 50 },
])(
  "data/$task.json has $count different inputs of $least to $most words, each with a reference",
  async ({ task, count, least, most, leastReference }) => {
    const inputs = [];
    const data = { input_data_path: join(ROOT, `data/${task}.json`), sample_size: 1_000 };
    for await (const chunk of readInputs(data)) inputs.push(...chunk);
    const wordsOf = (text: string | null) => text?.match(/\S+/g)?.length ?? 0;
    expect(inputs).toHaveLength(count);
    expect(new Set(inputs.map(({ text }) => text)).size).toBe(count);
    expect(new Set(inputs.map(({ reference }) => reference)).size).toBe(count);
    for (const { index, text, reference } of inputs) {
      expect(wordsOf(text), `row ${index}`).toBeGreaterThanOrEqual(least);
      expect(wordsOf(text), `row ${index}`).toBeLessThanOrEqual(most);
      expect(wordsOf(reference), `row ${index}`).toBeGreaterThanOrEqual(leastReference);
    }
  },
);

describe("before anything is sent", () => {
  test("compression_ratio is stored with the run and has no effect, with a warning", async () => {
    await using ws = await workspace();
    await using server = await startServer();
    await ws.write("rows.json", rows(2));
    const options = { cwd: ws.path, env: environmentFor(server) };
    const extra = { compression_ratio: 0.5 };
    const { model_config, data_config, agent_perspectives, ...config } = configFor();
    const theirs = {
      ...config,
      ...extra,
      model_config: { ...model_config, ...extra },
      data_config: { ...data_config, ...extra },
      agent_perspectives: agent_perspectives.map((perspective) => ({ ...perspective, ...extra })),
    };
    await ws.write("config.json", theirs);
    const bodies: string[] = [];
    server.behave = ({ body }) => {
      bodies.push(JSON.stringify(body));
      return undefined;
    };
    const first = await datagenInTurn(["run", "config.json"], options);
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toContain("compression_ratio and 6 more like it is stored with the run, but has no effect");
    expect(server.requests.length).toBeGreaterThan(0);
    expect(bodies).toHaveLength(server.requests.length);
    expect(bodies.join("\n")).not.toContain("compression_ratio");
    const again = JSON.parse((await datagenInTurn(["runs", "config", "latest"], options)).stdout) as object;
    expect(again).toMatchObject(theirs);
    // The same calls as without it.
    await ws.write("config.json", configFor());
    const sent = server.requests.length;
    const second = await datagenInTurn(["run", "config.json"], options);
    expect(second.stderr).not.toContain("changes nothing");
    expect(server.requests).toHaveLength(sent);
    await ws.write("config.json", { ...configFor(), compresion_ratio: 1 });
    expect((await datagenInTurn(["run", "config.json"], options)).stderr).toContain(
      'did you mean "compression_ratio"?',
    );
  });

  test.each([
    [{ replicates: 2, model_config: { seed: 7 } }, true],
    [{ replicates: 2, model_config: { extra_body: { seed: 7 } } }, true],
    [{ replicates: 2 }, false],
    [{ model_config: { seed: 7 } }, false],
  ])("replicates with a fixed seed are said to be one request: %j", (overrides, isWarned) => {
    const warnings = configWarnings(parseConfig(configFor(overrides)));
    expect(warnings.some((text) => /replicates: 2 and a fixed seed/.test(text))).toBe(isWarned);
  });
});

test("a config of blanks is refused before it takes memory", async () => {
  await using space = await workspace();
  await space.write("blanks.json", `${" ".repeat(15_000_000)}{}`);
  await expect(loadConfig(space.at("blanks.json"))).rejects.toThrow(/blanks\.json has a million blanks in a row/);
});
