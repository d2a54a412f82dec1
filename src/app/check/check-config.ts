import type { Parameters } from "../../config/parameters.ts";
import { promptPartsOf } from "../../config/prompt-parts.ts";
import type { Config, Overrides } from "../../config/schema.ts";
import { kindOf } from "../../execute/retry.ts";
import { meaningOf } from "../../execute/stops.ts";
import { attemptCost, type Prices, usd } from "../../models/cost.ts";
import { shortPrompt } from "../../plan/prompt.ts";
import { withoutReasoning } from "../../plan/reasoning.ts";
import { canonicalJson, type Settings } from "../../plan/settings.ts";
import { providers } from "../../providers/index.ts";
import { CallError, type QuotaState, type RateLimits, type ReportedUsage } from "../../providers/provider.ts";
import type { Connection } from "../../providers/provider-info.ts";
import type { Store } from "../../store/file/store.ts";
import { batchFolder, batchesOf } from "../run/batches.ts";
import { checkAllSendable, type Resolved, resolveAll } from "../run/resolve.ts";
import type { Environment } from "../server/environment.ts";
import { isMissing } from "../server/server-errors.ts";
import { changed, type ParameterChange } from "./parameter-changes.ts";
import { type Lines, linesFor } from "./lines-to-paste.ts";
import { tryModel, type Trial } from "./try-model.ts";

/** What a check of a config found. */
export interface ConfigCheck {
  /** Whether a run would work. */
  ok: boolean;
  requests: number;
  /** What the requests cost, in US dollars; null if that is unknown. */
  cost_usd: number | null;
  models: ModelCheck[];
}

export interface ModelCheck {
  model: string;
  provider: string;
  ok: boolean;
  servers: ServerCheck[];
  /** What has to change in the config until the model accepts its parameters. */
  changes: (ParameterChange & { message: string })[];
  /** Parameters of the config that are not sent, because the model is known not to take them. */
  not_sent: string[];
  /** The changes as parts of the config, to put in the place of the old ones. */
  lines: Lines[];
}

/** What is known of one server. */
export interface ServerCheck {
  /** Null without a network. */
  base_url: string | null;
  ok: boolean;
  requests: number;
  cost_usd: number | null;
  /** Why a run would not work there. */
  problems: string[];
  /** Of the last answer, in milliseconds; null if there is none. */
  latency_ms: number | null;
  /** The model that answered, if it has another name. */
  served_model: string | null;
  /** Whether the server reports usage; null if it gave no answer. */
  usage: boolean | null;
  /** Whether the answer holds the model's reasoning between tags; null if there is none. */
  reasoning_tags: boolean | null;
  /** The rate limits that the headers state; null if they state none. */
  limits: Record<keyof RateLimits, StatedLimit | null> | null;
  /** Whether the server takes batches; null if it does not say. */
  batches: boolean | null;
}

interface StatedLimit {
  limit: number;
  remaining: number;
  reset_ms: number | null;
}

/** What a check says while it goes on. */
export type CheckEvent =
  /** A request is about to be sent to a server, and one about its batches. */
  | { type: "asking"; model: string; server: string }
  /** The model has refused a request; another one is sent. */
  | { type: "refused"; model: string; server: string; message: string };

export interface CheckConfigOptions {
  /** Values that override the config's. */
  overrides?: Overrides | undefined;
  /** Where keys and base URLs come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  /** Whether the models are entries of an array in the config's file. Default: false. */
  areEntries?: boolean | undefined;
  onEvent?: ((event: CheckEvent) => void) | undefined;
}

/** The most different sets of parameters of one model that are tried: those of the run, and of perspectives. */
const MOST_SETS = 4;

/**
 * Sends a short request to each server of each model, to see whether a run would work, and asks it for its newest batch, to
 * see whether it takes batches. Nothing is stored. The inputs are not read.
 * @param store for the user's prices
 * @param configs as `loadConfigs` returns them
 * @throws UsageError as `createRun` does when a flag, a key or a base URL is wrong; then nothing was sent
 */
export async function checkConfigs(
  store: Store,
  configs: readonly Config[],
  options: CheckConfigOptions = {},
): Promise<ConfigCheck> {
  const all = await resolveAll(store, configs, options);
  const connections = checkAllSendable(all);
  const models: ModelCheck[] = [];
  for (const [at, resolved] of all.entries()) {
    models.push(await checkModel(resolved, connections[at] ?? [], batchFolder(store.path), options));
  }
  const servers = models.flatMap((model) => model.servers);
  return {
    ok: models.every(({ ok }) => ok),
    requests: servers.reduce((sum, { requests }) => sum + requests, 0),
    cost_usd: sumOf(servers.map(({ cost_usd: cost }) => cost)),
    models,
  };
}

async function checkModel(
  resolved: Resolved,
  connections: readonly Connection[],
  folder: string,
  { areEntries: isEntry = false, onEvent = () => {} }: CheckConfigOptions,
): Promise<ModelCheck> {
  const { config, target } = resolved;
  const { provider } = target;
  const model = config.model_config.model_name;
  const sets = differentSets(target.asked);
  const servers: ServerCheck[] = [];
  const changes = new Map<string, ParameterChange & { message: string }>();
  for (const connection of connections) {
    const server = connection.baseUrl ?? provider;
    if (connection.baseUrl !== null) onEvent({ type: "asking", model, server });
    const live = await providers[provider].connect(connection);
    const trials: Trial[] = [];
    for (const settings of sets) {
      const prompt = shortPrompt(settings.endpoint === "chat" && hasSystem(config));
      const onRefused = (message: string) => onEvent({ type: "refused", model, server, message });
      const known = [...changes.values()].reduce(changed<Parameters>, settings.parameters);
      const asked = { ...settings, parameters: known };
      const trial = await tryModel(live, asked, { prompt, timeoutMs: config.timeout_s * 1_000, onRefused });
      trials.push(trial);
      for (const { message, ...change } of trial.changes) changes.set(canonicalJson(change), { ...change, message });
      if (trial.failure !== null) break;
    }
    const batches = await takesBatches(resolved, connection, folder);
    servers.push(resultOf(resolved, connection, trials, batches));
  }
  const found = [...changes.values()];
  const tagged = servers.some(({ reasoning_tags: hasTags }) => hasTags) && !config.model_config.reasoning_tags;
  return {
    model,
    provider,
    ok: servers.every(({ ok }) => ok),
    servers,
    changes: found,
    not_sent: [...new Set(target.asked.flatMap((asked) => providers[provider].refused(asked)))],
    lines: linesFor(config, found, { isEntry, stripsReasoning: tagged }),
  };
}

function differentSets(asked: readonly Settings[]): Settings[] {
  return [...new Map(asked.map((settings) => [canonicalJson(settings), settings])).values()].slice(0, MOST_SETS);
}

/** Whether prompts of the config begin with a system message, which some models refuse. */
function hasSystem(config: Config): boolean {
  return config.agent_perspectives.some((perspective) => {
    const { systemPrompt, messages } = promptPartsOf(config, perspective);
    return systemPrompt !== null || messages.some(({ role }) => role === "system");
  });
}

async function takesBatches(
  { target: { provider } }: Resolved,
  connection: Connection,
  folder: string,
): Promise<boolean | null> {
  if (providers[provider].batches === null) return false;
  const batches = await batchesOf(provider).connect(connection, folder);
  try {
    await batches.probe(new AbortController().signal);
    return true;
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    return ["fail", "content", "doubtful"].includes(kindOf(error.reason)) || isMissing(error) ? false : null;
  }
}

function resultOf(
  { config, priced }: Resolved,
  { baseUrl }: Connection,
  trials: readonly Trial[],
  batches: boolean | null,
): ServerCheck {
  const last = trials.findLast(({ completion }) => completion !== undefined);
  const answer = last?.completion;
  const problems = [
    ...trials.flatMap(({ failure }) => (failure === null ? [] : [problemOf(failure)])),
    ...trials.flatMap(({ changes }) =>
      changes.map(({ parameter, message }) => `the model refuses ${parameter}: ${message}`),
    ),
    ...trials.flatMap(({ lack }) => (lack === null ? [] : [`the request was accepted, but ${lack}`])),
    ...(config.executor === "batch" && batches !== true
      ? ["the server does not take batches: set executor to live"]
      : []),
  ];
  return {
    base_url: baseUrl,
    ok: problems.length === 0,
    requests: trials.reduce((sum, { requests }) => sum + requests, 0),
    cost_usd: sumOf(trials.flatMap(({ usages }) => usages).map((usage) => costOf(priced.prices, usage))),
    problems: [...new Set(problems)],
    latency_ms: last?.latencyMs === undefined ? null : Math.round(last.latencyMs),
    served_model: answer?.servedModel ?? null,
    usage: answer ? answer.usage !== null : null,
    reasoning_tags: answer ? withoutReasoning(answer.text) !== answer.text : null,
    limits: answer?.rateLimits ? limitsIn(answer.rateLimits) : null,
    batches,
  };
}

function problemOf({ reason, message }: CallError): string {
  const known = meaningOf(reason);
  if (reason === "connection" || reason === "timeout") {
    return `the server has not answered: ${message}. Check the address, and whether the server runs`;
  }
  return known ? `the server ${known.what}: ${message}. ${known.hint}` : `${reason}: ${message}`;
}

function limitsIn({ requests, tokens, inputTokens, outputTokens }: RateLimits): ServerCheck["limits"] {
  const stated = (quota: QuotaState | null): StatedLimit | null =>
    quota && { limit: quota.limit, remaining: quota.remaining, reset_ms: quota.resetMs };
  return {
    requests: stated(requests),
    tokens: stated(tokens),
    inputTokens: stated(inputTokens),
    outputTokens: stated(outputTokens),
  };
}

function costOf(prices: Prices | null, usage: ReportedUsage | null): number | null {
  if (usage === null) return null;
  const cost = attemptCost(prices, usage, false);
  return cost === null ? null : usd(cost);
}

/** A sum; null if a part of it is unknown. */
function sumOf(costs: readonly (number | null)[]): number | null {
  const known = costs.filter((cost) => cost !== null);
  return known.length < costs.length ? null : known.reduce((sum, cost) => sum + cost, 0);
}
