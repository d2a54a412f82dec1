import type { Endpoint } from "../config/schema.ts";
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

/** What is known of a provider before its code is loaded. */
export interface ProviderInfo {
  /** Null: it needs no network and no key. */
  remote: RemoteInfo | null;
  /** The names of the parameters that the model does not take, and that are not sent. */
  refused(settings: Pick<Question, "model" | "endpoint" | "parameters">): string[];
  connect(connection: Connection): Promise<Provider>;
  batches: BatchInfo;
}

/** What is known of a provider's batches before its code is loaded. */
interface BatchInfo {
  /** The endpoints that batches take. */
  endpoints: readonly Endpoint[];
  /** @param folder where a provider that has no server keeps its files and its batches; made when it is needed */
  connect(connection: Connection, folder: string): Promise<BatchProvider>;
}
