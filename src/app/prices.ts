import { problemsOf } from "../config/problems.ts";
import { type Config, type GivenPrices, givenPricesSchema } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { dayOf, type Prices, type Rates } from "../models/cost.ts";
import { listedPrices, priceList } from "../providers/prices.ts";
import type { Store } from "../store/file/store.ts";
import { findUserPrices, listUserPrices, setUserPrices, unsetUserPrices } from "../store/user-prices.ts";
import { isOwnHost, normaliseBaseUrl, type Server } from "./server/target.ts";

const DAY_MS = 86_400_000;

/** A price as `datagen prices list --json` shows it; rates are US dollars per million tokens. */
export interface PriceRow extends Rates {
  model: string;
  /** Who is asked, of a listed price; null of one that the user has set. */
  provider: string | null;
  /** The server that the user has set it for; null for any, and of a listed price. */
  base_url: string | null;
  batch_factor: number | null;
  /** The rates of a whole request whose prompt has at least `from` tokens. */
  long_prompts: (Rates & { from: number })[];
  source: string;
  /** YYYY-MM-DD. */
  date: string;
  age_days: number;
}

/** Prices as flags give them, some of which may be missing. */
type GivenFlags = Record<keyof GivenPrices, number | undefined>;

/**
 * What requests to a target cost: what the config says, else what the user has set for its server, else for any server,
 * else what the provider lists. Listed prices are those of the provider itself, also behind a URL from the environment,
 * and of its ordinary service tier.
 * @returns prices to freeze with a run, or the reason why they are not known
 */
export async function resolvePrices(
  store: Store,
  config: Config,
  { provider, baseUrl, baseUrlSource }: Server,
): Promise<{ prices: Prices } | { prices: null; reason: string }> {
  const { model_name: model, extra_body: extra } = config.model_config;
  const known =
    baseUrl === null
      ? await listedPrices(provider, model)
      : config.prices
        ? pricesOf(config.prices, "the config")
        : findUserPrices(store, model, baseUrl);
  if (known) return { prices: known };
  const unknown = (what: string) => ({
    prices: null,
    reason: `no price is known of ${what}; set one with \`datagen prices set\`, or with \`prices\` in the config`,
  });
  const isListed = baseUrl !== null && (baseUrlSource === "environment" || isOwnHost(provider, baseUrl));
  const prices = isListed ? await listedPrices(provider, model) : null;
  if (!prices) return unknown(`${model} at ${baseUrl}`);
  const tier = extra?.["service_tier"] ?? "default";
  if (tier !== "default" && tier !== "auto") {
    return unknown(`${model} at ${baseUrl} with the service_tier ${JSON.stringify(tier)}`);
  }
  return { prices };
}

/**
 * The user's prices, and then those that are listed.
 * @param part only of models in whose names it is found, in upper or lower case
 */
export async function listPrices(store: Store, part = ""): Promise<PriceRow[]> {
  const theirs = listUserPrices(store).map(({ model, baseUrl, prices }) => rowOf(model, null, baseUrl, prices));
  const listed = (await priceList()).map(({ provider, model, prices }) => rowOf(model, provider, null, prices));
  const wanted = part.toLowerCase();
  return [...theirs, ...listed].filter(({ model }) => model.toLowerCase().includes(wanted));
}

/**
 * Keeps what the user says that a model costs, in the place of what they said before.
 * @param baseUrl the server that it is for; left out: every server that has no prices of its own
 * @throws UsageError that lists every value that does not fit
 */
export function setPrices(
  store: Store,
  { model, baseUrl, ...given }: GivenFlags & { model: string; baseUrl?: string | undefined },
): PriceRow {
  if (model === "") throw new UsageError("a model has a name", "Give the name that configs have as model_name.");
  if (model !== model.trim()) {
    throw new UsageError(`the model ${JSON.stringify(model)} has white space around its name`, "Leave it out.");
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
 * Removes what {@link setPrices} has kept for the same model and server.
 * @throws UsageError when nothing was set
 */
export function unsetPrices(store: Store, model: string, baseUrl?: string): PriceRow {
  const server = serverOf(baseUrl);
  const removed = unsetUserPrices(store, model, server);
  if (!removed) {
    throw new UsageError(
      `no price was set of ${model} at ${server ?? "any server"}`,
      "`datagen prices list` shows what you have set, first.",
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
  const { input, cached_input, cache_write, output, batch_factor, long_prompts, source, date } = prices;
  const rates = { input, cached_input, cache_write, output };
  return { model, provider, base_url: baseUrl, ...rates, batch_factor, long_prompts, source, date, age_days: age };
}
