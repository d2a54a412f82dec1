import type { Endpoint } from "../config/schema.ts";
import type { Prices } from "../models/cost.ts";
import type { Message } from "../models/prompt.ts";
import type { Parameters } from "../config/parameters.ts";
import type { BatchProvider } from "./batch.ts";
import type { ListedModel } from "./model-list.ts";
import type { Provider, Question } from "./provider.ts";

/** How a provider reaches a server. */
export interface Connection {
  model: string;
  /** Null for a provider that needs no network. */
  baseUrl: string | null;
  /** Undefined if no key is sent. */
  apiKey: string | undefined;
  /** Whether the organisation and headers from the environment may go there too. */
  isTrusted: boolean;
  /** The most bytes of the body of an answer, or of a line of a batch's results. */
  maxAnswerBytes: number;
}

/** How a provider is reached over the network. */
interface RemoteInfo {
  label: string;
  keyVariable: string;
  /** Another variable for the key. If both are set it counts, as in the provider's SDK. */
  keyAlias?: string;
  baseUrlVariable: string;
  defaultBaseUrl: string;
  /** The provider's own hosts. Its key may go there, no matter who named the URL. */
  hosts: readonly string[];
}

/** The prices that a provider lists; a day is YYYY-MM-DD. */
export interface PriceList {
  /** The prices of a model; null if the list does not have it. A similar name does not count. */
  of(model: string, day: string): Promise<Prices | null>;
  all(day: string): Promise<{ model: string; prices: Prices }[]>;
}

/** Something in a config that a provider would refuse. */
export interface Problem {
  /** A parameter, the model, or what the messages before the prompt come from. */
  key: keyof Parameters | "model_name" | "system_prompt" | "messages";
  /** Such as `expected at most 1, found 2`. */
  text: string;
}

/** Facts about a provider that are needed before its code is loaded. */
export interface ProviderInfo {
  /** Whether a model of this name belongs to this provider, if a config names no provider. */
  serves(model: string): boolean;
  /** The endpoint for a model, if the config does not name one. */
  endpointOf(model: string): Endpoint;
  /** The most completion tokens of a request that sets no limit; null if unknown. */
  outputLimit(model: string): number | null;
  prices: PriceList;
  /** Whether it caches the beginning of a prompt that a question marks, and charges for that. By itself it caches nothing. */
  marksCache?: boolean;
  /** Null if it needs no network and no key. */
  remote: RemoteInfo | null;
  /** The names of the parameters that the model refuses, and that are therefore not sent. */
  refused(settings: Pick<Question, "model" | "endpoint" | "parameters">): string[];
  /**
   * What the provider would refuse every request for, if it refuses more than other providers.
   * @param before the messages before the prompt
   */
  problems?(settings: Pick<Question, "model" | "parameters">, before: readonly Message[]): Problem[];
  /** A parameter that is sent though the config does not set it, as a sentence; null if there is none. */
  addition?(settings: Pick<Question, "model" | "parameters">): string | null;
  connect(connection: Connection): Promise<Provider>;
  /** The models that a server lists, page by page; null if it needs no network. The connection has no model. */
  models: ((connection: Connection, signal: AbortSignal) => Promise<AsyncIterable<ListedModel>>) | null;
  /** Null if it has no batch API. */
  batches: BatchInfo | null;
}

/** Facts about a provider's batch API that are needed before its code is loaded. */
export interface BatchInfo {
  /** The endpoints that batches take. */
  endpoints: readonly Endpoint[];
  /** @param folder where a provider without a server keeps its files and batches; created when needed */
  connect(connection: Connection, folder: string): Promise<BatchProvider>;
}
