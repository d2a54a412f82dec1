import { withOwn } from "../config/parameters.ts";
import { problemsOf } from "../config/problems.ts";
import { type Config, type GivenPrices, givenPricesSchema } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { dayOf, type Prices, type Rates } from "../models/cost.ts";
import { shown } from "../providers/json.ts";
import { listedPrices, priceList } from "../providers/prices.ts";
import type { Store } from "../store/file/store.ts";
import { findUserPrices, listUserPrices, setUserPrices, unsetUserPrices } from "../store/user-prices.ts";
import { isOwnHost, normaliseBaseUrl, type Server } from "./server/target.ts";

const DAY_MS = 86_400_000;

/** Members of a request's body that change its price, and their values for which prices are listed. */
const LISTED_FOR: Record<string, readonly unknown[]> = {
  service_tier: ["default", "auto", "standard", "standard_only"],
  speed: ["standard"],
  inference_geo: ["global"],
  // Searches of the server and the like cost extra, and no usage of tokens says how much.
  tools: [null],
  web_search_options: [null],
};

/** A price in `datagen prices list --json`; rates are US dollars per million tokens. */
export interface PriceRow extends Rates {
  model: string;
  /** The provider of a listed price; null for a price that the user has set. */
  provider: string | null;
  /** The server of a price that the user has set; null for any server, and for a listed price. */
  base_url: string | null;
  batch_factor: number | null;
  /** The same for cached input, where it differs. */
  cached_batch_factor?: number;
  /** The rates for the whole request if its prompt has at least `from` tokens. */
  long_prompts: (Rates & { from: number })[];
  source: string;
  /** YYYY-MM-DD. */
  date: string;
  age_days: number;
}

/** Prices from flags; some may be missing. */
type GivenFlags = Record<keyof GivenPrices, number | undefined>;

/**
 * The prices of requests to a target: from the config, else as the user has set them for its server, else for any server,
 * else from the provider's list. Listed prices apply to the provider itself, to a proxy whose URL comes from the
 * environment, and to requests of the ordinary kind only.
 * @returns prices to store with a run, or the reason why they are unknown
 */
export async function resolvePrices(
  store: Store,
  config: Config,
  server: Server,
): Promise<{ prices: Prices } | { prices: null; reason: string }> {
  const { model_name: model } = config.model_config;
  const { baseUrl } = server;
  if (baseUrl !== null && config.prices) return { prices: pricesOf(config.prices, "the config") };
  const unknown = (what: string) => ({
    prices: null,
    reason: `no price is known for ${what}; set one with \`datagen prices set\`, or with \`prices\` in the config`,
  });
  const found = await pricesAt(store, model, server);
  if (!found) return unknown(`${model} at ${baseUrl}`);
  if (!found.isListed || baseUrl === null) return { prices: found.prices };
  for (const { model_config: own } of config.agent_perspectives) {
    const { extra_body: extra = {} } = withOwn(config.model_config, own);
    for (const [name, usual] of Object.entries(LISTED_FOR)) {
      const value = extra[name];
      if (value === undefined || usual.includes(value)) continue;
      // Tools may have credentials.
      const what = typeof value === "object" ? `${name} in extra_body` : `the ${name} ${shown(value)}`;
      return unknown(`${model} at ${baseUrl} with ${what}`);
    }
  }
  return { prices: found.prices };
}

/**
 * The prices of a model at a server without those of a config: as the user has set them for the server, else for any
 * server, else from the provider's list. Null if they are unknown.
 */
export async function pricesAt(
  store: Store,
  model: string,
  { provider, baseUrl, baseUrlSource }: Server,
): Promise<{ prices: Prices; isListed: boolean } | null> {
  const theirs = baseUrl === null ? null : findUserPrices(store, model, baseUrl);
  if (theirs) return { prices: theirs, isListed: false };
  const isListed = baseUrl === null || baseUrlSource === "environment" || isOwnHost(provider, baseUrl);
  const prices = isListed ? await listedPrices(provider, model) : null;
  return prices && { prices, isListed };
}

/**
 * The user's prices, then the listed ones.
 * @param part lists only models whose names contain it, in upper or lower case
 */
export async function listPrices(store: Store, part = ""): Promise<PriceRow[]> {
  const theirs = listUserPrices(store).map(({ model, baseUrl, prices }) => rowOf(model, null, baseUrl, prices));
  const listed = (await priceList()).map(({ provider, model, prices }) => rowOf(model, provider, null, prices));
  const wanted = part.toLowerCase();
  return [...theirs, ...listed].filter(({ model }) => model.toLowerCase().includes(wanted));
}

/**
 * Stores the user's prices for a model, and replaces earlier ones.
 * @param baseUrl the server of the prices; if missing, every server without its own prices
 * @throws UsageError that lists every invalid value
 */
export function setPrices(
  store: Store,
  { model, baseUrl, ...given }: GivenFlags & { model: string; baseUrl?: string | undefined },
): PriceRow {
  if (model === "") throw new UsageError("the name of the model is empty", "Give the model_name of a config.");
  if (model !== model.trim()) {
    throw new UsageError(
      `the model ${JSON.stringify(model)} has white space around its name`,
      "Remove the white space.",
    );
  }
  const parsed = givenPricesSchema.safeParse(given);
  if (!parsed.success) {
    const problems = problemsOf(parsed.error, givenPricesSchema, given);
    throw new UsageError(problems.map(({ path, text }) => `--${path.join().replace("_", "-")}: ${text}`).join("\n"));
  }
  const server = serverOf(baseUrl);
  const prices = pricesOf(parsed.data, "datagen prices set");
  setUserPrices(store, { model, baseUrl: server, prices });
  return rowOf(model, null, server, prices);
}

/**
 * Removes the prices that {@link setPrices} has stored for the same model and server.
 * @throws UsageError when nothing was set
 */
export function unsetPrices(store: Store, model: string, baseUrl?: string): PriceRow {
  const server = serverOf(baseUrl);
  const removed = unsetUserPrices(store, model, server);
  if (!removed) {
    throw new UsageError(
      `no price was set for ${model} at ${server ?? "any server"}`,
      "`datagen prices list` shows the prices that you have set, before all others.",
    );
  }
  return rowOf(model, null, server, removed.prices);
}

function serverOf(baseUrl: string | undefined): string | null {
  return baseUrl === undefined ? null : normaliseBaseUrl(baseUrl, "--base-url");
}

function pricesOf(given: GivenPrices, source: string): Prices {
  const { input, cached_input = input, cache_write = input, output, batch_factor = null } = given;
  return { input, cached_input, cache_write, output, long_prompts: [], batch_factor, source, date: dayOf(new Date()) };
}

function rowOf(model: string, provider: string | null, baseUrl: string | null, prices: Prices): PriceRow {
  const age = Math.floor((Date.now() - Date.parse(prices.date)) / DAY_MS);
  return { model, provider, base_url: baseUrl, ...prices, age_days: age };
}
