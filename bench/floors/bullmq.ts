// A floor for the queue: jobs there and results back with BullMQ alone, as in a careful script. Nothing is sent to a server,
// and nothing is stored. Both sides are this script: `worker URL IN_FLIGHT`, and `coordinator URL IN_FLIGHT CALLS`, which
// prints how long it took.
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type BackendFactory, type ConnectionOptions, createPostgresBackend, Queue, Worker } from "bullmq";
import { Redis } from "ioredis";
import pLimit from "p-limit";
import pg from "pg";

const [role, url = "", inFlight, calls] = process.argv.slice(2);
const isRedis = url.startsWith("redis:");
const connection = (isRedis ? new Redis(url, { maxRetriesPerRequest: null }) : poolOf(url)) as ConnectionOptions;
// BullMQ's types name the backend in each queue; at run time, all backends are alike.
const backend = isRedis ? undefined : (createPostgresBackend as unknown as BackendFactory & undefined);
const REMOVED = { removeOnComplete: true, removeOnFail: true };
const READING = { connection, concurrency: Number(inFlight), removeOnComplete: { count: 0 } };
/** As long as the messages of the bench: a prompt of 350 characters with its settings, and an answer of 2,000. */
const [JOB, RESULT] = ["q".repeat(1_000), "a".repeat(2_900)];

const jobs = new Queue("floor-jobs", { connection }, backend);
const results = new Queue("floor-results", { connection }, backend);

if (role === "worker") {
  const worker = new Worker(
    jobs.name,
    async ({ id = "" }) => {
      await results.add("result", RESULT, { ...REMOVED, jobId: id });
    },
    READING,
    backend,
  );
  await worker.waitUntilReady();
  process.stderr.write("ready\n");
  await once(process, "SIGTERM");
  await worker.close();
  process.exit();
} else {
  const waiting = new Map<string, () => void>();
  const worker = new Worker(
    results.name,
    async ({ id = "" }) => {
      waiting.get(id)?.();
      await Promise.resolve();
    },
    READING,
    backend,
  );
  await worker.waitUntilReady();
  const startedAt = performance.now();
  const limit = pLimit(Number(inFlight));
  await Promise.all(
    Array.from({ length: Number(calls) }, () =>
      limit(async () => {
        const token = `t${randomBytes(16).toString("hex")}`;
        const result = new Promise<void>((resolve) => waiting.set(token, resolve));
        await jobs.add("job", JOB, { ...REMOVED, jobId: token });
        await result;
        waiting.delete(token);
      }),
    ),
  );
  process.stdout.write(JSON.stringify({ ms: performance.now() - startedAt }), () => process.exit());
}

function poolOf(connectionString: string): pg.Pool {
  return new pg.Pool({ connectionString, max: 5, options: "-c search_path=bullmq -c synchronous_commit=off" });
}
