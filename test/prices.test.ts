import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type PriceRow, resolvePrices } from "../src/app/prices.ts";
import { resolveTarget } from "../src/app/server/target.ts";
import { parseConfig } from "../src/config/parse.ts";
import { REMOTE } from "./support/providers/index.ts";
import type { Prices } from "../src/models/cost.ts";
import { openStore } from "../src/store/file/open.ts";
import {
  configFor,
  type ModelConfig,
  openDatabase,
  type Result,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

const LOCAL = "http://localhost:11434/v1";
const dayOf = (time: number) => new Date(time).toISOString().slice(0, 10);
const start = Date.now();

/** The day on which a command ran; midnight may have come since these tests began. */
const TODAY: unknown = expect.toSatisfy((day: string) => dayOf(start) <= day && day <= dayOf(Date.now()));

/** So many whole days ago. */
const daysSince = (day: string): unknown =>
  expect.toSatisfy((days: number) => {
    const [least, most] = [start, Date.now()].map((now) => Math.floor((now - Date.parse(day)) / 86_400_000));
    return least! <= days && days <= most!;
  });

function prices(args: string[], { path: cwd }: Workspace, columns?: number): Promise<Result> {
  return datagenInTurn(["prices", ...args], { cwd, ...(columns && { env: { COLUMNS: String(columns) } }) });
}

async function listed(space: Workspace, ...args: string[]): Promise<PriceRow[]> {
  const { code, stdout, stderr } = await prices(["list", ...args, "--json"], space);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as PriceRow[];
}

interface Kept {
  model: string;
  base_url: string;
  value: Prices;
}

/** What the database of a workspace has of the user's prices. */
function kept(space: Workspace): Kept[] {
  if (!existsSync(space.at("data/datagen.db"))) return [];
  const database = openDatabase(space.at("data/datagen.db"));
  try {
    const rows = database.prepare<[], Record<keyof Kept, string>>("select * from user_prices order by base_url").all();
    return rows.map(({ model, base_url, value }) => ({ model, base_url, value: JSON.parse(value) as Prices }));
  } finally {
    database.close();
  }
}

async function set(space: Workspace, ...args: string[]): Promise<void> {
  expect(await prices(["set", ...args], space)).toMatchObject({ code: 0, stdout: "" });
}

function expectRefusal({ code, stdout, stderr }: Result, ...parts: string[]): void {
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toMatch(/^Error: /);
  for (const part of parts) expect(stderr).toContain(part);
}

describe.concurrent("datagen prices list", () => {
  let space: Workspace;
  beforeAll(async () => {
    space = await workspace();
    await set(space, "llama3.2", "--input", "0", "--output", "0");
    await set(space, "gpt-4o", "--input", "2", "--output", "8", "--base-url", LOCAL);
  });
  afterAll(() => space[Symbol.asyncDispose]());

  test("has the user's prices first, and then the listed ones", async () => {
    const rows = await listed(space);
    const names = rows.map(({ model, base_url }) => [model, base_url]);
    expect(names.slice(0, 2)).toEqual([
      ["gpt-4o", LOCAL],
      ["llama3.2", null],
    ]);
    expect(rows.slice(0, 2).map(({ provider }) => provider)).toEqual([null, null]);
    expect(new Set(rows.slice(2).map(({ provider }) => provider))).toEqual(new Set(REMOTE));
    expect(names).toContainEqual(["meta-llama/Llama-3.3-70B-Instruct-Turbo", null]);
  });

  test("has every fact of a price as JSON, its age in days among them", async () => {
    const [row, ...others] = await listed(space, "gpt-5.6-terra");
    expect(others).toEqual([]);
    expect(row).toEqual({
      model: "gpt-5.6-terra",
      provider: "openai",
      base_url: null,
      input: 2,
      cached_input: 0.2,
      cache_write: 2.5,
      output: 12,
      batch_factor: 0.5,
      long_prompts: [{ from: 272_000, input: 4, cached_input: 0.4, cache_write: 5, output: 18 }],
      source: "OpenAI's list, by @pydantic/genai-prices 0.1.8",
      date: "2026-09-23",
      age_days: daysSince("2026-09-23"),
    });
  });

  test("takes part of a name, in upper or lower case", async () => {
    const models = (await listed(space, "LLAMA-3.3")).map(({ model }) => model);
    expect(models).toEqual(["meta-llama/Llama-3.3-70B-Instruct-Turbo"]);
    expect((await listed(space, "llama3")).map(({ source, date }) => [source, date])).toEqual([
      ["datagen prices set", TODAY],
    ]);
  });

  test("as a table marks the user's prices, and has no more digits than needed", async () => {
    const { stdout } = await prices(["list"], space, 200);
    expect(stdout).toMatch(/^llama3\.2 \(yours\) +0\.00 +0\.00 +0\.00 +0\.00 /m);
    expect(stdout).toMatch(/^gpt-4o \(yours, at http:\/\/localhost:11434\/v1\) +2\.00 +2\.00 +2\.00 +8\.00 /m);
    expect(stdout).toMatch(/^gpt-4o-mini +0\.15 +0\.075 +0\.15 +0\.60 +×0\.5 +openai +2026-09-23 +OpenAI's list/m);
    expect(stdout).toMatch(/^gpt-5\.6-terra .*\n└ prompts from 272,000 +4\.00 +0\.40 +5\.00 +18\.00$/m);
  });

  test.for([80, 200])("fits %i columns with every name whole, and ends with the age of the oldest", async (width) => {
    const [{ stdout, stderr }, rows] = await Promise.all([prices(["list"], space, width), listed(space)]);
    expect(stderr).toBe("");
    const lines = stdout.trimEnd().split("\n");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    for (const { model, provider } of rows) {
      expect(lines.some((line) => line.startsWith(`${model}${provider === null ? " (yours" : " "}`))).toBe(true);
    }
    const ages = rows.map(({ age_days }) => age_days).toSorted((a, b) => b - a);
    const oldest = rows.find(({ age_days }) => age_days === ages[0]);
    const days = ages[0]?.toLocaleString("en");
    expect(lines.at(-1)).toBe(`${rows.length} prices; the oldest is from ${oldest?.date}, ${days} days ago.`);
  });

  test("says so where no model has such a name", async () => {
    const { code, stdout } = await prices(["list", "no-such-model"], space);
    expect(code).toBe(0);
    expect(stdout).toContain("No price is known");
    expect(await listed(space, "no-such-model")).toEqual([]);
  });
});

describe.concurrent("datagen prices set", () => {
  test("prices cached and written tokens as input, and batches as unknown, where nothing is said", async () => {
    await using space = await workspace();
    const { code, stdout, stderr } = await prices(["set", "m", "--input", "0.5", "--output", "1", "--json"], space);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const row = {
      model: "m",
      provider: null,
      base_url: null,
      input: 0.5,
      cached_input: 0.5,
      cache_write: 0.5,
      output: 1,
      batch_factor: null,
      long_prompts: [],
      source: "datagen prices set",
      date: TODAY,
      age_days: 0,
    };
    expect(JSON.parse(stdout)).toEqual(row);
    expect((await listed(space)).slice(0, 1)).toEqual([row]);
  });

  test("keeps every rate that is given, and takes the place of what was set before", async () => {
    await using space = await workspace();
    await set(space, "m", "--input", "1", "--output", "1", "--batch-factor", "1");
    const rates = ["--cached-input", "0.025", "--cache-write", "0.3125", "--batch-factor", "0.5"];
    await set(space, "m", "--input", "0.25", "--output", "2", ...rates);
    const value = { input: 0.25, cached_input: 0.025, cache_write: 0.3125, output: 2, batch_factor: 0.5 };
    expect(kept(space)).toMatchObject([{ model: "m", base_url: "", value }]);
  });

  test("keeps the prices of servers apart, however their URLs are written", async () => {
    await using space = await workspace();
    await set(space, "m", "--input", "1", "--output", "1");
    await set(space, "m", "--input", "2", "--output", "2", "--base-url", "http://LOCALHOST:11434/v1//");
    await set(space, "m", "--input", "3", "--output", "3", "--base-url", LOCAL);
    expect(kept(space).map(({ base_url, value }) => [base_url, value.input])).toEqual([
      ["", 1],
      [LOCAL, 3],
    ]);
  });

  test("says on stderr what it has kept", async () => {
    await using space = await workspace();
    const args = ["m", "--input", "0.15", "--cached-input", "0.075", "--output", "2.5", "--base-url", LOCAL];
    const { stdout, stderr } = await prices(["set", ...args], space);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^m at http:\/\/localhost:11434\/v1 costs 0\.15 for input, 0\.075 .*, 2\.50 for output, /);
  });

  test.for([
    [["m"], "--input: missing", "--output: missing"],
    [["m", "--input", "1"], "--output: missing"],
    [["m", "--input=-1", "--output", "1"], "--input: ", "at least 0, found -1"],
    [["m", "--input", "2000000", "--output", "1"], "--input: ", "at most 1000000"],
    [["m", "--input", "0.0000004", "--output", "1"], "--input: ", "0, or at least 0.000001"],
    [["m ", "--input", "1", "--output", "1"], "white space around its name"],
    [["m", "--input", "1", "--output", "1", "--cached-input=-1"], "--cached-input: "],
    [["m", "--input", "1", "--output", "1", "--batch-factor", "2"], "--batch-factor: ", "from 0 to 1"],
    [["m", "--input", "free", "--output", "1"], "--input"],
    [["m", "--input", "Infinity", "--output", "1"], "--input"],
    [["m", "--input", "1", "--output", "1", "--base-url", "localhost"], "--base-url is not a base URL"],
    [["m", "--input", "1", "--output", "1", "--base-url", "http://me:pw@localhost/v1"], "--base-url"],
    [["", "--input", "1", "--output", "1"], "the name of the model is empty"],
    [["--input", "1", "--output", "1"], "datagen prices set --help"],
  ] as const)("refuses %j and keeps nothing", async ([args, ...parts]) => {
    await using space = await workspace();
    expectRefusal(await prices(["set", ...args], space), ...parts);
    expect(kept(space)).toEqual([]);
  });
});

describe.concurrent("datagen prices unset", () => {
  test("removes the price for that server alone", async () => {
    await using space = await workspace();
    await set(space, "m", "--input", "1", "--output", "1");
    await set(space, "m", "--input", "2", "--output", "2", "--base-url", LOCAL);
    const { stdout } = await prices(["unset", "m", "--base-url", `${LOCAL}/`, "--json"], space);
    expect(JSON.parse(stdout)).toMatchObject({ removed: { model: "m", base_url: LOCAL, input: 2 } });
    expect(kept(space)).toMatchObject([{ base_url: "", value: { input: 1 } }]);
    expect(await prices(["unset", "m"], space)).toMatchObject({ code: 0, stdout: "" });
    expect(kept(space)).toEqual([]);
  });

  test("refuses what was not set, a listed price too", async () => {
    await using space = await workspace();
    await set(space, "m", "--input", "1", "--output", "1");
    expectRefusal(await prices(["unset", "n"], space), "no price was set for n at any server", "prices list");
    expectRefusal(await prices(["unset", "m", "--base-url", LOCAL], space), `no price was set for m at ${LOCAL}`);
    expectRefusal(await prices(["unset", "gpt-4o"], space), "no price was set for gpt-4o");
    expectRefusal(await prices(["unset", "m", "--base-url", "nowhere"], space), "--base-url is not a base URL");
  });
});

describe("the price of a run", () => {
  let space: Workspace;
  beforeAll(async () => {
    space = await workspace();
    await set(space, "gpt-4o", "--input", "7", "--output", "7", "--base-url", LOCAL);
    await set(space, "gpt-4o", "--input", "6", "--output", "6");
    await set(space, "llama3.2", "--input", "5", "--output", "5", "--base-url", LOCAL);
    await set(space, "gpt-4.1", "--input", "4", "--output", "4", "--base-url", "https://api.openai.com/v1");
  });
  afterAll(() => space[Symbol.asyncDispose]());

  interface Setting {
    model?: Partial<ModelConfig>;
    config?: Record<string, unknown>;
    /** Whether the base URL comes from a flag. */
    isFlag?: boolean;
    environment?: Record<string, string>;
  }

  async function priceFor({ model, config: rest, isFlag = false, environment = {} }: Setting) {
    const config = parseConfig(configFor({ ...rest, ...(model && { model_config: model }) }));
    using store = openStore(space.at("data/datagen.db"));
    return await resolvePrices(store, config, resolveTarget(config, isFlag, { shell: environment, file: {} }));
  }

  const own = { input: 1, output: 2 };

  test.for<[name: string, setting: Setting, input: number, source: RegExp]>([
    ["the config's", { model: { model_name: "gpt-4o", base_url: LOCAL }, config: { prices: own } }, 1, /^the config$/],
    ["the user's for its server", { model: { model_name: "gpt-4o", base_url: LOCAL } }, 7, /^datagen prices set$/],
    ["the user's for any server", { model: { model_name: "gpt-4o" } }, 6, /^datagen prices set$/],
    ["the user's for the provider's own URL", { model: { model_name: "gpt-4.1" } }, 4, /^datagen prices set$/],
    ["the provider's", { model: { model_name: "gpt-4o-mini" } }, 0.15, /^OpenAI's list/],
    [
      "the provider's, behind a URL from the environment",
      { model: { model_name: "gpt-4.1" }, environment: { OPENAI_BASE_URL: "http://localhost:9/v1" } },
      2,
      /^OpenAI's list/,
    ],
    [
      "the provider's, at another of its hosts that a config names",
      {
        model: { model_name: "openai/gpt-oss-120b", base_url: "https://api.together.xyz/v1" },
        config: { api_provider: "together" },
      },
      0.15,
      /^Together's list/,
    ],
    [
      "nothing, of the offline provider",
      { model: { model_name: "gpt-4o" }, config: { api_provider: "offline", prices: own } },
      0,
      /^offline provider$/,
    ],
    [
      "the provider's, with the ordinary service tier",
      { model: { model_name: "gpt-4o-mini", extra_body: { service_tier: "auto" } } },
      0.15,
      /^OpenAI's list/,
    ],
    [
      "the user's, with any service tier",
      { model: { model_name: "gpt-4o", extra_body: { service_tier: "flex" } } },
      6,
      /^datagen prices set$/,
    ],
  ])("is %s", async ([, setting, input, source]) => {
    const { prices: found } = await priceFor(setting);
    expect(found?.input).toBe(input);
    expect(found?.source).toMatch(source);
  });

  test("of a config is of today, with cached and written tokens as input", async () => {
    expect(await priceFor({ config: { prices: { ...own, batch_factor: 0.25 } } })).toEqual({
      prices: {
        input: 1,
        cached_input: 1,
        cache_write: 1,
        output: 2,
        long_prompts: [],
        batch_factor: 0.25,
        source: "the config",
        date: TODAY,
      },
    });
  });

  test.for<[name: string, setting: Setting, what: string]>([
    ["at a server that a config names", { model: { base_url: "http://x/v1" } }, "gpt-4o-mini at http://x/v1"],
    [
      "at a server that a flag names",
      { model: { base_url: "http://x/v1" }, isFlag: true },
      "gpt-4o-mini at http://x/v1",
    ],
    [
      "at a server that speaks plain HTTP in the provider's name",
      { model: { base_url: "http://api.openai.com/v1" } },
      "gpt-4o-mini at http://api.openai.com/v1",
    ],
    ["that is not listed", { model: { model_name: "gpt-7" } }, "gpt-7 at https://api.openai.com/v1"],
    [
      "that the user has set for another server",
      { model: { model_name: "llama3.2" } },
      "llama3.2 at https://api.together",
    ],
    [
      "with another service tier",
      { model: { extra_body: { service_tier: "flex" } } },
      'gpt-4o-mini at https://api.openai.com/v1 with the service_tier "flex"',
    ],
    [
      "at another speed",
      { model: { extra_body: { speed: "fast" } } },
      'gpt-4o-mini at https://api.openai.com/v1 with the speed "fast"',
    ],
    [
      "with tools, which may cost extra",
      // They may have credentials, which no message shows.
      { model: { extra_body: { tools: [{ type: "mcp", authorization: "hush" }] } } },
      "gpt-4o-mini at https://api.openai.com/v1 with tools in extra_body",
    ],
  ])("is unknown of a model %s, and the reason says what to do", async ([, setting, what]) => {
    const found = await priceFor(setting);
    expect(found.prices).toBeNull();
    const { reason } = found as { reason: string };
    expect(reason).toContain(`no price is known for ${what}`);
    expect(reason).toMatch(/`datagen prices set`.*`prices` in the config$/);
  });
});
