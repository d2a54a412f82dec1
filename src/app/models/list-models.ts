import type { ProviderName } from "../../config/providers.ts";
import { UsageError } from "../../errors.ts";
import type { Prices } from "../../models/cost.ts";
import { modelFacts } from "../../models/limits.ts";
import { KEY_VARIABLES, OF_OTHER_SERVERS, providers, WITHOUT_SERVER } from "../../providers/index.ts";
import type { ListedModel } from "../../providers/model-list.ts";
import { CallError } from "../../providers/provider.ts";
import { answerWithoutKey } from "../../providers/secrets.ts";
import type { Store } from "../../store/file/store.ts";
import { pricesAt } from "../prices.ts";
import { type Environment, readVariables, type Variables, valueOf } from "../server/environment.ts";
import { isMissing, serverError } from "../server/server-errors.ts";
import { connectionOf, eachServer, normaliseBaseUrl, resolveServers, type Servers } from "../server/target.ts";

/** A model that a server lists, with what datagen knows of it. */
export interface ModelRow {
  provider: ProviderName;
  base_url: string;
  /** The `model_name` for a config. */
  model: string;
  /** How the server shows it to people; null if it says no more than the name. */
  title: string | null;
  /** In tokens; null if unknown. */
  context_window: Fact | null;
  /** The most completion tokens; null if unknown. */
  output_limit: Fact | null;
  /** The prices with which a run would count, in US dollars per million tokens; null if datagen knows none. */
  prices: Prices | null;
  /** The prices that the server states; a run does not count with them. Null if it states none. */
  stated_prices: { input: number; cached_input: number | null; output: number } | null;
}

/** A number of tokens, and where it comes from: the server, or what datagen knows since that day. */
interface Fact {
  tokens: number;
  source: "server" | "datagen";
  /** YYYY-MM-DD; null if the server says it. */
  date: string | null;
}

export interface ListModelsOptions {
  /** Default: those whose key or base URL is set. Of a base URL: the one with OpenAI's protocol. */
  provider?: ProviderName | undefined;
  baseUrl?: string | undefined;
  /** Where keys and base URLs come from. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
  onEvent?: ((event: ListModelsEvent) => void) | undefined;
}

/** Reports of a list of models. */
export type ListModelsEvent =
  | { type: "warning"; message: string }
  /** A server fails while others are listed. If none can be listed, the first failure is thrown. */
  | { type: "failed"; error: unknown };

/** Far more than any server lists. */
const MOST_MODELS = 10_000;
/** A config takes no longer name. */
const LONGEST_NAME = 1_000;
const LONGEST_TITLE = 200;

/**
 * The models that servers list, each with the prices and the limits that are known. Nothing is stored.
 * @param store for the user's prices
 * @throws UsageError when a key is missing, no server is named, or a server lists no models; StoppedError when it does not answer
 */
export async function listModels(store: Store, options: ListModelsOptions = {}): Promise<ModelRow[]> {
  const { environment, onEvent = () => {} } = options;
  const variables = readVariables(environment);
  const rows: ModelRow[] = [];
  const failures: unknown[] = [];
  const servers = chooseServers(options, variables).flatMap(eachServer);
  for (const server of servers) {
    try {
      for await (const model of modelsOf(server, variables, onEvent)) rows.push(await rowOf(store, server, model));
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === servers.length) throw failures[0];
  for (const error of failures) onEvent({ type: "failed", error });
  return rows;
}

function chooseServers({ provider, baseUrl }: ListModelsOptions, variables: Variables): Servers[] {
  const given = baseUrl === undefined ? undefined : normaliseBaseUrl(baseUrl, "--base-url");
  const chosen = provider ?? (given === undefined ? null : OF_OTHER_SERVERS);
  if (chosen !== null) {
    if (providers[chosen].models === null) {
      throw new UsageError(
        `${chosen} has no server that lists models`,
        "It answers without a model, under any model_name. Name another provider, or a server with --base-url.",
      );
    }
    return [resolveServers(chosen, given, true, variables)];
  }
  const names = Object.keys(providers) as ProviderName[];
  const known = names.filter((name) => {
    const { remote } = providers[name];
    const named = remote ? [remote.keyVariable, remote.keyAlias, remote.baseUrlVariable] : [];
    return named.some((one) => one !== undefined && valueOf(variables, one) !== undefined);
  });
  if (known.length > 0) return known.map((name) => resolveServers(name, undefined, false, variables));
  const remote = names.filter((name) => !WITHOUT_SERVER.includes(name));
  throw new UsageError(
    `no server is named, and none of ${KEY_VARIABLES.join(", ")} is set`,
    `Name one of ${remote.join(", ")}, or a server with --base-url URL.`,
  );
}

async function* modelsOf(
  server: Servers,
  variables: Variables,
  onEvent: (event: ListModelsEvent) => void,
): AsyncGenerator<ListedModel> {
  const { provider, baseUrl } = server;
  const connection = connectionOf(server, { model_config: { model_name: "" } }, variables);
  // A placeholder as a key, such as `local`, may be a word of a name.
  const clean = (text: string) => answerWithoutKey(text, connection.apiKey);
  const known = new Set<string>();
  try {
    const models = (await providers[provider].models?.(connection, new AbortController().signal)) ?? [];
    for await (const model of models) {
      if (known.size === MOST_MODELS) {
        onEvent({
          type: "warning",
          message: `${baseUrl} lists more than ${MOST_MODELS} models; the others are left out`,
        });
        return;
      }
      const id = clean(model.id);
      // Some servers ignore which page is asked for, and list the same models again.
      if (id.length > LONGEST_NAME || known.has(id)) continue;
      known.add(id);
      yield { ...model, id, title: model.title === null ? null : clean(model.title) };
    }
  } catch (error) {
    if (error instanceof CallError && isMissing(error)) {
      throw new UsageError(
        `${baseUrl} lists no models: ${error.message}`,
        "Check the base URL; most end in /v1. Some servers have no list: their documentation names their models.",
        error,
      );
    }
    throw serverError(baseUrl ?? provider, error);
  }
}

async function rowOf(store: Store, server: Servers, listed: ListedModel): Promise<ModelRow> {
  const { provider, baseUrl } = server;
  const { id: model, title, contextWindow, outputLimit, prices: stated } = listed;
  const found = await pricesAt(store, model, server);
  const facts = modelFacts(model);
  return {
    provider,
    base_url: baseUrl ?? "",
    model,
    title: title === null ? null : title.slice(0, LONGEST_TITLE),
    context_window: factOf(contextWindow, facts?.contextWindow, facts?.date),
    output_limit: factOf(outputLimit, facts?.outputLimit, facts?.date),
    prices: found?.prices ?? null,
    stated_prices: stated && { input: stated.input, cached_input: stated.cachedInput, output: stated.output },
  };
}

function factOf(stated: number | null, known: number | null | undefined, date: string | undefined): Fact | null {
  if (stated !== null) return { tokens: stated, source: "server", date: null };
  return known == null ? null : { tokens: known, source: "datagen", date: date ?? null };
}
