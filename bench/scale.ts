import { constants, copyFileSync, rmSync, statSync } from "node:fs";
import { fill, plan, removeDatabase, script } from "./databases.ts";
import { DATAGEN, Folder, median, type Run, run, type RunOptions, type Server } from "./lab.ts";
import { megabytes, milliseconds, type Row, seconds } from "./table.ts";
import { PERSPECTIVES } from "./workload.ts";

/** The calls of the large run, and of the smaller runs whose memory it is compared to. */
const CALLS = { large: 1_000_000, medium: 100_000, small: 10_000 };
const INPUTS = {
  large: Math.ceil(CALLS.large / PERSPECTIVES),
  medium: Math.ceil(CALLS.medium / PERSPECTIVES),
  small: Math.ceil(CALLS.small / PERSPECTIVES),
};
/** The calls that are left when a run is resumed near its end. */
const LEFT = 1_000;
const RUNS = 50;
const ROUNDS = 3;
/** The exit code of a run that stops because its key is refused. */
const STOPPED = 3;

type Size = keyof typeof INPUTS;

/** The peak memory of a command at the large size, and at a smaller one. */
interface Memory {
  large: number;
  other: number;
  otherSize: "medium" | "small";
}

/** Time and memory of a run of a million calls: to plan, resume, list, export, compare, merge, check and compact it. */
export async function measureScale(server: Server): Promise<Row[]> {
  using folder = new Folder();
  const scale = new Scale(folder, server);
  const planned = await scale.plan();
  const listed = await scale.list();
  const resumed = await scale.resume();
  const exported = await scale.export();
  const kept = await scale.keep();
  return [...planned, ...resumed, ...listed, ...exported, ...kept];
}

class Scale {
  readonly #folder: Folder;
  readonly #server: Server;

  constructor(folder: Folder, server: Server) {
    this.#folder = folder;
    this.#server = server;
  }

  /** Leaves `large.db` and `small.db`, planned. */
  async plan(): Promise<Row[]> {
    const times: { datagen: number; floor: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      this.#remove("large.db");
      const { ms } = JSON.parse((await this.#planned("large.db", "large")).stdout) as { ms: number };
      this.#remove("raw.db");
      const floor = await this.#run([
        script("floors/insert.ts"),
        this.#at("large.db"),
        this.#at("raw.db"),
        String(INPUTS.large),
      ]);
      times.push({ datagen: ms, floor: (JSON.parse(floor.stdout) as { ms: number }).ms });
    }
    this.#remove("raw.db");
    await this.#planned("small.db", "small");
    await this.#server.behave({ latencyMs: 0, answerBytes: 200, isRefusing: true });
    const memory = await this.#memory(async (size) => {
      this.#remove("refused.db");
      return await this.#run(
        [DATAGEN, "run", this.#at(`${size}.json`), "--no-export", "--db", this.#at("refused.db")],
        {
          env: { OPENAI_API_KEY: "none", OPENAI_BASE_URL: this.#server.url },
          codes: [STOPPED],
          withUsage: true,
        },
      );
    });
    this.#remove("refused.db");
    return [
      {
        what: "planning 1,000,000 calls",
        datagen: seconds(median(times.map(({ datagen }) => datagen))),
        other: `better-sqlite3, inserting the same rows: ${seconds(median(times.map(({ floor }) => floor)))}`,
        ratio: { value: median(times.map(({ datagen, floor }) => datagen / floor)), atMost: 1.5 },
      },
      ...memoryRows("estimating and planning", memory),
    ];
  }

  /** Needs the planned databases. Fills them, except for the last calls. */
  async resume(): Promise<Row[]> {
    await this.#planned("tiny.db", "small", Math.ceil(LEFT / PERSPECTIVES));
    await this.#fill("large.db", LEFT);
    await this.#fill("small.db", LEFT);
    await this.#server.behave({ latencyMs: 0, answerBytes: 200 });
    // The pages of a new copy are in memory, like those of any file that was just written.
    const first: { large: number; tiny: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      first.push({ large: await this.#firstRequest("large.db"), tiny: await this.#firstRequest("tiny.db") });
    }
    const memory = await this.#memory((size) => this.#resumed(`${size}.db`));
    return [
      {
        what: `resume with 1,000,000 rows, ${LEFT.toLocaleString("en")} calls left: until the first request`,
        datagen: seconds(median(first.map(({ large }) => large))),
        other: `the same with ${LEFT.toLocaleString("en")} rows, all left: ${seconds(median(first.map(({ tiny }) => tiny)))}`,
        ratio: { value: median(first.map(({ large, tiny }) => large / tiny)), atMost: 2 },
      },
      ...memoryRows("executing, resumed near the end", memory),
    ];
  }

  /** Creates its own databases. */
  async list(): Promise<Row[]> {
    for (const size of ["large", "small"] as const) {
      const inputs = Math.ceil(INPUTS[size] / RUNS);
      for (let at = 0; at < RUNS; at += 1) await this.#planned(`${size}-runs.db`, size, inputs);
      await this.#fill(`${size}-runs.db`, 0);
    }
    const list = () => this.#run([DATAGEN, "runs", "list", "--db", this.#at("large-runs.db")]);
    const times: { list: number; version: number }[] = [];
    for (let round = 0; round < ROUNDS * 5; round += 1) {
      const version = await this.#run([DATAGEN, "--version"]);
      times.push({ list: (await list()).wallMs, version: version.wallMs });
    }
    const memory = await this.#memory((size) =>
      this.#run([DATAGEN, "runs", "list", "--db", this.#at(`${size}-runs.db`)], { withUsage: true }),
    );
    this.#remove("large-runs.db");
    return [
      {
        what: `runs list with 1,000,000 calls in ${RUNS} runs`,
        datagen: milliseconds(median(times.map((row) => row.list))),
        other: `datagen --version: ${milliseconds(median(times.map(({ version }) => version)))}`,
        ratio: { value: median(times.map((row) => row.list)) / median(times.map(({ version }) => version)), atMost: 2 },
      },
      ...memoryRows(`listing ${RUNS} runs`, memory),
    ];
  }

  /** Needs the filled databases. */
  async export(): Promise<Row[]> {
    await this.#fill("large.db", 0);
    await this.#fill("small.db", 0);
    const output = this.#at("dataset.json");
    const times: { datagen: number; floor: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { wallMs: datagen } = await this.#exported("large", output);
      rmSync(output);
      const { wallMs: floor } = await this.#run([script("floors/stringify.ts"), this.#at("large.db"), output]);
      rmSync(output);
      times.push({ datagen, floor });
    }
    const memory = await this.#memory((size) => this.#exported(size, output));
    return [
      {
        what: `exporting 1,000,000 calls to JSON (${megabytes(statSync(output).size)})`,
        datagen: seconds(median(times.map(({ datagen }) => datagen))),
        other: `iterating, JSON.stringify and writing: ${seconds(median(times.map(({ floor }) => floor)))}`,
        ratio: { value: median(times.map(({ datagen, floor }) => datagen / floor)), atMost: 1.3 },
      },
      ...memoryRows("exporting", memory),
    ];
  }

  /** Needs the filled databases, and changes them. */
  async keep(): Promise<Row[]> {
    await this.#planned("medium.db", "medium");
    await this.#fill("medium.db", 0);
    const using = (size: Size, ...args: string[]) =>
      this.#run([DATAGEN, ...args, "--db", this.#at(`${size}.db`)], { withUsage: true });
    // At 10,000 calls, SQLite's caches of the file and of temporary tables are not full.
    const checking = await this.#memory((size) => using(size, "db", "check"), "medium");
    const comparing = await this.#memory((size) => using(size, "diff", "latest", "latest"), "medium");
    const merging = await this.#memory(async (size) => {
      this.#remove("merged.db");
      return await this.#run([DATAGEN, "db", "merge", this.#at(`${size}.db`), "--db", this.#at("merged.db")], {
        withUsage: true,
      });
    }, "medium");
    this.#remove("merged.db");
    const compacting = await this.#memory((size) => using(size, "db", "compact"), "medium");
    return [
      ...memoryRows("checking", checking),
      ...memoryRows("comparing a run with itself", comparing),
      ...memoryRows("merging", merging),
      ...memoryRows("compacting", compacting),
    ];
  }

  async #memory(measure: (size: Size) => Promise<Run>, otherSize: Memory["otherSize"] = "small"): Promise<Memory> {
    const other = await measure(otherSize);
    const large = await measure("large");
    return { large: large.peakMb, other: other.peakMb, otherSize };
  }

  async #planned(database: string, size: Size, inputs = INPUTS[size]): Promise<Run> {
    return await plan(this.#folder, this.#server, { name: size, inputs: INPUTS[size] }, database, inputs);
  }

  async #fill(database: string, left: number): Promise<void> {
    await fill(this.#folder, database, left);
  }

  async #resumed(database: string): Promise<Run> {
    const copy = this.#at("copy.db");
    this.#remove("copy.db");
    copyFileSync(this.#at(database), copy, constants.COPYFILE_FICLONE);
    return await this.#run([DATAGEN, "resume", "latest", "--no-export", "--db", copy], {
      env: { OPENAI_API_KEY: "none" },
      withUsage: true,
    });
  }

  async #firstRequest(database: string): Promise<number> {
    await this.#server.behave({ latencyMs: 0, answerBytes: 200 });
    const { startedAt } = await this.#resumed(database);
    const { firstAt } = await this.#server.seen();
    return firstAt - startedAt;
  }

  async #exported(size: Size, output: string): Promise<Run> {
    const args = ["export", "latest", "--output", output, "--db", this.#at(`${size}.db`)];
    return await this.#run([DATAGEN, ...args], { withUsage: true });
  }

  async #run(args: readonly string[], options: Omit<RunOptions, "cwd"> = {}): Promise<Run> {
    return await run(args, { cwd: this.#folder.path, ...options });
  }

  #remove(database: string): void {
    removeDatabase(this.#folder, database);
  }

  #at(name: string): string {
    return this.#folder.at(name);
  }
}

/** The peak memory at a million calls, compared to that at fewer calls. */
function memoryRows(what: string, { large, other, otherSize }: Memory): Row[] {
  const datagen = `${large.toFixed(0)} MB`;
  return [
    {
      what: `memory at 1,000,000 calls: ${what}`,
      datagen,
      other: `at ${CALLS[otherSize].toLocaleString("en")} calls: ${other.toFixed(0)} MB`,
      ratio: { value: large / other, atMost: 1.3 },
    },
    { what: "of that", datagen, other: "250 MB", ratio: { value: large / 250, atMost: 1 } },
  ];
}
