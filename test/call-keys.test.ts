import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { resolveTarget } from "../src/app/server/target.ts";
import { rowUseOf } from "../src/config/prompt-parts.ts";
import type { Step } from "../src/plan/calls.ts";
import { valueAt } from "../src/sources/columns.ts";
import { parseConfig } from "../src/config/parse.ts";
import { planHash } from "../src/plan/plan-hash.ts";
import { instructionsOf, promptOf } from "../src/plan/prompt.ts";
import { callKeys, KEY_VERSION } from "../src/plan/settings.ts";

interface Table {
  version: number;
  rows: {
    config: { agent_perspectives: { strategy: string }[] };
    input: string;
    key: string;
    // The rows of prompts with parts of their own have these.
    row?: { reference: string } & Record<string, unknown>;
    step?: Step;
    notes?: string | null;
  }[];
}

const table = JSON.parse(readFileSync(new URL("data/call-keys.json", import.meta.url), "utf8")) as Table;

/** The key of a call that a config makes of an input. */
function keyOf({ config, input, row, step = "strategy", notes = null }: Table["rows"][number]): string {
  const parsed = parseConfig(config);
  const { asked } = resolveTarget(parsed, false, { shell: {}, file: {} });
  const [instructions] = instructionsOf(parsed);
  const names = rowUseOf(parsed).columns;
  const columns = Object.fromEntries(names.map((name) => [name, valueAt(row ?? {}, name)]));
  return callKeys(asked[0]!)(
    promptOf(instructions!, step, { input, reference: row?.reference ?? null, columns }, notes),
  );
}

test("the keys of 70 configs are those of the committed table, which belongs to this version of keys", () => {
  // A rule that changes keys makes the answers of every database unreachable: it wants a new version, and a new table.
  expect(table.version).toBe(KEY_VERSION);
  expect(table.rows).toHaveLength(70);
  expect(table.rows.map(keyOf)).toEqual(table.rows.map(({ key }) => key));
});

test("keys differ wherever the provider is asked something else", () => {
  const [plain] = table.rows;
  const change = (model_config: object, input = plain!.input) =>
    keyOf({ ...plain!, config: { ...plain!.config, model_config } as Table["rows"][number]["config"], input });
  const asked = [
    { model_name: "gpt-4o-mini" },
    { model_name: "gpt-4o" },
    { model_name: "gpt-4o-mini", max_tokens: 5 },
    { model_name: "gpt-4o-mini", temperature: 0 },
    { model_name: "gpt-4o-mini", endpoint: "completions" },
    { model_name: "gpt-4o-mini", base_url: "http://localhost:1/v1" },
    { model_name: "gpt-4o-mini", extra_body: { a: 1 } },
  ].map((model) => change(model));
  expect(new Set([...asked, change({ model_name: "gpt-4o-mini" }, "another input")]).size).toBe(8);
});

test("keys are the same whatever is not asked: the provider's own URL, the order of keys, timeouts, labels", () => {
  const [plain] = table.rows;
  const { config } = plain!;
  const key = keyOf(plain!);
  const same = [
    { ...config, model_config: { base_url: "https://api.openai.com/v1/", model_name: "gpt-4o-mini" } },
    { ...config, timeout_s: 5, concurrency: 1, max_attempts: 2, requests_per_minute: 7, max_cost_usd: 1 },
    { ...config, task_type: "another", task_description: "other" },
    { ...config, agent_perspectives: [{ condition: "renamed", strategy: config.agent_perspectives[0]!.strategy }] },
  ];
  for (const other of same) expect(keyOf({ ...plain!, config: other })).toBe(key);
});

test("the hashes of plans change with what prompts have, and only where a config has it", () => {
  const hashOf = (config: object) => {
    const parsed = parseConfig(config);
    return planHash(parsed, resolveTarget(parsed, false, { shell: {}, file: {} }).settings, "00");
  };
  // Shards of earlier versions have these: with others they could not be joined.
  const hashes = table.rows.slice(0, 50).map(({ config }) => hashOf(config));
  expect(hash("sha256", JSON.stringify(hashes), "hex")).toBe(
    "d9d9188ac6e0e64e77eeb325b53409d7beb3b2572fcd3a8a21eb5a940e307ad5",
  );
  const [{ config }] = table.rows as [Table["rows"][number]];
  const [perspective] = config.agent_perspectives;
  const messages = [{ role: "user", content: "Hallo." }];
  const more = [
    { system_prompt: "S" },
    { messages },
    { prompt_template: "{text}" },
    { prompt_template: { strategy: "S" } },
  ];
  const own = [...more, { system_prompt: null }, { model_config: { temperature: 0 } }].map((parts) => ({
    agent_perspectives: [{ ...perspective, ...parts }],
  }));
  const changed = [{}, ...more, ...own].map((parts) => hashOf({ ...config, ...parts }));
  expect(new Set(changed).size).toBe(changed.length);
  expect(hashOf({ ...config, system_prompt: null, messages: null, prompt_template: null })).toBe(changed[0]);
});
