import { UsageError } from "../errors.ts";
import { kindOf } from "./kinds.ts";
import { member } from "./members.ts";
import { excessOf } from "../files/text-file.ts";
import { MOST_TOKENS, TOKEN_LIMITS } from "./token-limits.ts";
import { eachModel } from "./models.ts";
import { isTooDeep, TOO_DEEP } from "../files/depth.ts";
import { promptProblems } from "./prompt-problems.ts";
import { formatProblems, type Path, type Problem, problemsOf, show } from "./problems.ts";
import {
  type Config,
  configSchema,
  MOST_PERSPECTIVES,
  type Overrides,
  overridesSchema,
  REFERENCE_CONDITION,
  TOO_MANY_PERSPECTIVES,
} from "./schema.ts";

const FLAGS: Record<string, string> = {
  provider: "--provider",
  model: "--model",
  baseUrl: "--base-url",
  server: "--server",
  sampleSize: "--sample-size",
  concurrency: "--concurrency",
  maxCostUsd: "--max-cost",
  confirmAboveUsd: "--confirm-above",
};

/** How many inputs and perspectives `--test` uses. The reference perspective is not counted. */
const TEST_SIZE = { inputs: 10, perspectives: 4 };

/**
 * A config from its JSON value: defaults filled in, cross-field rules checked.
 * @param source what an error calls it, such as the file's path
 * @throws UsageError that lists every problem at once
 */
export function parseConfig(value: unknown, source = "the config", lineOf?: LineOf): Config {
  const [config, ...others] = parseConfigs(value, source, lineOf);
  if (config && others.length === 0) return config;
  throw new UsageError(
    `${source} has ${others.length + 1} models in model_config, and one is expected here`,
    "Name one model.",
  );
}

type LineOf = (path: Path) => number | undefined;

/**
 * The configs of the models of a config, which differ in what each entry of `model_config` says.
 * @param source what an error calls it, such as the file's path
 * @throws UsageError that lists every problem at once
 */
export function parseConfigs(value: unknown, source = "the config", lineOf?: LineOf): Config[] {
  const configs: Config[] = [];
  const problems: Problem[] = [];
  const models = eachModel(value);
  for (const model of models) {
    if ("text" in model) {
      problems.push(model);
      continue;
    }
    const checked = checkConfig(model.value);
    if (checked.config) configs.push(checked.config);
    // What is wrong with all models is said once.
    const said = new Set(problems.map(({ path, text }) => JSON.stringify([path, text])));
    const found = checked.problems.map(({ path, text }) => ({ path: model.placeOf(path), text }));
    problems.push(...found.filter(({ path, text }) => !said.has(JSON.stringify([path, text]))));
  }
  if (models.length > 1 && member(value)["prices"] !== undefined) {
    const text = "expected prices in the entries of model_config: here they would hold for all models";
    problems.push({ path: ["prices"], text });
  }
  if (problems.length === 0) return configs;
  throw new UsageError(
    formatProblems(source, problems, lineOf),
    "docs/configs.md of datagen explains every key; `datagen init` writes a config to start from, with its schema for editors.",
  );
}

/** A config from its JSON value, or null and every problem. */
export function checkConfig(value: unknown): { config: Config | null; problems: Problem[] } {
  const deep = Object.entries(member(value)).filter(([, inside]) => isTooDeep(inside));
  if (deep.length > 0) return { config: null, problems: deep.map(([key]) => ({ path: [key], text: TOO_DEEP })) };
  const perspectives = member(value)["agent_perspectives"];
  // Problems of each of so many perspectives could take more memory than there is.
  if (Array.isArray(perspectives) && perspectives.length > MOST_PERSPECTIVES) {
    const text = `expected ${TOO_MANY_PERSPECTIVES}, found ${perspectives.length}`;
    return { config: null, problems: [{ path: ["agent_perspectives"], text }] };
  }
  const parsed = configSchema.safeParse(value);
  const found = parsed.success ? [] : problemsOf(parsed.error, configSchema, value);
  const problems = [...found, ...crossFieldProblems(value)];
  if (!parsed.success || problems.length > 0) return { config: null, problems };
  const { $schema: _, ...config } = parsed.data;
  return { config, problems };
}

/** @throws UsageError that lists every flag whose value does not fit */
export function checkOverrides(overrides: Overrides): Overrides {
  const parsed = overridesSchema.safeParse(overrides);
  if (parsed.success) return parsed.data;
  const problems = problemsOf(parsed.error, overridesSchema, overrides);
  throw new UsageError(
    problems.map(({ path, text }) => `${FLAGS[String(path[0])] ?? String(path[0])}: ${text}`).join("\n"),
  );
}

/**
 * The config with the values of `datagen run`'s flags, which override its own.
 * @throws UsageError as {@link checkOverrides} does
 */
export function applyOverrides(config: Config, overrides: Overrides): Config {
  const { provider, model, baseUrl, server, sampleSize, concurrency, maxCostUsd, confirmAboveUsd, executor, test } =
    checkOverrides(overrides);
  const size = sampleSize ?? config.data_config.sample_size;
  const [onlyUrl, ...otherUrls] = [baseUrl ?? []].flat();
  const { agent_perspectives: all, kinds } = config;
  const perspectives = test ? all.slice(0, TEST_SIZE.perspectives) : all;
  return {
    ...config,
    model_config: {
      ...config.model_config,
      ...(model !== undefined && { model_name: model }),
      ...(server !== undefined && { server }),
      ...(onlyUrl !== undefined && { base_url: otherUrls.length === 0 ? onlyUrl : [onlyUrl, ...otherUrls] }),
    },
    agent_perspectives: perspectives,
    ...(kinds !== undefined && { kinds: kindsOf(kinds, perspectives) }),
    data_config: { ...config.data_config, sample_size: test ? Math.min(size, TEST_SIZE.inputs) : size },
    ...(provider !== undefined && { api_provider: provider }),
    ...(concurrency !== undefined && { concurrency }),
    ...(executor !== undefined && { executor }),
    ...(maxCostUsd !== undefined && { max_cost_usd: maxCostUsd }),
    ...(confirmAboveUsd !== undefined && { confirm_above_usd: confirmAboveUsd }),
  };
}

// Works on the raw value, so that these problems are listed together with those of the schema.
function crossFieldProblems(value: unknown): Problem[] {
  const problems: Problem[] = [];
  const config = member(value);
  const model = member(config["model_config"]);
  problems.push(...limitProblems(model, [], {}), ...promptProblems(value));
  if (model["server"] !== undefined && model["base_url"] === undefined && config["executor"] !== "queue") {
    problems.push({
      path: ["model_config", "server"],
      text: "expected base_url beside it, with the servers that it names",
    });
  }
  const perspectives = Array.isArray(config["agent_perspectives"]) ? config["agent_perspectives"] : [];
  const seen = new Map<string, number>();
  for (const [index, perspective] of perspectives.entries()) {
    const { condition, reading, strategy, model_config: own } = member(perspective);
    if (own !== undefined) problems.push(...limitProblems(member(own), ["agent_perspectives", index], model));
    for (const [key, instruction] of Object.entries({ reading, strategy })) {
      const excess = typeof instruction === "string" ? excessOf(instruction) : null;
      if (excess !== null) problems.push({ path: ["agent_perspectives", index, key], text: `has ${excess}` });
    }
    if (typeof condition !== "string") continue;
    const earlier = seen.get(condition);
    if (earlier === undefined) seen.set(condition, index);
    const reserved = config["add_references"] === true && condition === REFERENCE_CONDITION;
    if (earlier === undefined && !reserved) continue;
    problems.push({
      path: ["agent_perspectives", index, "condition"],
      text:
        earlier === undefined
          ? `expected a condition other than "${REFERENCE_CONDITION}", which add_references uses`
          : `expected a unique condition, found ${JSON.stringify(condition)}, which agent_perspectives[${earlier}] has too`,
    });
  }
  return [...problems, ...kindProblems(config["kinds"], [...seen.keys()])];
}

/** The kinds without members of which no perspective is left. */
function kindsOf(kinds: NonNullable<Config["kinds"]>, perspectives: Config["agent_perspectives"]): Config["kinds"] {
  const known = new Set(perspectives.flatMap(({ condition }) => [condition, kindOf(condition)]));
  const left = Object.entries(kinds).map(
    ([kind, members]) => [kind, members.filter((name) => known.has(name))] as const,
  );
  return Object.fromEntries(left.filter(([, members]) => members.length > 0));
}

/** The problems of the kinds that name no condition of the config. */
function kindProblems(kinds: unknown, conditions: readonly string[]): Problem[] {
  const known = new Set(conditions.flatMap((condition) => [condition, kindOf(condition)]));
  return Object.entries(member(kinds)).flatMap(([kind, members]) =>
    (Array.isArray(members) ? members : []).flatMap((name: unknown, at): Problem[] => {
      if (typeof name !== "string" || name === "" || known.has(name)) return [];
      const text = `expected a condition of agent_perspectives, or what stands before its colon, found ${show(name)}`;
      return [{ path: ["kinds", kind, at], text }];
    }),
  );
}

/** The problems of the token limits in a `model_config`. @param over the one that it lies over */
function limitProblems(own: Record<string, unknown>, place: Path, over: Record<string, unknown>): Problem[] {
  const problems: Problem[] = [];
  const limits = ["max_tokens", "max_completion_tokens"] as const;
  const isSet = (key: string) => (own[key] === undefined ? (over[key] ?? null) : own[key]) !== null;
  const mine = limits.findLast((key) => own[key] !== undefined && own[key] !== null);
  if (mine !== undefined && limits.every(isSet)) {
    const other = limits.find((key) => key !== mine);
    const isOfRun = over[other ?? ""] !== undefined && own[other ?? ""] === undefined;
    const found = isOfRun ? `model_config has ${other}, which null removes here` : "found both";
    problems.push({
      path: [...place, "model_config", mine],
      text: `expected either max_tokens or max_completion_tokens, because both set the same limit; ${found}`,
    });
  }
  for (const [key, limit] of Object.entries(member(own["extra_body"]))) {
    // null removes the limit; a run with a cap is then refused elsewhere.
    if (!TOKEN_LIMITS.includes(key) || limit === null) continue;
    if (Number.isInteger(limit) && Number(limit) >= 1 && Number(limit) <= MOST_TOKENS) continue;
    const text = `expected a whole number from 1 to ${MOST_TOKENS}, or null for no limit, found ${show(limit)}`;
    problems.push({ path: [...place, "model_config", "extra_body", key], text });
  }
  return problems;
}
