import type { Redis as RedisClient } from "ioredis";
import { errorMessage, UsageError } from "../../errors.ts";
import type { QueueUrl } from "../url.ts";
import { away, type Engine, FEW_EVENTS, loadOptional, quietly, refused, START_PATIENCE_MS, within } from "./engine.ts";
import { removeUnreadable } from "./foreign.ts";
import { Readers, readerOf } from "./reader.ts";
import { mendingClient } from "./redis-keys.ts";

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
  // BullMQ reads queues with copies of the client, which it does not close while the engine is away.
  const clients: RedisClient[] = [];
  const Client = mendingClient(Redis, clients);
  const client = new Client(url.href, {
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(100 * times, LONGEST_RETRY_MS),
    socketTimeout: SILENT_MS,
  });
  const Reader = readerOf(Worker);
  const readers = new Readers();
  try {
    await checkRedis(url, client);
  } catch (error) {
    client.disconnect();
    throw error;
  }
  const engine: Engine = {
    url,
    queue: (name) => quietly(new Queue(name, { connection: client, ...FEW_EVENTS })),
    worker: (name, perform, options) =>
      readers.keep(new Reader(name, perform, { ...options, connection: client }), () => removeUnreadable(engine, name)),
    async unlock(queue, id) {
      await client.del(`bull:${queue}:${id}:lock`);
    },
    async drop(queue) {
      for await (const keys of client.scanStream({ match: `bull:${queue}:*`, count: 1_000 })) {
        if ((keys as string[]).length > 0) await client.unlink(keys as string[]);
      }
    },
    async close() {
      for (const one of clients) one.disconnect();
      await readers.abandonAll();
    },
  };
  return engine;
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
