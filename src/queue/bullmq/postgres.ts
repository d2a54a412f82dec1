import type * as BullMq from "bullmq";
import type { BackendFactory, ConnectionOptions, createPostgresBackend, Queue as BullQueue } from "bullmq";
import type { ClientBase, Pool as PgPool } from "pg";
import { errorCode, errorMessage } from "../../errors.ts";
import type { QueueUrl } from "../url.ts";
import {
  away,
  type Engine,
  type EngineUse,
  FEW_EVENTS,
  loadOptional,
  quietly,
  refused,
  START_PATIENCE_MS,
  within,
} from "./engine.ts";
import { removeUnreadable } from "./foreign.ts";
import { Readers, readerOf } from "./reader.ts";

/** Classes and codes of errors with which PostgreSQL does not let a user in: no such user, database or right. */
const REFUSALS = /^(28|3D000|42501)/;

const LONGEST_QUERY_MS = 60_000;
/** The tables are made when the first process connects. */
const LONGEST_PREPARATION_MS = 60_000;

/**
 * Options of each connection. BullMQ's tables are in its own schema. A commit need not wait for the disk: what an engine
 * loses when it crashes is sent again.
 */
const OPTIONS = "-c search_path=bullmq -c synchronous_commit=off";

export async function connectPostgres(url: QueueUrl, { reads, queries }: EngineUse): Promise<Engine> {
  const [bullmq, { default: pg }] = await loadOptional(
    "PostgreSQL",
    ["bullmq", "pg"],
    async () => await Promise.all([import("bullmq"), import("pg")]),
  );
  const { Queue, Worker } = bullmq;
  // BullMQ's types name the backend in each queue; at run time, all backends are alike.
  const preparing = bullmq.createPostgresBackend as unknown as BackendFactory & undefined;
  const backend = preparedBackend(bullmq) as unknown as BackendFactory & undefined;
  const prepared = () =>
    prepare(url, () => {
      const own = { connectionString: url.href, max: 1, migrate: true, connectionTimeoutMillis: START_PATIENCE_MS };
      return new Queue("datagen", { connection: { ...own, onConnect }, skipMetasUpdate: true }, preparing);
    });
  await prepared();
  const pool = new pg.Pool({
    connectionString: url.href,
    // Each queue that is read has a connection of its own, which listens.
    max: queries + reads,
    keepAlive: true,
    connectionTimeoutMillis: LONGEST_QUERY_MS,
    query_timeout: LONGEST_QUERY_MS,
    options: OPTIONS,
    onConnect,
  });
  pool.on("error", () => {});
  tellAway(pool, prepared);
  const Reader = readerOf(Worker);
  const readers = new Readers();
  const connection = pool as unknown as ConnectionOptions;
  const engine: Engine = {
    url,
    queue: (name) => quietly(new Queue(name, { connection, ...FEW_EVENTS }, backend)),
    worker: (name, perform, options) =>
      readers.keep(new Reader(name, perform, { ...options, connection }, backend), () =>
        removeUnreadable(engine, name),
      ),
    async unlock(queue, id) {
      await pool.query("update job set locked_until_ms = 0 where queue = $1 and id = $2", [queue, id]);
    },
    async drop(name) {
      const queue = engine.queue(name);
      // BullMQ has written what it notes of each queue that is opened.
      await queue.getVersion();
      await queue.obliterate({ force: true });
    },
    async close() {
      await readers.abandonAll();
      await pool.end();
    },
  };
  return engine;
}

/**
 * BullMQ's backend, for tables that are there. BullMQ looks for them once for each queue, and a queue for which that look
 * fails would fail for good; so a queue must not be lost that is made while the engine is away, or has just lost all.
 */
function preparedBackend({ PostgresConnection, PostgresQueueBackend }: typeof BullMq): typeof createPostgresBackend {
  class PreparedConnection extends PostgresConnection {
    override waitUntilReady(): Promise<void> {
      return Promise.resolve();
    }
  }
  return (name, options) => {
    const connection = new PreparedConnection(options.connection);
    return new PostgresQueueBackend(connection, name, options);
  };
}

/** A connection that ends while BullMQ has it, and does not listen for its errors, must not end the process. */
function onConnect(client: ClientBase): void {
  quietly(client);
}

/** Makes BullMQ's tables, or brings them up to date, and waits for them. */
async function prepare(url: QueueUrl, connect: () => BullQueue): Promise<void> {
  const queue = quietly(connect());
  try {
    await within(LONGEST_PREPARATION_MS, queue.waitUntilReady());
  } catch (error) {
    throw REFUSALS.test(errorCode(error) ?? "") ? refused(url, error) : away(url, error);
  } finally {
    await queue.close().catch(() => {});
  }
}

/** Classes of errors that say that the server ends, starts, has no room, or does not let anybody in. */
const AWAY = /^(08|28|3D|53|57)/;
/** There is no schema, function or table: the server was restarted empty. */
const EMPTY = /^(3F000|42883|42P01)$/;
const SQLSTATE = /^[0-9A-Z]{5}$/;

/**
 * BullMQ waits before it tries again only after a refused connection, and else at once, without end. So every failure of
 * the connection gets the code of a refused one.
 */
function tellAway(pool: PgPool, prepareAgain: () => Promise<void>): void {
  const query = pool.query.bind(pool) as (...values: unknown[]) => Promise<unknown>;
  let preparing: Promise<void> | undefined;
  const telling = async (...values: unknown[]) => {
    try {
      return await query(...values);
    } catch (error) {
      const code = errorCode(error) ?? "";
      if (EMPTY.test(code)) {
        preparing ??= prepareAgain()
          .catch(() => {})
          .finally(() => (preparing = undefined));
        await preparing;
      } else if (SQLSTATE.test(code) && !AWAY.test(code)) throw error;
      throw Object.assign(new Error(errorMessage(error), { cause: error }), { code: "ECONNREFUSED" });
    }
  };
  pool.query = telling as unknown as PgPool["query"];
}
