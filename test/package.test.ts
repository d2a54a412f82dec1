import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, stat, symlink } from "node:fs/promises";
import { delimiter, dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  configFor,
  datagen,
  environmentFor,
  expectedDataset,
  type Result,
  rows,
  type SpawnOptions,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { startServer } from "./support/server.ts";

const ROOT = resolve(import.meta.dirname, "..");

/** In bytes. It was 1.2 MB when the page of `datagen view` came. */
const MOST_PACKED = 1_500_000;

interface Manifest {
  name: string;
  version: string;
  bin: Record<string, string>;
  dependencies: Record<string, string>;
}

/** A project of a user's own, with the packed and unpacked package and what it depends on. */
let consumer: Workspace;
let manifest: Manifest;
/** The packed files, with their rights. */
let packed: Map<string, number>;
let packedBytes: number;

beforeAll(async () => {
  await using project = await workspace();
  for (const name of await readdir(ROOT)) {
    if (!["node_modules", ".git", "data"].includes(name)) {
      await cp(join(ROOT, name), project.at(name), { recursive: true });
    }
  }
  for (const name of await readdir(join(ROOT, "data"))) {
    if (name.endsWith(".json")) await cp(join(ROOT, "data", name), project.at(`data/${name}`));
  }
  // What lies about after a day of work.
  await project.write("data/agents/translation_model_20260101_000000.json", "{}");
  await project.write("data/datagen.db", "rows");
  await project.write(".env", "OPENAI_API_KEY=sk-secret");

  consumer = await workspace();
  const { status, stdout, stderr } = spawnSync(
    "npm",
    ["pack", "--ignore-scripts", "--json", "--pack-destination", consumer.path],
    { cwd: project.path, encoding: "utf8", env: { PATH: process.env["PATH"], HOME: project.path } },
  );
  expect(status, stderr).toBe(0);
  const told = JSON.parse(stdout) as object;
  const [tarball] = Object.values(told) as { filename: string; files: { path: string; mode: number }[] }[];
  packed = new Map(tarball!.files.map(({ path, mode }) => [path, mode]));

  const folder = consumer.at("node_modules/datagen");
  await mkdir(folder, { recursive: true });
  packedBytes = (await stat(consumer.at(tarball!.filename))).size;
  const untar = ["-xzf", consumer.at(tarball!.filename), "-C", folder, "--strip-components=1"];
  expect(spawnSync("tar", untar).status).toBe(0);
  manifest = await consumer.json<Manifest>("node_modules/datagen/package.json");
  for (const name of [...Object.keys(manifest.dependencies), "@types/node"]) {
    const link = consumer.at(`node_modules/${name}`);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), link);
  }
  await mkdir(consumer.at("node_modules/.bin"));
  await symlink(join("../datagen", manifest.bin["datagen"]!), consumer.at("node_modules/.bin/datagen"));
  await consumer.write("package.json", { name: "consumer", type: "module", private: true });
});

afterAll(() => consumer[Symbol.asyncDispose]());

/** Runs a module of the consumer's own in a folder below it, where the rows of `configFor` are. */
async function run(
  name: string,
  source: string,
  options: Omit<Partial<SpawnOptions>, "bin"> = {},
): Promise<Result & { cwd: string; at: (file: string) => string }> {
  const cwd = consumer.at(name);
  await consumer.write(`${name}/rows.json`, rows(6));
  const bin = await consumer.write(`${name}/main.mjs`, source);
  const result = await datagen([], { cwd, bin, ...options });
  return { ...result, cwd, at: (file) => join(cwd, file) };
}

async function jsonOf<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, "utf8")) as T;
}

describe("the packed package", () => {
  test("holds the build, migrations, configs, sample data and what is written about it, and nothing else", () => {
    const allowed = [
      /^dist\/(main|index|chunks\/[\w-]+)\.js$/,
      /^dist\/view\/((statistics-)?worker\.js|index\.html|app\.(js|css))$/,
      /^dist\/types\/[\w/-]+\.d\.ts$/,
      /^migrations\/\d{4}_\w+\.sql$/,
      /^migrations\/meta\/(_journal|\d{4}_snapshot)\.json$/,
      /^configs\/(translation|summarization|peer_review|schema)\.json$/,
      /^data\/(translation|summarization|peer_review)\.json$/,
      /^docs\/\w+\.(md|svg|png)$/,
      /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|CONTRIBUTING\.md)$/,
    ];
    const paths = [...packed.keys()];
    expect(paths.filter((path) => !allowed.some((pattern) => pattern.test(path)))).toEqual([]);
    for (const pattern of allowed) expect(paths.filter((path) => pattern.test(path))).not.toEqual([]);
    for (const path of [
      "dist/main.js",
      "dist/index.js",
      "dist/types/index.d.ts",
      "README.md",
      "LICENSE",
      "CHANGELOG.md",
    ]) {
      expect(paths).toContain(path);
    }
    for (const name of ["translation", "summarization", "peer_review"]) {
      expect(paths).toContain(`configs/${name}.json`);
      expect(paths).toContain(`data/${name}.json`);
    }
    expect(packed.get("dist/main.js")! & 0o111).toBe(0o111);
  });

  test("is small: the page and its picture are in it, but no source maps and no packages", () => {
    expect(packedBytes).toBeLessThan(MOST_PACKED);
  });

  test("has all migrations of the sources", async () => {
    const migrations = (await readdir(join(ROOT, "migrations"))).filter((name) => name.endsWith(".sql"));
    for (const name of migrations) expect(packed.has(`migrations/${name}`)).toBe(true);
  });

  test("runs its bin on another config, from the folder of a project", async () => {
    await cp(consumer.at("node_modules/datagen/configs"), consumer.at("bin/configs"), { recursive: true });
    await cp(consumer.at("node_modules/datagen/data"), consumer.at("bin/data"), { recursive: true });
    const type = (...args: string[]) =>
      spawnSync(consumer.at("node_modules/.bin/datagen"), args, {
        cwd: consumer.at("bin"),
        encoding: "utf8",
        env: {
          PATH: `${dirname(process.execPath)}${delimiter}${process.env["PATH"]}`,
          HOME: consumer.path,
          NO_COLOR: "1",
        },
      });
    expect(type("--version").stdout).toBe(`${manifest.version}\n`);
    const { status, stdout, stderr } = type("run", "configs/peer_review.json", "--provider", "offline", "--test");
    expect(status, stderr).toBe(0);
    const { agent_perspectives: perspectives, tasks } = await jsonOf<{
      agent_perspectives: object[];
      tasks: { responses: (string | null)[] }[];
    }>(consumer.at(join("bin", stdout.trim())));
    expect(tasks.length).toBeGreaterThan(0);
    for (const { responses } of tasks) {
      expect(responses).toHaveLength(perspectives.length);
      expect(responses).not.toContain(null);
    }
  });

  test("exports its library and its package.json, and no file beneath", async () => {
    const { stdout, code, stderr } = await run(
      "exports",
      `import * as library from "datagen";
       import manifest from "datagen/package.json" with { type: "json" };
       const inner = await import("datagen/dist/index.js").catch((error) => error.code);
       console.log(JSON.stringify([Object.keys(library), manifest.version, inner]));`,
    );
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toEqual([
      [
        "DataGenerationPipeline",
        "DatagenError",
        "DeclinedError",
        "InterruptedError",
        "StoppedError",
        "UsageError",
        "backUpDatabase",
        "cancelRun",
        "checkConfigs",
        "compactDatabase",
        "createExperiment",
        "createPilot",
        "createRun",
        "deleteRun",
        "deletedRuns",
        "diffRuns",
        "diffSeveralRuns",
        "estimateRun",
        "executeExperiment",
        "executeRun",
        "exportFolder",
        "exportRun",
        "findSuspects",
        "importDataset",
        "importScores",
        "listModels",
        "listRuns",
        "loadConfig",
        "loadConfigs",
        "mergeDatabase",
        "modelStatistics",
        "openStore",
        "parseConfig",
        "parseConfigs",
        "previewRun",
        "renderRun",
        "repriceRun",
        "runConfig",
        "runInputs",
        "runStatistics",
        "showAnswers",
        "showRun",
      ],
      manifest.version,
      "ERR_PACKAGE_PATH_NOT_EXPORTED",
    ]);
    const page = await readFile(join(ROOT, "docs/library.md"), "utf8");
    const [names] = JSON.parse(stdout) as [string[]];
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(page))).toEqual([]);
  });
});

describe("the types", () => {
  /** Type-checks a module of the consumer's own, strictly and with every declaration that it comes upon. */
  async function check(name: string, source: string, options: object = {}) {
    await consumer.write(`${name}/main.ts`, source);
    const project = await consumer.write(`${name}/tsconfig.json`, {
      compilerOptions: {
        module: "nodenext",
        target: "es2023",
        lib: ["es2023", "esnext.disposable"],
        types: ["node"],
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        noEmit: true,
        listFiles: true,
        ...options,
      },
      files: ["main.ts"],
    });
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", project], { encoding: "utf8" });
    const lines = stdout.split("\n");
    return {
      status,
      errors: lines.filter((line) => line.includes("error TS")),
      files: lines.filter((line) => /^\/.*\.d\.[cm]?ts$/.test(line)),
    };
  }

  const CONSUMER = `
    import type { Readable } from "node:stream";
    import {
      type CheckConfigOptions,
      checkConfigs,
      type CheckEvent,
      compactDatabase,
      type Compaction,
      type ConditionComparison,
      type ConditionDiff,
      type ConditionSide,
      type Config,
      type ConfigCheck,
      type ConfigDifference,
      type ConfigInput,
      type ConfigValues,
      createPilot,
      createRun,
      type CreateRunOptions,
      DataGenerationPipeline,
      DatagenError,
      deleteRun,
      type DifferentPair,
      type DifferentResponses,
      diffRuns,
      type DiffRunsOptions,
      diffSeveralRuns,
      type Environment,
      type Estimate,
      type EstimateOptions,
      estimateRun,
      type EstimateRunOptions,
      executeRun,
      type ExecuteRunOptions,
      exportRun,
      type ExportRunOptions,
      type Format,
      InterruptedError,
      listModels,
      type ListModelsOptions,
      listRuns,
      loadConfig,
      type LoneInputs,
      type ModelCheck,
      type ModelRow,
      type OnEvent,
      openStore,
      type Overrides,
      parseConfig,
      type PipelineOptions,
      renderRun,
      type RenderOptions,
      runConfig,
      type RunConfigOptions,
      type RunDetails,
      type RunDiff,
      type RunEvent,
      type RunFigures,
      type RunInputs,
      type RunSummary,
      type ServerCheck,
      showRun,
      StoppedError,
      type SeveralRunsDiff,
      type Store,
      UsageError,
    } from "datagen";

    const input: ConfigInput = {
      task_type: "translation",
      task_description: "German to English translation task",
      model_config: { model_name: "gpt-4o-mini", temperature: 0.7, stop: ["END"], extra_body: { top_k: 5 } },
      agent_perspectives: [{ condition: "Plain", strategy: "Translate." }, { condition: "Two", reading: null, strategy: "T" }],
      data_config: { input_data_path: "rows.json" },
    };
    const config: Config = parseConfig(input, "a test");
    const size: number = config.data_config.sample_size;
    const reading: string | null | undefined = config.agent_perspectives[0]?.reading;

    function say(event: RunEvent): string {
      switch (event.type) {
        case "created": {
          const estimate: Estimate = event.estimate;
          return event.id + event.provider + String(estimate.prompt_tokens.expected + estimate.calls.total);
        }
        case "counting":
          return String(event.inputs);
        case "warning":
          return event.message;
        case "started": {
          const run: RunSummary = event.run;
          return run.status;
        }
        case "retrying":
          return event.reason + String(event.delayMs);
        case "lost":
          return String(event.results);
        case "outage":
          return event.reason + event.message;
        case "server":
          return event.server + String(event.isAway) + event.message;
        case "waiting":
          return event.for + String(event.untilMs);
        case "batch":
        case "recovered":
          return event.type;
        case "stored": {
          const stored: number = event.delta.callsSucceeded + event.delta.promptTokens;
          return String(stored);
        }
        default: {
          const never: never = event;
          return never;
        }
      }
    }

    const onEvent: OnEvent = (event) => void say(event);
    const overrides: Overrides = { provider: "offline", sampleSize: 2, test: true };
    const environment: Environment = { OPENAI_API_KEY: "sk-none" };
    const controller = new AbortController();
    const options: PipelineOptions = { database: "runs.db", output: "out.json", name: "x", overrides, signal: controller.signal, onEvent };
    const pipeline = new DataGenerationPipeline(input, options);
    const again = new DataGenerationPipeline(await loadConfig("config.json"));
    const path: string = await pipeline.generateDataset();
    const checked: Config = again.config;

    using store: Store = openStore("runs.db");
    const listing: ListModelsOptions = { provider: "openai", environment };
    const [listed]: ModelRow[] = await listModels(store, listing);
    const checking: CheckConfigOptions = { overrides, environment, onEvent: (event: CheckEvent) => void event.server };
    const found: ConfigCheck = await checkConfigs(store, [config], checking);
    const ofModel: ModelCheck[] = found.models;
    const ofServers: ServerCheck[] = ofModel.flatMap(({ servers }) => servers);
    console.log(listed?.context_window?.tokens, found.ok, ofServers);
    const creating: CreateRunOptions = { overrides, environment, name: "y", onEvent };
    const executing: ExecuteRunOptions = { retryFailed: true, concurrency: 2, environment, signal: controller.signal, onEvent };
    const rendering: RenderOptions = { format: "jsonl", allowPartial: true };
    const exporting: ExportRunOptions = { ...rendering, output: "out" };
    const format: Format | undefined = rendering.format;
    const estimating: EstimateRunOptions = { overrides, environment, onEvent };
    const pilot: string = await createPilot(store, config, 2, creating);
    const preference: EstimateOptions = { pilot, reuse: "same" };
    const estimated: Estimate = await estimateRun(store, config, { ...estimating, ...preference });
    const dollars: number | undefined = estimated.cost_usd.live?.expected;
    const id: string = await createRun(store, config, creating);
    const done: RunSummary = await executeRun(store, id, executing);
    const status: "running" | "interrupted" | "waiting" | "completed" | "failed" = done.status;
    const cost: number | null = done.cost_usd;
    const file: string = await exportRun(store, id, exporting);
    const text: Readable = renderRun(store, id, rendering);
    const runs: RunSummary[] = listRuns(store);
    const details: RunDetails = showRun(store, "latest");
    const steps: ("reading" | "strategy")[] = details.steps.map(({ step }) => step);
    const printing: RunConfigOptions = { environment, onEvent };
    const same: Config = runConfig(store, id, printing);
    const comparing: DiffRunsOptions = { show: 3 };
    const diff: RunDiff = diffRuns(store, id, "latest", comparing);
    const places: ConfigDifference[] = diff.config;
    const lone: LoneInputs = diff.inputs.only_a;
    const conditions: ConditionDiff[] = diff.conditions.both;
    const sides: ConditionSide[] = conditions.flatMap(({ a, b }) => [a, b]);
    const pairs: DifferentPair[] | undefined = diff.most_different;
    const several: SeveralRunsDiff = diffSeveralRuns(store, [id, "latest"], comparing);
    const values: ConfigValues[] = several.config;
    const some: RunInputs[] = several.inputs.some;
    const compared: ConditionComparison[] = several.conditions.all;
    const figures: RunFigures[] = compared.flatMap(({ runs: each }) => each);
    const texts: DifferentResponses[] | undefined = several.most_different;
    deleteRun(store, id);
    const compaction: Compaction = compactDatabase(store, { onEvent });
    console.log(same, places, lone, sides, pairs, values, some, figures, texts, compaction.after_bytes);
    store.close();
    for (const Known of [UsageError, StoppedError, InterruptedError]) {
      const error: DatagenError = new Known("what", "hint");
      const code: number = error.exitCode;
      console.log(code, error.hint?.length);
    }
    console.log(size, reading, path, checked, store.path, format, status, cost, dollars, file, text, runs, steps);

    // @ts-expect-error -- a key that is misspelt
    parseConfig satisfies (value: ConfigInput) => { agent_perspective: unknown };
    // @ts-expect-error -- a perspective needs a strategy
    const incomplete: ConfigInput["agent_perspectives"] = [{ condition: "Plain" }];
    // @ts-expect-error -- no such provider
    const unknown: Overrides = { provider: "nobody" };
    // @ts-expect-error -- a config is needed
    new DataGenerationPipeline();
    // @ts-expect-error -- what the database is made with is the store's own
    console.log(store.sqlite, incomplete, unknown);
  `;

  test("of everything that is exported are there for a strict project that checks its libraries", async () => {
    const { errors, status } = await check("types", CONSUMER);
    expect(errors).toEqual([]);
    expect(status).toBe(0);
  });

  test("name nothing of what the database is made with", async () => {
    const { files } = await check("leaks", `import { listRuns } from "datagen";\nconsole.log(listRuns);\n`);
    expect(files.some((file) => file.endsWith("/datagen/dist/types/index.d.ts"))).toBe(true);
    expect(files.filter((file) => /drizzle|better-sqlite3/.test(file))).toEqual([]);
  });

  test("serve a project with a bundler too", async () => {
    const { errors } = await check("bundler", `export { DataGenerationPipeline, type Config } from "datagen";\n`, {
      module: "esnext",
      moduleResolution: "bundler",
    });
    expect(errors).toEqual([]);
  });
});

describe("DataGenerationPipeline", () => {
  test("makes a dataset from a config file, and returns its path", async () => {
    const config = configFor({ api_provider: "offline" });
    await consumer.write("basic/config.json", config);
    const { code, stdout, stderr, at } = await run(
      "basic",
      `import { readFile } from "node:fs/promises";
       import { DataGenerationPipeline } from "datagen";
       const config = JSON.parse(await readFile("config.json", "utf8"));
       const pipeline = new DataGenerationPipeline(config);
       const outputPath = await pipeline.generateDataset();
       console.log(outputPath);`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^data\/agents\/translation_gpt_4o_mini_\d{8}_\d{6}\.json\n$/);
    const { tasks, metadata } = await jsonOf<{ tasks: { responses: string[] }[]; metadata: object }>(at(stdout.trim()));
    expect(tasks).toHaveLength(6);
    expect(tasks.flatMap(({ responses }) => responses).every((text) => text.startsWith("[offline"))).toBe(true);
    expect(metadata).toMatchObject({ api_provider: "offline", calls: { total: 36, succeeded: 36 } });
    const listed = await datagen(["runs", "list", "--json"], { cwd: at(".") });
    expect(JSON.parse(listed.stdout)).toMatchObject([{ status: "completed", provider: "offline" }]);
  });

  test("tells everything that is wrong with a config at once, before it touches a file", async () => {
    const broken = {
      ...configFor({ model_config: { temperature: 7 } }),
      agent_perspective: [],
      agent_perspectives: [
        { condition: "A", strategy: "x" },
        { condition: "A", strategy: "" },
      ],
    };
    const { code, stdout, stderr, at } = await run(
      "broken",
      `import { DatagenError, DataGenerationPipeline, UsageError } from "datagen";
       try {
         new DataGenerationPipeline(${JSON.stringify(broken)});
       } catch (error) {
         const { name, message, exitCode, hint } = error;
         const kinds = [UsageError, DatagenError, Error].map((kind) => error instanceof kind);
         console.log(JSON.stringify({ name, message, exitCode, hint, kinds }));
       }`,
    );
    expect(code, stderr).toBe(0);
    const error = JSON.parse(stdout) as { message: string };
    expect(error).toMatchObject({
      name: "UsageError",
      exitCode: 2,
      hint: expect.any(String),
      kinds: [true, true, true],
    });
    for (const place of ["temperature", "agent_perspective:", "[1].condition", "[1].strategy"]) {
      expect(error.message).toContain(place);
    }
    expect(await readdir(at("."))).toEqual(["main.mjs", "rows.json"]);
  });

  test("rejects with a UsageError where the inputs or a key are missing, and plans no run", async () => {
    const { code, stdout, stderr } = await run(
      "missing",
      `import { DataGenerationPipeline, listRuns, openStore, UsageError } from "datagen";
       const config = ${JSON.stringify(configFor())};
       const nowhere = { ...config, data_config: { input_data_path: "nowhere.json" }, api_provider: "offline" };
       for (const each of [config, nowhere]) {
         const error = await new DataGenerationPipeline(each).generateDataset().catch((reason) => reason);
         console.log(error instanceof UsageError, error.message);
       }
       const store = openStore("data/datagen.db");
       console.log(listRuns(store).length);
       store.close();`,
    );
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^true OPENAI_API_KEY is not set.*\ntrue there is no input file nowhere\.json\n0\n$/);
  });

  test("takes a database, an output, a name, overrides and a listener", async () => {
    const { code, stdout, stderr, at } = await run(
      "options",
      `import { DataGenerationPipeline, listRuns, openStore } from "datagen";
       const events = [];
       const pipeline = new DataGenerationPipeline(${JSON.stringify(configFor())}, {
         database: "deep/runs.db",
         output: "deep/out.json",
         name: "pilot",
         overrides: { provider: "offline", model: "gpt-4o", sampleSize: 2 },
         onEvent: (event) => events.push(event.type),
       });
       const path = await pipeline.generateDataset();
       const store = openStore("deep/runs.db");
       console.log(JSON.stringify({ path, runs: listRuns(store), events, config: pipeline.config }));
       store.close();`,
    );
    expect(code, stderr).toBe(0);
    const { path, runs, events, config } = JSON.parse(stdout) as {
      path: string;
      runs: object[];
      events: string[];
      config: object;
    };
    expect(path).toBe("deep/out.json");
    expect((await jsonOf<{ tasks: object[] }>(at(path))).tasks).toHaveLength(2);
    expect(runs).toMatchObject([{ name: "pilot", provider: "offline", model: "gpt-4o", tasks: 2 }]);
    // It uses a part of the inputs.
    expect(events.slice(0, 3)).toEqual(["warning", "created", "started"]);
    expect(new Set(events.slice(3))).toEqual(new Set(["stored"]));
    expect(config).toMatchObject(configFor());
  });

  test("stops at its signal, and executeRun and exportRun go on without sending a call twice", async () => {
    const config = configFor({ concurrency: 2 });
    await using server = await startServer({ latency: 5 });
    const { code, stdout, stderr, at } = await run(
      "signal",
      `import { DataGenerationPipeline, executeRun, exportRun, InterruptedError, listRuns, openStore } from "datagen";
       const controller = new AbortController();
       const pipeline = new DataGenerationPipeline(${JSON.stringify(config)}, {
         signal: controller.signal,
         onEvent: ({ type }) => type === "stored" && controller.abort(),
       });
       const error = await pipeline.generateDataset().catch((reason) => reason);
       const store = openStore("data/datagen.db");
       const [stopped] = listRuns(store);
       const done = await executeRun(store, stopped.id);
       const path = await exportRun(store, "latest");
       console.log(JSON.stringify({ isInterrupted: error instanceof InterruptedError, stopped, done, path }));
       store.close();`,
      { env: environmentFor(server) },
    );
    expect(code, stderr).toBe(0);
    const { stopped, done, path, ...error } = JSON.parse(stdout) as { path: string; stopped: object; done: object };
    expect(error).toEqual({ isInterrupted: true });
    expect(stopped).toMatchObject({ status: "interrupted", finished_at: null });
    expect(done).toMatchObject({ status: "completed", calls: { total: 36, succeeded: 36 } });
    expect(server.requests).toHaveLength(36);
    const { tasks } = await jsonOf<{ tasks: object[] }>(at(path));
    expect(tasks).toEqual(expectedDataset(config, rows(6)).tasks);
  });

  test("rejects with a StoppedError where the provider refuses the key", async () => {
    await using server = await startServer({ behave: () => ({ kind: "status", status: 401 }) });
    const { code, stdout, stderr } = await run(
      "refused",
      `import { DataGenerationPipeline, StoppedError } from "datagen";
       const pipeline = new DataGenerationPipeline(${JSON.stringify(configFor())});
       const error = await pipeline.generateDataset().catch((reason) => reason);
       console.log(error instanceof StoppedError, error.exitCode);`,
      { env: environmentFor(server) },
    );
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "true 3\n" });
  });
});

describe("the plain functions", () => {
  test("plan, execute, show, render and delete a run, with an environment that is given", async () => {
    const config = configFor();
    await consumer.write("functions/config.json", `${JSON.stringify(config)} // a comment`);
    await using server = await startServer();
    const { code, stdout, stderr } = await run(
      "functions",
      `import * as datagen from "datagen";
       import { text } from "node:stream/consumers";
       const environment = ${JSON.stringify(environmentFor(server))};
       const store = datagen.openStore("runs.db");
       const config = await datagen.loadConfig("config.json");
       const id = await datagen.createRun(store, config, { environment });
       const planned = datagen.showRun(store, id);
       let refusal;
       try {
         datagen.renderRun(store, id);
       } catch (error) {
         refusal = error.name;
       }
       const partial = await text(datagen.renderRun(store, id, { format: "jsonl", allowPartial: true }));
       const done = await datagen.executeRun(store, id.slice(0, 7), { environment });
       const dataset = JSON.parse(await text(datagen.renderRun(store, "latest")));
       const path = await datagen.exportRun(store, id, { format: "csv", output: "." });
       const before = datagen.listRuns(store).length;
       datagen.deleteRun(store, id);
       const after = datagen.listRuns(store).length;
       store.close();
       console.log(JSON.stringify({ planned, refusal, partial, done, dataset, path, before, after }));`,
    );
    expect(code, stderr).toBe(0);
    const result = JSON.parse(stdout) as { partial: string; dataset: { tasks: object[] }; path: string };
    expect(result).toMatchObject({
      planned: { run: { status: "interrupted", calls: { total: 36, pending: 36 } }, attempts: 0, failures: [] },
      refusal: "UsageError",
      done: { status: "completed", calls: { succeeded: 36 } },
      path: expect.stringMatching(/^translation_gpt_4o_mini_\d{8}_\d{6}\.csv$/),
      before: 1,
      after: 0,
    });
    expect(result.partial.trim().split("\n")).toHaveLength(24);
    expect(result.partial).toContain('"failure":"pending"');
    expect(result.dataset.tasks).toEqual(expectedDataset(config, rows(6)).tasks);
  });

  test("refuse a run that is not there", async () => {
    const { code, stdout, stderr } = await run(
      "unknown",
      `import * as datagen from "datagen";
       const store = datagen.openStore("runs.db");
       for (const name of ["executeRun", "exportRun", "renderRun", "showRun", "deleteRun"]) {
         const error = await (async () => datagen[name](store, "zzzz"))().catch((reason) => reason);
         console.log(error instanceof datagen.UsageError, error.message.startsWith('there is no run "zzzz"'));
       }
       store.close();`,
    );
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "true true\n".repeat(5) });
  });
});
