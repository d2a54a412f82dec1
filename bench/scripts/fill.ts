// Answers the calls of the runs in a database by SQL, in a few seconds, as if a server had. Leaves the last calls open.
// With `varied`, answers are of many different words, and the latencies differ.
import Database from "better-sqlite3";
import { answerOf } from "../workload.ts";

const [database = "", left, style] = process.argv.slice(2);
const isVaried = style === "varied";
const ANSWER_BYTES = 200;

const db = new Database(database);
db.pragma("cache_size = -64000");
db.function("varied", { deterministic: true }, (id) => answerOf(Number(id)));
const text = isVaried ? "varied(c.id)" : `substr('answer ' || c.id || ' ' || @filler, 1, ${ANSWER_BYTES})`;
const latency = isVaried ? "200 + c.id * 7919 % 9973" : "50";
const run = db.transaction((runId: number) => {
  const last = db.prepare<[number, number], number>(
    "select id from calls where run_id = ? order by id desc limit 1 offset ?",
  );
  const to = last.pluck().get(runId, Number(left));
  if (to === undefined) return;
  const of = { runId, to, filler: "word ".repeat(ANSWER_BYTES / 5) };
  // Answers get the ids of their calls, so that they have the order in which they would have arrived.
  const written = db
    .prepare(
      `insert into answers (id, key, settings_id, origin, text, finish_reason, served_model, created_at, prompt_tokens, completion_tokens)
       select c.id, 's256:' || lower(hex(randomblob(32))), r.settings_id, 'live', ${text},
              'stop', 'gpt-4o-mini-2024-07-18', r.created_at, 120, 40
         from calls c join runs r on r.id = c.run_id where c.run_id = @runId and c.id <= @to and c.state = 'pending' order by c.id`,
    )
    .run(of);
  db.prepare(
    `insert into attempts (call_id, started_at, duration_ms, outcome, decision, http_status, request_id, cost_nano_usd, prompt_tokens, completion_tokens)
     select c.id, r.created_at, ${latency}, 'succeeded', 'kept', 200, 'req_' || lower(hex(randomblob(16))), 42000, 120, 40
       from calls c join runs r on r.id = c.run_id where c.run_id = @runId and c.id <= @to and c.state = 'pending' order by c.id`,
  ).run(of);
  db.prepare(
    "update calls set state = 'succeeded', answer_id = id where run_id = @runId and id <= @to and state = 'pending'",
  ).run(of);
  db.prepare(
    `update runs set calls_succeeded = calls_succeeded + @n, attempts = attempts + @n,
            cost_nano_usd = cost_nano_usd + 42000 * @n, prompt_tokens = prompt_tokens + 120 * @n,
            completion_tokens = completion_tokens + 40 * @n,
            finished_at = iif(calls_total = calls_succeeded + @n, created_at, null) where id = @runId`,
  ).run({ runId, n: written.changes });
});
for (const id of db.prepare<[], number>("select id from runs").pluck().all()) run(id);
db.pragma("wal_checkpoint(TRUNCATE)");
db.close();
