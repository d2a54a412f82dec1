import type { Asked, Endpoint } from "../answers.ts";
import type { BatchFacts, BatchOperation, BatchProblem } from "../batch-formats.ts";
import type { FormPart, StoredFile } from "../files.ts";
import type { Reply, SaidError } from "../formats.ts";

/** What a request asks for. */
export interface Read extends Pick<Asked, "model" | "prompt" | "max_tokens" | "max_completion_tokens" | "temperature"> {
  /** The rest of the body. */
  parameters: Record<string, unknown>;
}

/** A request before a provider's format is put around it. */
export interface Question {
  endpoint: Endpoint;
  model: string;
  messages: readonly { role: "system" | "user" | "assistant"; content: string }[];
  /** As a config has them. */
  parameters: Record<string, unknown> & { extra_body?: object };
}

/** How the loopback server answers in the place of a provider. */
export interface FakeProvider {
  /** A chat model that datagen asks this provider for, by its name alone. */
  model: string;
  /** An API key in the provider's own shape. */
  key: string;
  /**
   * What its SDK reads of the environment beside the key, the variable with headers for every request, and the headers
   * that it sends for all that.
   */
  beside: { variables: Record<string, string>; customHeaders: string | null; headers: Record<string, string> };
  /** What follows the host in its base URL. */
  base: string;
  /** The endpoints that answer live requests. */
  endpoints: readonly Endpoint[];
  /** The path of an endpoint below the base URL, and back. */
  path: (endpoint: Endpoint, model: string) => string;
  endpointAt: (path: string) => Endpoint | undefined;
  /** The header that carries a key. */
  keyHeader: (key: string) => readonly [name: string, value: string];
  /** Reads the body of a request. */
  read: (body: Record<string, unknown>, route: { endpoint: Endpoint; path: string }) => Read;
  /** The body that a live request must have. */
  body: (question: Question) => object;
  /** The parameters of a config that it refuses, and that are not sent for that. */
  refused: readonly string[];
  /** Whether the usage of an answer says how many tokens were cached, and how many went into reasoning. */
  detailsUsage: (endpoint: Endpoint) => boolean;
  /** A name for one request, in the shape that the provider gives it. */
  requestId: () => string;
  /** Which responses have the name of their request: all, in a header, or those with an answer, in its body. */
  namesRequests: "all" | "answers";
  /** The headers of every response. */
  headers: (requestId: string, tookMs: number) => Record<string, string>;
  /** Where its list of models is, below the base URL. */
  modelsPath: string;
  /** That list, on one page. `model` is its first one. */
  models: object;
  /** The body of an answer, as the provider documents it (and as its SDK types it). */
  answer: (asked: Asked & { endpoint: Endpoint }, digest: Buffer, requestId: string, reply: Reply) => object;
  /** What it says of statuses where the others do not say the same. */
  errors: {
    notFoundCode: string;
    rateLimit: { code: string | null; type: string };
    /** Its name for an error, where it does not repeat the code or the type that the tests give it. */
    nameOf?: (status: number, code: string | null) => string;
    /** Whether the body of an error has its status. */
    haveStatus?: true;
  };
  /** The body of a refusal. */
  refusal: (error: SaidError, requestId: string, status: number) => object;
  /** Why an answer failed in which the model says that it refuses. */
  refusalReason: "refusal" | "content_filter";
  /** Null: it has no batches. */
  batches: FakeBatches | null;
}

/** What creates a batch. */
export interface Creation {
  endpoint: string;
  /** The id of its file, or the lines themselves. */
  source: { fileId: unknown } | { lines: string[] };
  metadata: unknown;
  /** The model of all its requests, if these do not name it. */
  model?: string;
}

/** How the loopback server works on batches in the place of a provider. */
export interface FakeBatches {
  /** The most bytes that a file may have. */
  mostBytes: number;
  /** The endpoints that a batch may name. */
  endpoints: Record<string, Endpoint>;
  /** What is asked for with a method and a path below the base URL, such as `GET /batches/ID`; the first group is the id. */
  operations: readonly (readonly [RegExp, BatchOperation])[];
  /**
   * How a file arrives: in a form that has its name, or in parts that are sent to a path beside the base URL. Null:
   * batches are created without files.
   */
  upload:
    | { purpose: string; nameIn: (form: Map<string, FormPart>) => string | undefined }
    | { purpose: string; path: string }
    | null;
  /** A file's id, made from hex digits. */
  fileId: (hex: string) => string;
  /** The status with which it says that it does not know a file. */
  missingFile: number;
  /** The lists of files and of batches; both are handed over oldest first. */
  fileList: (files: StoredFile[], query: URLSearchParams) => object;
  batchList: (batches: BatchFacts[], query: URLSearchParams) => object;
  /** What a body that creates a batch asks for, or why it is refused. @param id the first group of its path */
  creation: (body: Record<string, unknown>, id: string) => Creation | { refused: string };
  /** A line of a file: the id and the body of its request, and what is around them. */
  readLine: (line: Record<string, unknown>) => { id: unknown; body: unknown; envelope: Record<string, unknown> };
  /** Which ids of requests it takes. */
  idPattern: RegExp;
  /** What it answers when it has created a batch. */
  created: (batch: BatchFacts) => { status: number; body: object };
  /** A batch's id, made from 32 hex digits. */
  id: (hex: string) => string;
  /** A file, and a batch, as it shows them. */
  file: (file: StoredFile) => object;
  batch: (batch: BatchFacts) => object;
  /** What it answers when it has been asked to cancel a batch. */
  cancelled: (batch: BatchFacts) => object;
  /** What a line of a file has beside its id and its body. */
  envelope: (endpoint: string) => object;
  /** A line of an output or error file with an answer, good or not; `body` is JSON. */
  answerLine: (customId: string, answer: { status: number; requestId: string; body: string }) => string;
  /** A line of an error file for a request that got no answer. */
  problemLine: (customId: string, problem: BatchProblem) => string;
  /** In what providers differ, and so what datagen can know of a batch. */
  traits: {
    /** Keeps the metadata of a batch, and so the mark that tells it from others. */
    keepsMetadata: boolean;
    /** Says how many requests have been answered, and how many have failed. */
    counts: boolean;
    /** Shows that a new batch is looked through before it is worked on, and fails it whole then. Else it creates no bad one. */
    validates: boolean;
    /** Shows the state between the end of the work and the end of the batch, and that between a cancel and its end. */
    showsFinalizing: boolean;
    showsCancelling: boolean;
    /** Has all results in one list, which belongs to the batch. */
    hasOneList: boolean;
    /** Has all results in one file. */
    hasOneFile: boolean;
    /** Gives what was done of a batch that has expired. */
    keepsExpired: boolean;
    /** Writes a line for each request that an expired or cancelled batch did not come to. */
    writesUnprocessed: boolean;
    /** Says in a line of the error file which HTTP status the request got. */
    writesStatus: boolean;
    /** Says of a failed batch all that was wrong with it, each with a code. */
    listsProblems: boolean;
  };
}
