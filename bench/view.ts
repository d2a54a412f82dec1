import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { fill, plan, removeDatabase, type Workload } from "./databases.ts";
import { DATAGEN, Folder, median, run, type Server } from "./lab.ts";
import { milliseconds, type Row, seconds } from "./table.ts";
import { PERSPECTIVES, SLOW } from "./workload.ts";

const LARGE: Workload = { name: "large", inputs: Math.ceil(1_000_000 / PERSPECTIVES) };
const SMALL: Workload = { name: "small", inputs: Math.ceil(1_000 / PERSPECTIVES) };
/** The run beside which the page is open. */
const LIVE: Workload = { name: "live", inputs: 200 };
const ROUNDS = 5;
/** As many rows as a window shows, and some below. Both runs have them. */
const ROWS = 30;
const MOST_MB = 250;

/** The page's server at a million calls: its first rows, a filter, its memory, and what it costs a run beside it. */
export async function measureView(server: Server): Promise<Row[]> {
  using folder = new Folder();
  for (const workload of [LARGE, SMALL]) {
    await plan(folder, server, workload, `${workload.name}.db`);
    await fill(folder, `${workload.name}.db`, 0);
  }
  failLast(folder.at("large.db"));
  const first: { large: number; small: number; failed: number; text: number; all: number; peakMb: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await using small = await Viewer.open(folder, "small.db");
    await using large = await Viewer.open(folder, "large.db");
    first.push({
      small: await small.timeOf(["", `/rows?count=${ROWS}`]),
      large: await large.timeOf(["", `/rows?count=${ROWS}`]),
      failed: await large.timeOfMatches("state=failed"),
      // One answer in a thousand has it.
      text: await large.timeOfMatches("text=777%20word"),
      all: await large.timeOfAll("distributions"),
      peakMb: await large.end(),
    });
  }
  const of = (name: keyof (typeof first)[number]) => median(first.map((round) => round[name]));
  const calls = "1,000,000 calls";
  return [
    {
      what: `view at ${calls}: a run and its first ${ROWS} rows`,
      datagen: milliseconds(of("large")),
      other: `at 1,000 calls: ${milliseconds(of("small"))}`,
      ratio: { value: of("large") / of("small"), atMost: 2 },
    },
    matchRow(`first matches of a filter: the only failed call`, of("failed")),
    matchRow(`first matches of a filter: a text that one answer in 1,000 has`, of("text")),
    { what: "the same: all histograms", datagen: seconds(of("all")), other: "", ratio: null },
    {
      what: "the same: memory of the server",
      datagen: `${of("peakMb").toFixed(0)} MB`,
      other: `${MOST_MB} MB`,
      ratio: { value: of("peakMb") / MOST_MB, atMost: 1 },
    },
    ...(await liveRows(folder, server)),
  ];
}

function matchRow(what: string, ms: number): Row {
  return {
    what: `the same: ${what}`,
    datagen: milliseconds(ms),
    other: "1 s",
    ratio: { value: ms / 1_000, atMost: 1 },
  };
}

/** Lets the last call of the only run fail. */
function failLast(database: string): void {
  const db = new Database(database);
  db.exec(`update calls set state = 'failed', answer_id = null, failure = 'other' where id = (select max(id) from calls);
    update runs set calls_succeeded = calls_succeeded - 1, calls_failed = 1`);
  db.close();
}

/** A run with and without a page beside it, which follows the totals and asks for rows and a cell every second. */
async function liveRows(folder: Folder, server: Server): Promise<Row[]> {
  async function timed(withPage: boolean): Promise<{ ms: number; cpuMs: number }> {
    removeDatabase(folder, "live.db");
    await plan(folder, server, LIVE, "live.db");
    await server.behave(SLOW);
    const viewer = withPage ? await Viewer.open(folder, "live.db") : null;
    const stop = viewer?.follow();
    const args = ["resume", "latest", "--no-export", "--db", folder.at("live.db"), "--concurrency", "64"];
    const { cpuMs } = await run([DATAGEN, ...args], {
      cwd: folder.path,
      env: { OPENAI_API_KEY: "none" },
      withUsage: true,
    });
    await stop?.();
    await viewer?.end();
    const { firstAt, lastAt } = await server.seen();
    return { ms: lastAt - firstAt, cpuMs };
  }
  const rounds: Record<"alone" | "watched", { ms: number; cpuMs: number }>[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.push({ alone: await timed(false), watched: await timed(true) });
  }
  const compared = (what: string, of: "ms" | "cpuMs"): Row => ({
    what,
    datagen: seconds(median(rounds.map(({ watched }) => watched[of]))),
    other: `alone: ${seconds(median(rounds.map(({ alone }) => alone[of])))}`,
    ratio: { value: median(rounds.map(({ alone, watched }) => watched[of] / alone[of])), atMost: 1.08 },
  });
  const calls = (LIVE.inputs * PERSPECTIVES).toLocaleString("en");
  return [
    compared(`a run of ${calls} calls, ${SLOW.latencyMs} ms latency, with its page beside it: time`, "ms"),
    compared("the same: CPU time of the run", "cpuMs"),
  ];
}

/** The page's server on a database with one run, and a client without a page. */
class Viewer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #usage: string;
  readonly #origin: string;
  readonly #cookie: string;
  /** The path of the run. */
  #run = "";

  private constructor(child: ChildProcess, usage: string, origin: string, cookie: string) {
    this.#child = child;
    this.#usage = usage;
    this.#origin = origin;
    this.#cookie = cookie;
  }

  static async open(folder: Folder, database: string): Promise<Viewer> {
    const usage = folder.at(`${database}.usage.json`);
    const preload = ["--import", join(import.meta.dirname, "usage.js")];
    const child = spawn(process.execPath, [...preload, DATAGEN, "view", "--json", "--db", folder.at(database)], {
      cwd: folder.path,
      env: { PATH: process.env["PATH"], HOME: folder.path, DATAGEN_BENCH_USAGE: usage },
      stdio: ["ignore", "pipe", "ignore"],
    });
    let stdout = "";
    for await (const piece of child.stdout.setEncoding("utf8")) {
      stdout += String(piece);
      if (stdout.includes("}")) break;
    }
    const { origin, hash } = new URL((JSON.parse(stdout) as { url: string }).url);
    const response = await fetch(`${origin}/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: new URLSearchParams(hash.slice(1)).get("token") }),
    });
    const cookie = response.headers.get("set-cookie")?.split(";")[0] ?? "";
    const { path } = (await response.json()) as { path: string };
    const viewer = new Viewer(child, usage, origin, cookie);
    const [first] = await viewer.#get<{ id: string }[]>(`${path}/runs`);
    viewer.#run = `${path}/runs/${first?.id}`;
    return viewer;
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(this.#origin + path, { headers: { cookie: this.#cookie } });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** How long some requests about the run take, one after the other, in milliseconds. */
  async timeOf(paths: readonly string[]): Promise<number> {
    const start = performance.now();
    for (const path of paths) await this.#get(this.#run + path);
    return performance.now() - start;
  }

  /** How long it takes until a filter has found something, in milliseconds. */
  async timeOfMatches(filter: string): Promise<number> {
    const start = performance.now();
    for (let after: number | null = -1; after !== null;) {
      type Matches = { rows: object[]; next: number | null };
      const { rows, next }: Matches = await this.#get<Matches>(`${this.#run}/matches?${filter}&after=${after}`);
      if (rows.length > 0) return performance.now() - start;
      after = next;
    }
    throw new Error(`nothing matches ${filter}`);
  }

  /** How long a question about all inputs takes, slice by slice, in milliseconds. */
  async timeOfAll(question: string): Promise<number> {
    const start = performance.now();
    for (let after: number | null = -1; after !== null;) {
      type Slice = { next: number | null };
      ({ next: after } = await this.#get<Slice>(`${this.#run}/${question}?after=${after}`));
    }
    return performance.now() - start;
  }

  /** Asks what a page asks while a run goes on. @returns what ends it */
  follow(): () => Promise<void> {
    const stream = get(`${this.#origin}${this.#run}/events`, { headers: { cookie: this.#cookie } });
    stream.on("response", (response) => response.resume()).on("error", () => {});
    const controller = new AbortController();
    const asking = (async () => {
      while (!controller.signal.aborted) {
        await this.timeOf([`/rows?count=${ROWS}`, "/rows/0/cells/0/1"]);
        await sleep(1_000, undefined, { signal: controller.signal }).catch(() => {});
      }
    })();
    return async () => {
      controller.abort();
      stream.destroy();
      await asking;
    };
  }

  /** Ends the server. @returns its peak memory in MB */
  async end(): Promise<number> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGINT");
    await closed;
    return (JSON.parse(readFileSync(this.#usage, "utf8")) as { peakMb: number }).peakMb;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) await this.end();
  }
}
