import { z } from "zod";
import { EXECUTORS } from "./executors.ts";
import { dataConfig, sampleSize } from "./data-config.ts";
import { MOST_MODELS } from "./models.ts";
import { ownParameters, parameterFields } from "./parameters.ts";
import { promptFields } from "./prompt-fields.ts";
import { PROVIDERS } from "./providers.ts";
import { between, text, wholeFrom } from "./rules.ts";
import { unused } from "./unused-keys.ts";

const ENDPOINTS = ["chat", "completions"] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

const REASONING_TAGS = ["keep", "strip"] as const;
export type ReasoningTags = (typeof REASONING_TAGS)[number];

/** Azure's older URLs have a query, which would have to follow each path. */
export const SERVER_URL =
  "an http or https URL without a user name, a password, a query or a fragment (of Azure: https://NAME.openai.azure.com/openai/v1, without ?api-version)";
const MODEL_NAME = "the name of a model, a non-empty string";
/** Names appear in lists and in file names. */
const LONGEST_NAME = 1_000;
const TOO_LONG_NAME = `a name of at most ${LONGEST_NAME} characters`;
const limit = z.number("a number above 0").gt(0, "a number above 0");

const URLS = "a URL such as http://localhost:11434/v1, or an array of URLs";
const MOST_SERVERS = 100;
const serverUrl = z.string(URLS).refine(isServerUrl, SERVER_URL);
const serverUrls = z
  .array(serverUrl, URLS)
  .min(1, URLS)
  .max(MOST_SERVERS, `at most ${MOST_SERVERS} URLs`)
  // Each is another server. Of URLs that are none, each has its own error.
  .refine((urls) => !urls.every(isServerUrl) || new Set(urls.map(plainUrl)).size === urls.length, "different URLs");
const SERVER_NAME = "a name of 1 to 100 letters, digits, dots, dashes and underscores";

const fields = {
  api_provider: z.enum(PROVIDERS, `one of ${PROVIDERS.map((name) => `"${name}"`).join(", ")}`),
  base_urls: z.union([serverUrl, serverUrls], URLS),
  max_cost_usd: z
    .number("a number of US dollars above 0")
    .gt(0, "a number of US dollars above 0")
    .max(1e6, "at most 1000000 US dollars"),
  confirm_above_usd: between(0, 1e6, "a number of US dollars from 0 to 1000000"),
  concurrency: wholeFrom(1).max(10_000, "a whole number from 1 to 10000"),
  model_name: z.string(MODEL_NAME).trim().min(1, MODEL_NAME).max(LONGEST_NAME, TOO_LONG_NAME),
  server: z.string(SERVER_NAME).regex(/^[\w.-]{1,100}$/, SERVER_NAME),
  sample_size: sampleSize,
};

/** The longest body of an answer, if a config does not set it. */
export const DEFAULT_MAX_ANSWER_MB = 8;

const modelConfig = z.strictObject(
  {
    model_name: fields.model_name.describe("The name of the model. It decides the provider."),
    ...parameterFields,
    reasoning_tags: z
      .enum(REASONING_TAGS, 'one of "keep", "strip"')
      .optional()
      .describe(
        'What to do with <think>...</think> at the start of an answer: "strip" leaves it out of notes and datasets. Answers are always stored whole. Default: keep.',
      ),
    prompt_caching: z
      .boolean("true or false")
      .optional()
      .describe(
        "Uses the provider's cache for what the prompts of several calls begin with: one call of each beginning goes first, the others after it, and Anthropic is told what to cache. Default: false.",
      ),
    base_url: fields.base_urls
      .optional()
      .describe(
        "The base URL of an OpenAI-compatible server, such as http://localhost:11434/v1, or a list of servers of the same model, which share the calls.",
      ),
    server: fields.server
      .optional()
      .describe(
        "A name for the servers of base_url, which stands in the keys of calls instead of the URL: answers are then reused when the servers change. With a queue, workers take the calls by this name, and base_url may be left out. Default: the first URL.",
      ),
    endpoint: z
      .enum(ENDPOINTS, 'one of "chat", "completions"')
      .optional()
      .describe("The API to call. Default: chat, or completions for models that have only that."),
    ...unused,
  },
  "an object",
);

/** Far more than anybody writes. Each takes memory as long as a run lasts. */
export const MOST_PERSPECTIVES = 10_000;
export const TOO_MANY_PERSPECTIVES = `at most ${MOST_PERSPECTIVES} perspectives`;

const perspective = z.strictObject(
  {
    condition: text("the label of the perspective, a non-empty string").describe("The label, unique within a config."),
    reading: text("an instruction, a non-empty string, or null")
      .nullable()
      .default(null)
      .describe("An instruction that is sent first. The strategy then works on its answer, the notes."),
    strategy: text("the main instruction, a non-empty string").describe("The main instruction."),
    ...promptFields,
    model_config: ownParameters
      .optional()
      .describe(
        "Parameters of this perspective's requests, over those of the run. null removes one; extra_body replaces the run's.",
      ),
    ...unused,
  },
  "an object",
);

// A trillionth of a dollar per token. The cost of a request is counted in billionths.
const LOWEST_RATE = 0.000_001;
const rate = z
  .number("US dollars per million tokens, a number of at least 0")
  .min(0, "US dollars per million tokens, a number of at least 0")
  .max(1e6, "at most 1000000 US dollars per million tokens")
  .refine(
    (value) => value <= 0 || value >= LOWEST_RATE,
    "US dollars per million tokens: 0, or at least 0.000001, the smallest step of costs",
  );

/** Prices set by a user, in a config or with `datagen prices set`. */
export const givenPricesSchema = z.strictObject(
  {
    input: rate.describe("Prompt tokens, in US dollars per million."),
    cached_input: rate.optional().describe("Prompt tokens read from the provider's cache. Default: the same as input."),
    cache_write: rate.optional().describe("Prompt tokens written to that cache. Default: the same as input."),
    output: rate.describe("Completion tokens, reasoning included."),
    batch_factor: between(0, 1)
      .optional()
      .describe("The price of a batch request divided by that of a live one. Default: unknown."),
  },
  "an object with input and output",
);
export type GivenPrices = z.output<typeof givenPricesSchema>;

const KINDS = "an object whose keys are kinds, and whose values are arrays of conditions or kinds";
const kindName = text("the name of a kind, a non-empty string").max(LONGEST_NAME, TOO_LONG_NAME);
const kindMembers = z
  .array(text("a condition, or what stands before its colon"), "an array of conditions or kinds")
  .min(1, "at least one condition or kind")
  .max(MOST_PERSPECTIVES, `at most ${MOST_PERSPECTIVES} conditions or kinds`);

export const configSchema = z.strictObject(
  {
    $schema: z.string("a string").optional(),
    task_type: text("the name of the task, a non-empty string")
      .max(LONGEST_NAME, TOO_LONG_NAME)
      .describe('Any name, such as "translation", "summarization" or "peer_review".'),
    task_description: text("a description of the task, a non-empty string"),
    model_config: modelConfig,
    agent_perspectives: z
      .array(perspective, "an array of perspectives")
      .min(1, "at least one perspective")
      .max(MOST_PERSPECTIVES, TOO_MANY_PERSPECTIVES)
      .describe("The instructions: every input gets one answer for each perspective."),
    kinds: z
      .record(kindName, kindMembers, KINDS)
      .optional()
      .describe(
        "Kinds of conditions for statistics: each name stands for the listed conditions, or for all conditions with these words before their first colon. Default: what stands before the colon.",
      ),
    ...promptFields,
    data_config: dataConfig,
    add_references: z
      .boolean("true or false")
      .default(false)
      .describe("Adds the references to the dataset as a first perspective. No request is sent for them."),
    executor: z
      .enum(EXECUTORS, `one of ${EXECUTORS.map((name) => `"${name}"`).join(", ")}`)
      .optional()
      .describe(
        "How calls reach the provider: live sends one request for each call; batch uses the provider's batch API, which answers later for a lower price; queue puts the calls into the queue of --queue, from which workers take them. Default: queue if DATAGEN_QUEUE is set, else live.",
      ),
    keep_provider_files: z
      .boolean("true or false")
      .optional()
      .describe("Keeps the files of batches at the provider. By default they are deleted when the results are stored."),
    max_batch_requests: wholeFrom(1)
      .max(1_000_000, "a whole number from 1 to 1000000")
      .optional()
      .describe("The most requests of a batch. Default: the provider's limit; at most 50000 at other servers."),
    max_batch_mb: between(0.001, 1_000, "a number of megabytes from 0.001 to 1000")
      .optional()
      .describe(
        "The largest file of a batch's requests, in megabytes. Default: the provider's limit; at most 100 at other servers.",
      ),
    replicates: wholeFrom(1)
      .max(1_000, "a whole number from 1 to 1000")
      .optional()
      .describe("How many samples to ask for, for each input and perspective, notes included. Default: 1."),
    api_provider: fields.api_provider
      .optional()
      .describe("The provider. Default: chosen by the model's name. The offline provider needs no key and no network."),
    concurrency: fields.concurrency.default(32).describe("The most requests in flight at once."),
    timeout_s: z
      .number("a number of seconds above 0")
      .gt(0, "a number of seconds above 0")
      .max(86_400, "at most 86400 seconds")
      .default(120)
      .describe("How long one request may take, in seconds."),
    max_attempts: wholeFrom(1)
      .max(100, "a whole number from 1 to 100")
      .default(6)
      .describe("How often to send a call at most. Waiting for a rate limit does not count."),
    give_up_after_s: z
      .number("a number of seconds above 0")
      .gt(0, "a number of seconds above 0")
      .default(600)
      .describe("How long the provider may be unavailable before the run stops, in seconds."),
    max_answer_mb: between(0.001, 64, "a number of megabytes from 0.001 to 64")
      .optional()
      .describe("The longest body of an answer, in megabytes. Default: 8."),
    max_cost_usd: fields.max_cost_usd
      .optional()
      .describe("The most that the run may cost, in US dollars. The run stops before it could cost more."),
    confirm_above_usd: fields.confirm_above_usd
      .optional()
      .describe(
        "On a terminal, `datagen run` asks before it starts a run that will cost more, in US dollars. Default: 1.",
      ),
    prices: givenPricesSchema
      .optional()
      .describe("The price of the model, in US dollars per million tokens. Default: the price that datagen knows."),
    requests_per_minute: limit.optional().describe("The most requests per minute. Default: learned from the provider."),
    tokens_per_minute: limit
      .optional()
      .describe(
        "The most tokens per minute; a request counts its prompt and its max_tokens. Default: learned from the provider.",
      ),
    ...unused,
  },
  "an object with the keys of a config",
);

/** The values of `datagen run`'s flags, which override a config's. */
export const overridesSchema = z.strictObject({
  provider: fields.api_provider.optional(),
  model: fields.model_name.optional(),
  baseUrl: fields.base_urls.optional(),
  server: fields.server.optional(),
  sampleSize: fields.sample_size.optional(),
  concurrency: fields.concurrency.optional(),
  maxCostUsd: fields.max_cost_usd.optional(),
  confirmAboveUsd: fields.confirm_above_usd.optional(),
  executor: z.enum(EXECUTORS).optional(),
  test: z.boolean().optional(),
});

/** A config before validation; see `configs/schema.json`. */
export type ConfigInput = z.input<typeof configSchema>;
/** A validated config, with every default filled in. */
export type Config = Omit<z.output<typeof configSchema>, "$schema">;
export type Perspective = Config["agent_perspectives"][number];
export type Overrides = z.output<typeof overridesSchema>;

/** The condition of the perspective that `add_references` adds. */
export const REFERENCE_CONDITION = "Reference";

/** Whether a text is {@link SERVER_URL}. */
export function isServerUrl(value: string): boolean {
  const url = URL.parse(value);
  return (
    url !== null &&
    (url.protocol === "http:" || url.protocol === "https:") &&
    !url.username &&
    !url.password &&
    !url.search &&
    !url.hash
  );
}

/** The URL of a server in the form that is stored: without slashes at its end, and with its host in lower case. */
export function plainUrl(url: string): string {
  return new URL(url).href.replace(/\/+$/, "");
}

/** A config in a file may have several models. `parseConfigs` makes a config of each. */
const fileSchema = configSchema.extend({
  model_config: z.union([
    modelConfig,
    z
      .array(modelConfig.extend({ api_provider: configSchema.shape.api_provider, prices: configSchema.shape.prices }))
      .min(1)
      .max(MOST_MODELS)
      .describe("Several models: each is asked the same, in a run of its own."),
  ]),
});

/** The JSON Schema (draft 2020-12) of a config; `configs/schema.json` is a copy. */
export function configJsonSchema(): object {
  return { ...z.toJSONSchema(fileSchema, { io: "input" }), title: "A config of datagen" };
}
