import type { Endpoint } from "../config/schema.ts";
import type { Prices } from "../models/cost.ts";
import type { BatchProvider } from "./batch.ts";
import type { Provider, Question } from "./provider.ts";

/** Whom a provider is asked to reach. */
export interface Connection {
  model: string;
  /** Null for a provider that needs no network. */
  baseUrl: string | null;
  /** Undefined: no key is sent. */
  apiKey: string | undefined;
  /** Whether what the environment sets beside the key (organisation, headers) may go there too. */
  isTrusted: boolean;
  /** The most bytes that the body of an answer, or the line of one in a batch, may have. */
  maxAnswerBytes: number;
}

/** How a provider is reached over the network. */
interface RemoteInfo {
  label: string;
  keyVariable: string;
  baseUrlVariable: string;
  defaultBaseUrl: string;
  /** The provider's own hosts: its key may go there, whoever named them. */
  hosts: readonly string[];
}

/** The prices that a provider lists; a day is YYYY-MM-DD. */
export interface PriceList {
  /** What a model costs; null where the list does not have it. A name is never taken for another that looks like it. */
  of(model: string, day: string): Promise<Prices | null>;
  all(day: string): Promise<{ model: string; prices: Prices }[]>;
}

/** What is known of a provider before its code is loaded. */
export interface ProviderInfo {
  /** Whether a model of this name is its own: it is asked for it where a config names no provider. */
  serves(model: string): boolean;
  /** The endpoint that serves a model where the config does not say. */
  endpointOf(model: string): Endpoint;
  /** The most completion tokens of a request that sets no limit; null where that is not known. */
  outputLimit(model: string): number | null;
  prices: PriceList;
  /** Null: it needs no network and no key. */
  remote: RemoteInfo | null;
  /** The names of the parameters that the model does not take, and that are not sent. */
  refused(settings: Pick<Question, "model" | "endpoint" | "parameters">): string[];
  connect(connection: Connection): Promise<Provider>;
  /** Null: it takes no batches. */
  batches: BatchInfo | null;
}

/** What is known of a provider's batches before its code is loaded. */
export interface BatchInfo {
  /** The endpoints that batches take. */
  endpoints: readonly Endpoint[];
  /** @param folder where a provider that has no server keeps its files and its batches; made when it is needed */
  connect(connection: Connection, folder: string): Promise<BatchProvider>;
}
