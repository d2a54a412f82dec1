import { once } from "node:events";
import { statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Hono } from "hono";
import { expect, test, vi } from "vitest";
import type { RunSummary } from "../src/index.ts";
import { eventsOf } from "../src/view/events.ts";
import type { Distributions, GridRow, Matches } from "../src/view/rows.ts";
import { rows, startDatagen } from "./support/harness.ts";
import { DATABASE, openLab, PLAIN } from "./support/lab.ts";
import { openView, sendRaw, type View } from "./support/view.ts";

const openViewOf = (lab: Awaited<ReturnType<typeof openLab>>) => openView(lab.start("view", "--json"));

/** A stream of the totals of a run. */
interface Stream extends Disposable {
  /** What came so far. */
  readonly summaries: RunSummary[];
  /** Everything that came so far, with its head. */
  readonly text: string;
  readonly ended: Promise<unknown>;
  readonly socket: Socket;
}

async function watch(view: View, run: string): Promise<Stream> {
  const socket = connect(view.port, "127.0.0.1");
  await once(socket, "connect");
  const ended = once(socket, "close");
  let text = "";
  socket.setEncoding("utf8").on("data", (piece: string) => (text += piece));
  socket.on("error", () => {});
  const head = [
    `GET ${view.dataPath}/runs/${run}/events HTTP/1.1`,
    `Host: 127.0.0.1:${view.port}`,
    `Cookie: ${view.cookie}`,
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  return {
    get summaries() {
      return [...text.matchAll(/^data: (.*)$/gm)].map(([, json]) => JSON.parse(json!) as RunSummary);
    },
    get text() {
      return text;
    },
    ended,
    socket,
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** The id of the only run, once it is planned. */
async function runIn(view: View): Promise<string> {
  let id: string | undefined;
  await expect
    .poll(async () => (id = (await view.get<RunSummary[]>("runs")).body[0]?.id), { timeout: 20_000 })
    .toBeTypeOf("string");
  return id!;
}

test("a watched run tells its totals while it goes on, and its end", async () => {
  await using lab = await openLab({
    config: { api_provider: "openai", agent_perspectives: [PLAIN] },
    data: rows(30),
    server: { latency: 150 },
  });
  await using run = startDatagen(["run", "config.json", "--no-export", "--concurrency", "1"], lab.spawned);
  await run.waitFor(/Run \w{8}/);
  await expect.poll(() => lab.server.served.answers, { timeout: 20_000 }).toBeGreaterThan(0);
  await using view = await openViewOf(lab);
  using stream = await watch(view, await runIn(view));
  expect((await run.done).code).toBe(0);
  await expect.poll(() => stream.summaries.at(-1)?.status, { timeout: 20_000 }).toBe("completed");
  const { summaries } = stream;
  expect(stream.text).toMatch(/content-type: text\/event-stream/i);
  expect(summaries[0]).toMatchObject({ status: "running" });
  const done = summaries.map(({ calls }) => calls.succeeded);
  expect(new Set(done).size).toBeGreaterThan(2);
  expect(done).toEqual(done.toSorted((a, b) => a - b));
  expect(done.at(-1)).toBe(30);
  const { body } = await view.get<RunSummary[]>("runs");
  expect(summaries.at(-1)).toEqual(body[0]);
});

test("a run whose process is killed is shown as interrupted, though nothing is written", async () => {
  await using lab = await openLab({
    config: { agent_perspectives: [PLAIN] },
    data: rows(3),
    server: { behave: () => ({ kind: "hang" }) },
  });
  await using run = startDatagen(["run", "config.json", "--no-export"], lab.spawned);
  await expect.poll(() => lab.server.requests.length, { timeout: 20_000 }).toBe(3);
  await using view = await openViewOf(lab);
  using stream = await watch(view, await runIn(view));
  await expect.poll(() => stream.summaries.at(-1)?.status, { timeout: 20_000 }).toBe("running");
  run.kill();
  await expect.poll(() => stream.summaries.at(-1)?.status, { timeout: 20_000 }).toBe("interrupted");
});

test("a stream without changes shows that it is open, and begins and ends with its watcher", async () => {
  vi.useFakeTimers();
  try {
    let watched = 0;
    const events = eventsOf(() => {
      watched += 1;
      return () => (watched -= 1);
    });
    const { body } = await new Hono().get("/", (c) => events(c, "7g4k")).request("/");
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    const first = reader.read();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await first).toEqual({ value: ":\n\n", done: false });
    expect(watched).toBe(1);
    await reader.cancel();
    await vi.advanceTimersByTimeAsync(0);
    expect(watched).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test("streams end with their run, their page and their server; there are at most 20 at once", async () => {
  await using lab = await openLab({ config: { api_provider: "offline", agent_perspectives: [PLAIN] } });
  const run = (await lab.runConfig()).run!.id;
  await using view = await openViewOf(lab);
  const streams = await Promise.all(rows(20).map(() => watch(view, run)));
  for (const stream of streams) await expect.poll(() => stream.summaries).toHaveLength(1);
  const another = () =>
    sendRaw(view.port, [`GET ${view.dataPath}/runs/${run}/events HTTP/1.1`, `Cookie: ${view.cookie}`]);
  expect(await another()).toMatchObject({ status: 503, body: expect.stringContaining("20 pages") as string });
  expect((await view.get("runs")).status).toBe(200);
  streams.pop()![Symbol.dispose]();
  await expect
    .poll(
      async () => {
        using stream = await watch(view, run);
        await expect.poll(() => stream.text).toContain("HTTP/1.1");
        return stream.text.slice(0, 12);
      },
      { timeout: 20_000 },
    )
    .toBe("HTTP/1.1 200");
  expect((await lab.datagen("runs", "delete", run, "--yes")).code).toBe(0);
  await Promise.all(
    streams.map(({ socket }) =>
      expect.poll(() => socket.readableEnded || socket.closed, { timeout: 20_000 }).toBe(true),
    ),
  );
  for (const stream of streams) stream[Symbol.dispose]();

  const other = (await lab.runConfig()).run!.id;
  using last = await watch(view, other);
  await expect.poll(() => last.summaries).toHaveLength(1);
  view.running.kill("SIGINT");
  expect((await view.running.done).code).toBe(0);
  await last.ended;
  expect(view.running.stdout).toBe(`${JSON.stringify({ url: view.url }, null, 2)}\n`);
  expect(view.running.stderr).toMatch(/^Serving on .*\n$/);
});

test("answers that nobody reads take little memory, and make room again", async () => {
  const answer = "long ".repeat(200_000);
  const perspectives = Array.from({ length: 7 }, (_, at) => ({
    condition: `Long ${at}`,
    reading: null,
    strategy: `Write ${at}.`,
  }));
  await using lab = await openLab({
    config: { agent_perspectives: perspectives },
    server: { behave: () => ({ kind: "text", text: answer }) },
  });
  const run = (await lab.runConfig()).run!.id;
  await using view = await openView(lab.start("view", "--json"));
  const path = `runs/${run}/rows/0`;
  const lines = [`GET ${view.dataPath}/${path} HTTP/1.1`, `Host: 127.0.0.1:${view.port}`, `Cookie: ${view.cookie}`];
  const sockets = Array.from({ length: 40 }, () => connect(view.port, "127.0.0.1").pause());
  for (const socket of sockets) socket.on("error", () => {}).write(`${lines.join("\r\n")}\r\n\r\n`);
  // It is asked after them all, and questions are answered in their order.
  expect((await view.get<{ error: object }>(path)).body).toMatchObject({
    error: { message: "too many answers have not been read" },
  });
  for (const socket of sockets) socket.destroy();
  await expect.poll(async () => (await view.get(path)).status, { timeout: 30_000, interval: 200 }).toBe(200);
});

test("the log of a run does not grow while its page asks for everything", async () => {
  const text = "x".repeat(1_000_000);
  await using lab = await openLab({
    config: { agent_perspectives: [PLAIN, { ...PLAIN, condition: "Second", strategy: "Translate." }] },
    data: rows(45),
    server: { behave: () => ({ kind: "text", text }), latency: 30 },
  });
  await using run = startDatagen(["run", "config.json", "--no-export", "--concurrency", "2"], {
    ...lab.spawned,
    timeoutMs: 110_000,
  });
  await expect.poll(() => lab.server.served.answers, { timeout: 30_000 }).toBeGreaterThan(1);
  await using view = await openViewOf(lab);
  const id = await runIn(view);
  using stream = await watch(view, id);
  const controller = new AbortController();
  let [largest, asked] = [0, 0];
  const asking = (async () => {
    while (!controller.signal.aborted) {
      for (const path of ["rows", "matches?text=y", "distributions", "rows/0/cells/0/1"]) {
        const { status } = await view.get<GridRow[] | Matches | Distributions>(`runs/${id}/${path}`);
        expect(status).toBe(200);
        asked += 1;
        largest = Math.max(largest, statSync(lab.space.at(`${DATABASE}-wal`), { throwIfNoEntry: false })?.size ?? 0);
      }
    }
  })();
  expect((await run.done).code, run.stderr).toBe(0);
  controller.abort();
  await asking;
  // All answers together take 90 MB. A checkpoint is due at 16 MB, and comes late where the machine is busy.
  expect(largest).toBeLessThan(75 * 1024 * 1024);
  expect(asked).toBeGreaterThan(10);
  expect(stream.summaries.length).toBeGreaterThan(1);
}, 120_000);
