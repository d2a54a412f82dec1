import { statSync } from "node:fs";
import { expect, test } from "vitest";
import { configFor, datagen, environmentFor, openDatabase, rows, startDatagen, workspace } from "./support/harness.ts";
import { startServer } from "./support/server.ts";

const DB = "data/datagen.db";

async function prepared(inputs: number) {
  const space = await workspace();
  await space.write("rows.json", rows(inputs));
  const perspectives = [{ condition: "Plain", reading: null, strategy: "Translate the German text into English." }];
  await space.write("config.json", configFor({ agent_perspectives: perspectives }));
  return space;
}

/** A program that keeps on seeing the database as it is now. */
function startReading(path: string) {
  const database = openDatabase(path);
  database.exec("begin");
  database.prepare("select count(*) from runs").get();
  return database;
}

test("the log grows by less than 40 kB a call while another program reads, and is cut once that is done", async () => {
  await using space = await prepared(60);
  await using server = await startServer({ behave: () => ({ kind: "text", text: "word ".repeat(400) }), latency: 20 });
  // One at a time, each call has its commits to itself.
  await using run = startDatagen(["run", "config.json", "--no-export", "--concurrency", "1"], {
    cwd: space.path,
    env: environmentFor(server),
  });
  await expect.poll(() => server.served.answers, { timeout: 20_000, interval: 5 }).toBeGreaterThan(5);
  const size = () => statSync(space.at(`${DB}-wal`)).size;
  const reader = startReading(space.at(DB));
  const [calls, bytes] = [server.served.answers, size()];
  expect((await run.done).code).toBe(0);
  const perCall = (size() - bytes) / (server.served.answers - calls);
  expect(perCall).toBeGreaterThan(1_000);
  expect(perCall).toBeLessThan(40_000);
  reader.close();
  expect((await datagen(["runs", "list"], { cwd: space.path })).code).toBe(0);
  expect(statSync(space.at(`${DB}-wal`), { throwIfNoEntry: false })?.size ?? 0).toBe(0);
});

test("a run warns once that another program prevents checkpoints, with the size of the log and what to do", async () => {
  await using space = await prepared(24);
  const text = "x".repeat(4_000_000);
  await using server = await startServer({
    behave: () => ({ kind: "text", text }),
    latency: ({ index }) => (index < 20 ? 0 : 6_000),
  });
  await using run = startDatagen(["run", "config.json", "--no-export", "--concurrency", "4"], {
    cwd: space.path,
    env: environmentFor(server),
  });
  await expect.poll(() => server.requests.length, { timeout: 20_000, interval: 5 }).toBeGreaterThan(0);
  const reader = startReading(space.at(DB));
  const { code, stderr } = await run.done;
  expect(code, stderr).toBe(0);
  expect(stderr.match(/datagen\.db-wal takes \d{2,3} MB and grows, .*\bEnd that program's work/g)).toHaveLength(1);
  reader.close();
}, 90_000);
