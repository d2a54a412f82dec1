// A floor for planning: inserts the same rows with better-sqlite3, by prepared statements, 5,000 calls a transaction.
import { createHash } from "node:crypto";
import Database from "better-sqlite3";
import { inputs, PERSPECTIVES } from "../workload.ts";

const [like = "", database = "", inputCount] = process.argv.slice(2);
const CALLS_A_TRANSACTION = 5_000;

const model = new Database(like, { readonly: true });
const schema = model.prepare<[], string>("select sql from sqlite_schema where sql is not null").pluck().all();
const [runId, perspectiveIds] = [
  model.prepare<[], number>("select id from runs").pluck().get(),
  model.prepare<[], number>("select id from perspectives order by position").pluck().all(),
];
const pageSize = model.pragma("page_size", { simple: true }) as number;

const db = new Database(database);
db.pragma(`page_size = ${pageSize}`);
db.pragma("journal_mode = WAL");
db.pragma("synchronous = NORMAL");
for (const sql of schema) db.exec(sql);
for (const table of ["settings", "runs", "perspectives"]) {
  for (const row of model.prepare<[], object>(`select * from ${table}`).all()) {
    const columns = Object.keys(row);
    const places = columns.map((column) => `@${column}`).join();
    db.prepare(`insert into ${table} (${columns.join()}) values (${places})`).run(row);
  }
}
const text = db.prepare("insert into texts (hash, text) values (?, ?)");
const task = db.prepare("insert into tasks (run_id, position, input_id) values (?, ?, ?)");
const call = db.prepare(
  "insert into calls (run_id, task_id, perspective_id, step, replicate, state) values (?, ?, ?, 'strategy', 1, 'pending')",
);

const clock = performance.now();
const chunk: string[] = [];
let position = 0;
const write = db.transaction(() => {
  for (const input of chunk) {
    const hash = `s256:${createHash("sha256").update(input).digest("hex")}`;
    const { lastInsertRowid: textId } = text.run(hash, input);
    const { lastInsertRowid: taskId } = task.run(runId, position, textId);
    for (const perspectiveId of perspectiveIds) call.run(runId, taskId, perspectiveId);
    position += 1;
  }
});
for (const input of inputs(Number(inputCount))) {
  if (chunk.push(input) < CALLS_A_TRANSACTION / PERSPECTIVES) continue;
  write();
  chunk.length = 0;
}
write();
process.stdout.write(JSON.stringify({ ms: performance.now() - clock }));
