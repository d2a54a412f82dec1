import type { Redis as RedisClient } from "ioredis";
import { errorMessage, UsageError } from "../../errors.ts";
import { keepReaders, readerOf } from "./reader.ts";
import type { QueueUrl } from "../url.ts";
import { away, type Engine, FEW_EVENTS, loadOptional, quietly, refused, START_PATIENCE_MS, within } from "./engine.ts";

/** What Redis says when it does not let a user in, or has no database of this number. */
const REFUSALS =
  /^(WRONGPASS|NOAUTH|NOPERM|ERR AUTH|ERR invalid password|ERR Client sent AUTH|ERR (invalid )?DB index)/;

/** The longest wait between two tries to connect. */
const LONGEST_RETRY_MS = 2_000;
/** A connection that has a command without an answer for so long is closed. BullMQ's blocking reads take 10 seconds. */
const SILENT_MS = 60_000;

export async function connectRedis(url: QueueUrl): Promise<Engine> {
  const [{ Queue, Worker }, { Redis }] = await loadOptional(
    "Redis",
    ["bullmq", "ioredis"],
    async () => await Promise.all([import("bullmq"), import("ioredis")]),
  );
  const client = new Redis(url.href, {
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(100 * times, LONGEST_RETRY_MS),
    socketTimeout: SILENT_MS,
  });
  // BullMQ reads queues with copies of the client, which it does not close while the engine is away.
  const clients = [client];
  const duplicate = client.duplicate.bind(client);
  client.duplicate = (...options) => {
    const copy = duplicate(...options);
    clients.push(copy);
    return copy;
  };
  const Reader = readerOf(Worker);
  const { kept, abandonAll } = keepReaders();
  try {
    await checkRedis(url, client);
  } catch (error) {
    client.disconnect();
    throw error;
  }
  return {
    url,
    queue: (name) => quietly(new Queue(name, { connection: client, ...FEW_EVENTS })),
    worker: (name, perform, options) => kept(quietly(new Reader(name, perform, { ...options, connection: client }))),
    async close() {
      for (const one of clients) one.disconnect();
      await abandonAll();
    },
  };
}

/** @throws UsageError when it refuses the user, or may evict jobs; StoppedError when it does not answer */
async function checkRedis(url: QueueUrl, client: RedisClient): Promise<void> {
  const failed = Promise.withResolvers<never>();
  // Later errors are not looked at: the client connects again by itself.
  client.on("error", failed.reject);
  let info: string;
  try {
    info = await within(START_PATIENCE_MS, Promise.race([client.info("memory"), failed.promise]));
  } catch (error) {
    throw REFUSALS.test(errorMessage(error)) ? refused(url, error) : away(url, error);
  }
  const [, policy = "noeviction"] = /^maxmemory_policy:(\S+)/m.exec(info) ?? [];
  if (policy === "noeviction") return;
  throw new UsageError(
    `the queue ${url.shown} has the maxmemory-policy ${policy}, with which it may throw jobs away`,
    "Set it to noeviction: `redis-cli CONFIG SET maxmemory-policy noeviction`, and the same in redis.conf.",
  );
}
