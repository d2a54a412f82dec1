import { createHash, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { gunzip as gunzipCallback, gzip as gzipCallback } from "node:zlib";
import pLimit from "p-limit";
import { z } from "zod";
import { parameterFields } from "../config/parameters.ts";
import { PROVIDERS } from "../config/providers.ts";
import { isTooDeep, TOO_DEEP } from "../files/depth.ts";
import type { Message } from "../models/prompt.ts";
import type { CallErrorDetails, Completion, FailureReason, Question, ReportedUsage } from "../providers/provider.ts";
import { RESULTS_QUEUE } from "./destination.ts";

/*
 * The messages of the queue. A message travels as one text: JSON, or, if that is long, `gzip:` and the compressed JSON in
 * base64. A text keeps its length known, and holds characters that PostgreSQL refuses in JSON. Every message that comes out
 * of a queue is parsed here, because anybody who can write to the queue may have made it.
 */

/** Longer messages are compressed. In UTF-16 code units. */
const MOST_PLAIN = 64_000;
/** The longest text of a message. */
const MOST_ENCODED = 16_000_000;
/** The most bytes of a message when it is unpacked: an answer may have 64 MB. */
const MOST_UNPACKED = 200_000_000;
const PACKED = "gzip:";

const gzip = promisify(gzipCallback);
const gunzip = promisify(gunzipCallback);
/** Only two messages are packed or unpacked at a time, because each may take much memory. */
const twoAtATime = pLimit(2);

/** A message that cannot be sent, or that is none of ours. */
export class MessageError extends Error {
  override readonly name = "MessageError";
}

/** One attempt to answer a call. It has no key, and no URL with credentials. */
export interface JobMessage {
  /** See {@link newToken}. It is the id of the job in the queue, too. */
  token: string;
  /** The queue of the run's results. */
  replyTo: string;
  provider: (typeof PROVIDERS)[number];
  /** See `Destination`. */
  server: string;
  question: SentQuestion;
  timeoutMs: number;
  maxAnswerBytes: number;
}

/** A question without the pieces of its prompt, which repeat its messages. */
export type SentQuestion = Omit<Question, "prompt"> & { messages: readonly Message[] };

/** What became of a job. */
export type ResultMessage = {
  /** That of the job. */
  token: string;
  /** The id of the worker. */
  worker: string;
  durationMs: number;
} & ({ completion: Completion } | { error: ReportedError });

/** A CallError as it travels. */
export interface ReportedError {
  reason: FailureReason;
  message: string;
  details: CallErrorDetails;
}

/** What a worker says of itself, every few seconds. */
export interface WorkerSighting {
  /** `w-` and 32 hexadecimal digits. */
  id: string;
  /** A number that changes with each message. Clocks of other machines are never compared. */
  beat: number;
  host: string;
  /** Of datagen. */
  version: string;
  provider: (typeof PROVIDERS)[number];
  /** The servers whose jobs it takes; see `Destination`. */
  servers: string[];
  /** The most jobs that it has at the same time. */
  concurrency: number;
  /** The tokens of the jobs that it has. */
  inFlight: string[];
  /** How many jobs it has answered, failures included. */
  answered: number;
  /** In milliseconds since 1970, by its own clock. */
  startedAt: number;
}

/** The most jobs that a worker may have at the same time. */
export const MOST_JOBS_OF_WORKER = 4_096;

/**
 * A new token of a run: 80 random bits in hexadecimal, after the beginning that its tokens share.
 * @param replyTo the queue of the run's results
 */
export function newToken(replyTo: string): string {
  return `${tokenPrefix(replyTo)}${randomBytes(10).toString("hex")}`;
}

/** How the tokens of a run begin. BullMQ refuses ids that are whole numbers. */
export function tokenPrefix(replyTo: string): string {
  return `t${createHash("sha256").update(replyTo).digest("hex").slice(0, 12)}`;
}

/** A new id of a worker. */
export function newWorkerId(): string {
  return `w-${randomBytes(16).toString("hex")}`;
}

const token = z.string().regex(/^t[0-9a-f]{32}$/);
const replyTo = z.string().regex(RESULTS_QUEUE);
const workerId = z.string().regex(/^w-[0-9a-f]{32}$/);
const version = z.literal(1);
const provider = z.enum(PROVIDERS);
const server = z.string().min(1).max(2_000);
const count = z.int().min(0);
const DAY_MS = 86_400_000;
const duration = z.number().min(0).max(DAY_MS);
/** An id, a name or a code of a server. */
const name = z.string().max(1_024);

// The compiler misses a member of a question that is not here, also an optional one.
const question = {
  endpoint: z.enum(["chat", "completions"]),
  model: z.string().min(1).max(1_000),
  messages: z
    .array(z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() }))
    .min(1)
    .max(1_000),
  parameters: z.strictObject(parameterFields),
  cachedPrefix: z.exactOptional(z.strictObject({ message: count, length: count })),
} satisfies Record<keyof SentQuestion, z.ZodType>;

const job = z.strictObject({
  v: version,
  token,
  replyTo,
  provider,
  server,
  question: z.strictObject(question),
  timeoutMs: z.number().gt(0).max(DAY_MS),
  maxAnswerBytes: z.number().min(1).max(64_000_000),
}) satisfies z.ZodType<JobMessage & { v: 1 }>;

const usage = z.strictObject({
  promptTokens: count,
  completionTokens: count,
  cachedTokens: count,
  cacheWriteTokens: count,
  cacheWrite1hTokens: count,
  reasoningTokens: count,
}) satisfies z.ZodType<ReportedUsage>;

const quota = z.strictObject({
  limit: z.number().gt(0),
  remaining: z.number().min(0),
  resetMs: duration.nullable(),
  isTime: z.boolean(),
});
const limit = quota.nullable();
const rateLimits = z.strictObject({ requests: limit, tokens: limit, inputTokens: limit, outputTokens: limit });
const httpStatus = z.int().min(0).max(999).nullable();

const completion = z.strictObject({
  text: z.string().min(1),
  finishReason: name.nullable(),
  finishReasonRaw: name.nullable(),
  usage: usage.nullable(),
  httpStatus,
  requestId: name.nullable(),
  servedModel: name.nullable(),
  rateLimits: rateLimits.nullable(),
}) satisfies z.ZodType<Completion>;

/** Only a coordinator can say that a worker is lost. */
type ReportedReason = Exclude<FailureReason, "worker_lost">;

const REASONS: Record<ReportedReason, string> = {
  rate_limited: "rate_limited",
  server_error: "server_error",
  timeout: "timeout",
  connection: "connection",
  malformed: "malformed",
  broken: "broken",
  not_processed: "not_processed",
  empty: "empty",
  reasoning_exhausted: "reasoning_exhausted",
  content_filter: "content_filter",
  refusal: "refusal",
  bad_request: "bad_request",
  context_too_long: "context_too_long",
  content_policy: "content_policy",
  key_refused: "key_refused",
  forbidden: "forbidden",
  model_not_found: "model_not_found",
  no_quota: "no_quota",
  file_too_large: "file_too_large",
  redirected: "redirected",
  bad_certificate: "bad_certificate",
  wrong_protocol: "wrong_protocol",
  proxy_refused: "proxy_refused",
};
/** The longest message of an error. */
const LONGEST_ERROR = 10_000;

const error = z.strictObject({
  reason: z.enum(Object.keys(REASONS) as ReportedReason[]),
  message: z.string().max(LONGEST_ERROR),
  details: z.strictObject({
    httpStatus,
    requestId: name.nullable(),
    code: name.nullable(),
    retryAfterMs: duration.nullable(),
    usage: usage.nullable(),
    rateLimits: rateLimits.nullable(),
    hasLeft: z.boolean(),
    refusal: z.string().nullable(),
  }),
}) satisfies z.ZodType<ReportedError>;

const outcome = {
  v: version,
  token,
  worker: workerId,
  durationMs: z
    .int()
    .min(0)
    .max(30 * DAY_MS),
};
const result = z.union([z.strictObject({ ...outcome, completion }), z.strictObject({ ...outcome, error })]);

const sighting = z.strictObject({
  v: version,
  id: workerId,
  beat: count,
  host: z.string().max(255),
  version: z.string().max(100),
  provider,
  servers: z.array(server).max(100),
  concurrency: z.int().min(1).max(MOST_JOBS_OF_WORKER),
  inFlight: z.array(token).max(MOST_JOBS_OF_WORKER),
  answered: count,
  startedAt: count,
}) satisfies z.ZodType<WorkerSighting & { v: 1 }>;

/**
 * A message as a text.
 * @throws MessageError when it is too long for the queue
 */
export async function encode(message: JobMessage | ResultMessage | WorkerSighting): Promise<string> {
  const json = JSON.stringify({ v: 1, ...message });
  if (json.length <= MOST_PLAIN) return json;
  const packed = PACKED + (await twoAtATime(() => gzip(json))).toString("base64");
  if (packed.length <= MOST_ENCODED) return packed;
  throw new MessageError(
    `the message for the queue is ${megabytes(packed.length)} compressed, above the limit of ${megabytes(MOST_ENCODED)}`,
  );
}

/** @throws MessageError when it is no job of ours */
export async function decodeJob(data: unknown): Promise<JobMessage> {
  const { v: _, ...message } = parse(job, await unpack(data));
  return message;
}

/** Whom to tell that a job was refused; null if the job does not say it in a form that can be trusted. */
export async function replyOf(data: unknown): Promise<Pick<JobMessage, "token" | "replyTo"> | null> {
  const unpacked = await unpack(data).catch(() => null);
  const address = z.object({ token, replyTo }).safeParse(unpacked);
  return address.success ? address.data : null;
}

/** @throws MessageError when it is no result of ours */
export async function decodeResult(data: unknown): Promise<ResultMessage> {
  const { v: _, ...message } = parse(result, await unpack(data));
  return message;
}

/** @throws MessageError when it is no sighting of ours */
export async function decodeSighting(data: unknown): Promise<WorkerSighting> {
  const { v: _, ...message } = parse(sighting, await unpack(data));
  return message;
}

async function unpack(data: unknown): Promise<unknown> {
  if (typeof data !== "string") throw new MessageError("it is no text");
  if (data.length > MOST_ENCODED) throw new MessageError(`it is longer than ${megabytes(MOST_ENCODED)}`);
  let value: unknown;
  try {
    value = JSON.parse(data.startsWith(PACKED) ? await twoAtATime(() => inflate(data)) : data);
  } catch {
    throw new MessageError(`it is not JSON, or longer than ${megabytes(MOST_UNPACKED)} when it is unpacked`);
  }
  if (isTooDeep(value)) throw new MessageError(TOO_DEEP);
  return value;
}

async function inflate(data: string): Promise<string> {
  const bytes = Buffer.from(data.slice(PACKED.length), "base64");
  return (await gunzip(bytes, { maxOutputLength: MOST_UNPACKED })).toString();
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const place = issue?.path.map(String).join(".").slice(0, 100) ?? "";
  throw new MessageError(`${place === "" ? "the message" : place} does not fit`);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1_000_000)} MB`;
}
