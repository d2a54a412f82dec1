import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { createRun } from "../src/app/run/create-run.ts";
import type { Environment } from "../src/app/server/environment.ts";
import { runConfig } from "../src/app/runs/run-config.ts";
import { parseConfig } from "../src/config/parse.ts";
import { openStore } from "../src/store/file/open.ts";
import { type Config, configFor, environmentFor, type Result, rows, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { startServer } from "./support/server.ts";

const KEYS = { OPENAI_API_KEY: "sk-proj-own-0123456789", DATAGEN_API_KEY: "own-server-0123456789" };

/** A folder with inputs, in which configs are run. */
async function lab() {
  const space = await workspace();
  await space.write("rows.json", rows(4));
  const command = (args: string[], env: Record<string, string> = {}) => datagenInTurn(args, { cwd: space.path, env });
  return {
    ...space,
    command,
    /** Runs a config, keeps what `runs config` prints in `again.json`, and runs that. */
    async twice(config: unknown, args: string[], env: Record<string, string> = {}) {
      await space.write("config.json", config);
      const first = await succeed(command(["run", "config.json", "--output", "first.json", ...args], env));
      const printed = await succeed(command(["runs", "config", "latest"], env));
      await space.write("again.json", printed.stdout);
      const second = await succeed(command(["run", "again.json", "--output", "second.json"], env));
      const reprinted = await succeed(command(["runs", "config", "latest"], env));
      const [tasks, again] = await Promise.all(
        ["first.json", "second.json"].map(async (name) => (await space.json<{ tasks: object[] }>(name)).tasks),
      );
      expect(again).toEqual(tasks);
      const [keys, keysAgain] = keysOf(space.at("data/datagen.db"));
      expect(keysAgain).toEqual(keys);
      expect(keys!.length).toBeGreaterThan(0);
      expect(JSON.parse(reprinted.stdout)).toMatchObject(JSON.parse(printed.stdout) as object);
      return { first, printed, second, config: JSON.parse(printed.stdout) as Config };
    },
  };
}

/** What follows the warnings of `runs config`. */
const POINTER =
  /Its inputs: `datagen runs inputs [0-9a-z]{8} > inputs\.jsonl`; data_config\.input_data_path names their file\.\n$/;

async function succeed(result: Promise<Result>): Promise<Result> {
  const { code, stdout, stderr } = await result;
  expect(code, stderr).toBe(0);
  return { code, stdout, stderr, signal: null };
}

/** The keys of every run's calls, in the order of the plan. */
function keysOf(path: string): string[][] {
  const database = new Database(path, { readonly: true });
  try {
    const keys = database
      .prepare<[number], string>(
        `select key from calls join answers on answers.id = answer_id where run_id = ? order by calls.id`,
      )
      .pluck();
    return database
      .prepare<[], number>("select id from runs order by id")
      .pluck()
      .all()
      .map((run) => keys.all(run));
  } finally {
    database.close();
  }
}

describe.concurrent("the config of a run makes the same calls again", () => {
  test("of the environment's server, which stderr names and the config does not", async () => {
    await using space = await lab();
    await using server = await startServer();
    const env = environmentFor(server);
    const { config, printed } = await space.twice(configFor({ model_config: { seed: 3 } }), [], env);
    expect(config).toMatchObject({ api_provider: "openai", model_config: { seed: 3, endpoint: "chat" } });
    expect(config.model_config).not.toHaveProperty("base_url");
    expect(printed.stderr.replace(POINTER, "")).toMatch(/^Warning: [^\n]*OPENAI_BASE_URL=\S+\n$/);
    expect(printed.stderr).toContain(server.openaiUrl);
    expect(new Set(server.requests.map(({ authorization }) => authorization))).toEqual(
      new Set([`Bearer ${env.OPENAI_API_KEY}`]),
    );
  });

  test("of a server that a flag named, and says which key goes there from now on", async () => {
    await using space = await lab();
    await using server = await startServer();
    const url = server.openaiUrl;
    const { config, printed } = await space.twice(configFor(), ["--base-url", `${url}/`], KEYS);
    expect(config.model_config).toMatchObject({ base_url: `${url}/` });
    expect(printed.stderr.replace(POINTER, "")).toMatch(
      /^Warning: [^\n]*DATAGEN_API_KEY[^\n]*OPENAI_API_KEY[^\n]*--base-url \S+\n$/,
    );
    const authorizations = new Set(server.requests.map(({ authorization }) => authorization));
    expect(authorizations.has(`Bearer ${KEYS.OPENAI_API_KEY}`)).toBe(true);
    authorizations.delete(`Bearer ${KEYS.OPENAI_API_KEY}`);
    // Nothing is left to be sent where the answers of the first run are reused.
    expect([...authorizations].every((each) => each === `Bearer ${KEYS.DATAGEN_API_KEY}`)).toBe(true);
  });

  test("of a server that the config names, without a warning", async () => {
    await using space = await lab();
    await using server = await startServer();
    const { printed } = await space.twice(configFor({ model_config: { base_url: server.togetherUrl } }), [], KEYS);
    expect(printed.stderr.replace(POINTER, "")).toBe("");
  });

  test("with the flags that the run was started with", async () => {
    await using space = await lab();
    const flags = ["--provider", "offline", "--model", "another", "--sample-size", "3", "--concurrency", "5", "--test"];
    const many = configFor();
    many.agent_perspectives.push({ condition: "Fifth", reading: null, strategy: "Say nothing." });
    const { config, printed } = await space.twice(many, flags);
    expect(printed.stderr.replace(POINTER, "")).toBe("");
    expect(config).toMatchObject({
      model_config: { model_name: "another" },
      data_config: { input_data_path: "rows.json", sample_size: 3 },
      api_provider: "offline",
      concurrency: 5,
    });
    expect(config.agent_perspectives).toEqual(many.agent_perspectives.slice(0, 4));
  });

  test("with texts of every kind", async () => {
    await using space = await lab();
    const odd = configFor({
      agent_perspectives: [{ condition: "Odd \ud83d", reading: null, strategy: 'Say "\u0000", \udc00 and \u2028.' }],
      model_config: { extra_body: { __proto__: null, "a.b": [1, { c: null }] } },
    });
    const text = `// A comment\n${JSON.stringify(odd).replace("{", '{ "$schema": "x",')}`;
    const { config } = await space.twice(text, ["--provider", "offline"]);
    expect(config.agent_perspectives).toEqual(odd.agent_perspectives);
    expect(config).not.toHaveProperty("$schema");
  });
});

describe("the config of a run", () => {
  const NOTHING: Environment = {};

  /** What `runConfig` returns and warns of, for a run that was only planned. */
  async function planned(
    config: Partial<Config["model_config"]>,
    environment: Environment,
    later: Environment = NOTHING,
  ) {
    await using space = await lab();
    const given = configFor({
      model_config: config,
      data_config: { input_data_path: space.at("rows.json") },
    });
    using store = openStore(space.at("runs.db"));
    const run = await createRun(store, parseConfig(given), { environment });
    const warnings: string[] = [];
    const onEvent = (event: { type: string; message?: string }) => warnings.push(event.message ?? event.type);
    return { config: runConfig(store, run, { environment: later, onEvent }), warnings };
  }

  test.for([
    { model_name: "gpt-4o-mini", decided: { api_provider: "openai" }, endpoint: "chat" },
    { model_name: "text-davinci-003", decided: { api_provider: "openai" }, endpoint: "completions" },
    { model_name: "some/llama", decided: { api_provider: "together" }, endpoint: "chat" },
  ])(
    "of $model_name has the provider and the endpoint that were decided",
    async ({ model_name, decided, endpoint }) => {
      const keys = { OPENAI_API_KEY: "sk-one", TOGETHER_API_KEY: "two" };
      const { config, warnings } = await planned({ model_name }, keys);
      expect(config).toMatchObject({ ...decided, model_config: { model_name, endpoint } });
      expect(warnings).toEqual([]);
    },
  );

  test("of a provider's own server warns of an environment that would lead elsewhere", async () => {
    const own = "https://api.openai.com/v1";
    const elsewhere = { OPENAI_BASE_URL: "http://127.0.0.1:9/v1" };
    const { config, warnings } = await planned({}, KEYS, elsewhere);
    expect(config.model_config).not.toHaveProperty("base_url");
    expect(warnings).toEqual([expect.stringMatching(/api\.openai\.com.*OPENAI_BASE_URL/)]);
    expect((await planned({}, KEYS, { OPENAI_BASE_URL: `${own}/` })).warnings).toEqual([]);
    // A config's own URL goes before the environment's.
    expect((await planned({ base_url: own }, KEYS, elsewhere)).warnings).toEqual([]);
  });
});

test("datagen runs config refuses a run that is not there", async () => {
  await using space = await lab();
  const { code, stdout, stderr } = await space.command(["runs", "config", "latest"]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain("there is no database data/datagen.db");
});

describe.concurrent("the config and the inputs of a run", () => {
  /** Runs a config in one folder, and what `runs config` and `runs inputs` print of it in another. */
  async function handedOver(config: Config, data: unknown, args: string[] = []) {
    const [here, there] = [await lab(), await lab()];
    await here.write("rows.json", data);
    await here.write("config.json", config);
    await succeed(here.command(["run", "config.json", "--no-export", "--provider", "offline", ...args]));
    const printed = await succeed(here.command(["runs", "config", "latest"]));
    const inputs = await succeed(here.command(["runs", "inputs", "latest"]));
    const again = JSON.parse(printed.stdout) as Config;
    again.data_config.input_data_path = "inputs.jsonl";
    await there.write("again.json", again);
    await there.write("inputs.jsonl", inputs.stdout);
    await succeed(there.command(["run", "again.json", "--no-export"]));
    const [keys] = keysOf(here.at("data/datagen.db"));
    const [keysThere] = keysOf(there.at("data/datagen.db"));
    const inputsThere = await succeed(there.command(["runs", "inputs", "latest"]));
    const dispose = () => Promise.all([here[Symbol.asyncDispose](), there[Symbol.asyncDispose]()]);
    return { printed, inputs, inputsThere, keys, keysThere, [Symbol.asyncDispose]: async () => void (await dispose()) };
  }

  test("make it again in another folder: the same calls, and the same inputs", async () => {
    const odd = ["\ud83d half", '"quoted"\r\n\u2028 and \u009b', "Twice", "Twice"].map((input) => ({ input }));
    const data = [{ input: "Guten Tag.", reference: "Good day." }, ...odd, { input: "Left out" }];
    await using both = await handedOver(configFor({ data_config: { sample_size: 5 }, replicates: 2 }), data);
    const lines = both.inputs.stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as object)).toEqual(data.slice(0, 5));
    expect(lines[0]).toBe('{"input":"Guten Tag.","reference":"Good day."}');
    expect(both.keys!.length).toBeGreaterThan(10);
    expect(both.keysThere).toEqual(both.keys);
    expect(both.inputsThere.stdout).toBe(both.inputs.stdout);
    expect(both.inputs.stdout).not.toContain("\u009b");
    expect(both.printed.stderr).toMatch(POINTER);
  });

  test("of a shard are its part, to be run without --shard", async () => {
    await using both = await handedOver(configFor(), rows(5), ["--shard", "2/2"]);
    const inputs = both.inputs.stdout.trimEnd().split("\n");
    expect(inputs.map((line) => JSON.parse(line) as object)).toEqual([rows(5)[1], rows(5)[3]]);
    expect(both.inputs.stderr).toMatch(/^Warning: the run has only a part of the inputs, .* without --shard\n$/);
    expect(both.keysThere).toEqual(both.keys);
  });

  test("are one JSON array with --json", async () => {
    await using space = await lab();
    await space.write("config.json", configFor());
    await succeed(space.command(["run", "config.json", "--no-export", "--provider", "offline"]));
    const { stdout } = await succeed(space.command(["runs", "inputs", "latest", "--json"]));
    expect(JSON.parse(stdout)).toEqual(
      rows(4).map(({ input, reference }) => ({ input, ...(reference !== undefined && { reference }) })),
    );
  });
});
