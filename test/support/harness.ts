import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { StringDecoder } from "node:string_decoder";
import Database from "better-sqlite3";
import { answerTo, usageFor } from "./answers.ts";
import type { Asked, Endpoint, Usage } from "./answers.ts";
import { detectProvider, providers } from "../../src/providers/index.ts";
import { fakes, REMOTE, type RemoteName } from "./providers/index.ts";
import type { LoopbackServer } from "./server.ts";

/** The bin as `npm run build` makes it. */
const BIN = resolve(import.meta.dirname, "../../dist/main.js");

/** A temporary folder of a test's own; `await using` removes it. */
export interface Workspace extends AsyncDisposable {
  readonly path: string;
  /** The absolute path of a name in it. */
  at(name: string): string;
  /** Writes a string or bytes as they are and anything else as JSON; makes folders; gives the absolute path. */
  write(name: string, content: unknown): Promise<string>;
  read(name: string): Promise<string>;
  /** What the JSON file of that name holds. */
  json<T = unknown>(name: string): Promise<T>;
}

export async function workspace(): Promise<Workspace> {
  const path = await mkdtemp(join(tmpdir(), "datagen-"));
  const at = (name: string) => resolve(path, name);
  return {
    path,
    at,
    async write(name, content) {
      const raw = typeof content === "string" || content instanceof Uint8Array;
      await mkdir(dirname(at(name)), { recursive: true });
      await writeFile(at(name), raw ? content : JSON.stringify(content, null, 2));
      return at(name);
    },
    read: (name) => readFile(at(name), "utf8"),
    json: async <T>(name: string) => JSON.parse(await readFile(at(name), "utf8")) as T,
    async [Symbol.asyncDispose]() {
      // A process that was killed a moment ago may still be writing.
      await rm(path, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export interface SpawnOptions {
  /** Where it runs, and its HOME. */
  cwd: string;
  /** More variables; undefined takes one away. */
  env?: Record<string, string | undefined>;
  /** What it reads from stdin, which is empty by default. */
  input?: string;
  /** After this many milliseconds it is killed and `done` rejects. Default: 120,000. */
  timeoutMs?: number;
  /** Another script in the place of the bin. */
  bin?: string;
  /** Another program in the place of Node and the bin. */
  program?: string;
}

export interface Result {
  /** Null where a signal ended it. */
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** The bytes that each process wrote to stdout, by its result. */
export const written = new WeakMap<Result, Buffer>();

/** The bytes that a process wrote to stdout, also where they are no text. */
export function bytesOf(result: Result): Buffer {
  return written.get(result) ?? Buffer.alloc(0);
}

/** A process that is running; `await using` kills it. */
export interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
  /** What it has written so far. */
  readonly stdout: string;
  readonly stderr: string;
  readonly done: Promise<Result>;
  /** Resolves with the match as soon as the stream (default: stderr) has it; rejects if the process ends without. */
  waitFor(pattern: RegExp, stream?: "stdout" | "stderr", timeoutMs?: number): Promise<RegExpExecArray>;
  /** Default: SIGKILL. */
  kill(signal?: NodeJS.Signals): void;
}

/** Collects garbage less often, and on one thread: a process that lives for half a second saves a sixth of its work. */
export const QUICK_START = ["--min-semi-space-size=16", "--single-threaded"];

const running = new Set<ChildProcess>();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));

/** Runs `datagen ARGS` to its end. `signalAfter` sends it a signal (default: SIGINT) after a time or at some output. */
export async function datagen(
  args: string[],
  options: SpawnOptions & { signalAfter?: { ms?: number; stderr?: RegExp; signal?: NodeJS.Signals } },
): Promise<Result> {
  await using run = startDatagen(args, options);
  const { ms, stderr, signal = "SIGINT" } = options.signalAfter ?? {};
  const timer = ms === undefined ? undefined : setTimeout(() => run.kill(signal), ms);
  // `done` says what happened if the output never comes.
  if (stderr) {
    run.waitFor(stderr).then(
      () => run.kill(signal),
      () => {},
    );
  }
  try {
    return await run.done;
  } finally {
    clearTimeout(timer);
  }
}

/** Starts `datagen ARGS`. */
export function startDatagen(args: string[], options: SpawnOptions): Running {
  const { cwd, env, input, timeoutMs = 120_000, bin = BIN, program } = options;
  if (!existsSync(bin)) throw new Error(`${bin} is missing: run npm run build`);
  const output = { stdout: "", stderr: "" };
  const chunks: Buffer[] = [];
  const waiting = new Set<() => void>();
  const child = spawn(program ?? process.execPath, program === undefined ? [...QUICK_START, bin, ...args] : args, {
    cwd,
    env: Object.fromEntries(Object.entries({ ...environment(cwd), ...env }).filter(([, value]) => value !== undefined)),
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  running.add(child);
  // It may end without having read its input.
  child.stdin?.on("error", () => {}).end(input);
  for (const stream of ["stdout", "stderr"] as const) {
    const decoder = new StringDecoder();
    child[stream]!.on("data", (chunk: Buffer) => {
      if (stream === "stdout") chunks.push(chunk);
      output[stream] += decoder.write(chunk);
      waiting.forEach((check) => check());
    });
  }
  let ended = false;
  const all = () => `\nstdout:\n${output.stdout}\nstderr:\n${output.stderr}`;
  const done = new Promise<Result>((fulfil, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`datagen ${args.join(" ")} took more than ${timeoutMs} ms${all()}`));
    }, timeoutMs);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      ended = true;
      const result = { code, signal, ...output };
      written.set(result, Buffer.concat(chunks));
      fulfil(result);
      waiting.forEach((check) => check());
    });
  });
  // A test that looks at the output only does not wait for the end.
  done.catch(() => {});

  return {
    child,
    done,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    kill(signal = "SIGKILL") {
      child.kill(signal);
    },
    waitFor(pattern, stream = "stderr", waitMs = 30_000) {
      return new Promise((fulfil, reject) => {
        const fail = (why: string) => reject(new Error(`${stream} has no ${String(pattern)} ${why}${all()}`));
        const stop = () => {
          clearTimeout(timer);
          waiting.delete(check);
        };
        const timer = setTimeout(() => {
          stop();
          fail(`after ${waitMs} ms`);
        }, waitMs);
        const check = () => {
          const match = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, "")).exec(output[stream]);
          if (match === null && !ended) return;
          stop();
          if (match) fulfil(match);
          else fail("and the process has ended");
        };
        waiting.add(check);
        check();
      });
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await done.catch(() => {});
    },
  };
}

/** All that a process under test sees of the environment: nothing of the user's, no keys, no proxy, no NODE_OPTIONS. */
export function environment(home: string): Record<string, string | undefined> {
  return {
    // Programs that it may start are found as usual.
    PATH: process.env["PATH"],
    // No file of the user's is read or written; the servers that a test names are known to that test alone.
    HOME: home,
    // The bin is compiled once for all tests, and not into folders whose content they look at.
    XDG_CACHE_HOME: resolve(import.meta.dirname, "../../node_modules/.cache"),
    // Output is the same on a terminal and in CI.
    NO_COLOR: "1",
    // Local times in names and files are the same everywhere.
    TZ: "UTC",
    // So are the formats of numbers and dates, and file names are UTF-8.
    LC_ALL: "C.UTF-8",
  };
}

/** The keys and base URLs with which datagen asks the loopback server, by the names of their variables. */
export function environmentFor(server: LoopbackServer) {
  const entries = REMOTE.flatMap((name) => {
    const { keyVariable, baseUrlVariable } = providers[name].remote!;
    return [
      [keyVariable, fakes[name].key],
      [baseUrlVariable, server[`${name}Url`]],
    ];
  });
  return Object.fromEntries(entries) as Record<`${Uppercase<RemoteName>}_${"API_KEY" | "BASE_URL"}`, string>;
}

export interface Perspective {
  condition: string;
  reading: string | null;
  strategy: string;
}

export interface ModelConfig {
  model_name: string;
  max_tokens?: number;
  max_completion_tokens?: number;
  temperature?: number;
  endpoint?: Endpoint;
  [key: string]: unknown;
}

/** A config of the documented shape. */
export interface Config {
  task_type: string;
  task_description: string;
  model_config: ModelConfig;
  agent_perspectives: Perspective[];
  data_config: { input_data_path: string; sample_size?: number; [key: string]: unknown };
  add_references?: boolean;
  api_provider?: string;
  [key: string]: unknown;
}

export type ConfigOverrides = Partial<Omit<Config, "model_config" | "data_config">> & {
  model_config?: Partial<ModelConfig>;
  data_config?: Partial<Config["data_config"]>;
  [key: string]: unknown;
};

/** A small valid config over `rows.json`: four perspectives, of which the second and the last have a reading. */
export function configFor(overrides: ConfigOverrides = {}): Config {
  return {
    task_type: "translation",
    task_description: "German to English translation task",
    agent_perspectives: [
      { condition: "Plain", reading: null, strategy: "Translate the German text into English." },
      {
        condition: "From notes",
        reading: "Take notes on every statement of the German text.",
        strategy: "Write the English translation that these notes describe.",
      },
      {
        condition: "Hasty",
        reading: null,
        strategy: "Translate only the first words; do not check anything.",
      },
      {
        condition: "Rosy",
        reading: "List what the German text says that somebody may not like to hear.",
        strategy: "Write an English text out of this list that everybody likes to hear.",
      },
    ],
    ...overrides,
    model_config: { model_name: "gpt-4o-mini", max_tokens: 200, temperature: 0.7, ...overrides.model_config },
    data_config: { input_data_path: "rows.json", sample_size: 500, ...overrides.data_config },
  };
}

export interface Row {
  input: string;
  reference?: string;
}

const WHO = [
  ["Die Lehrerin", "The teacher"],
  ["Unser Nachbar Jürgen", "Our neighbour Jürgen"],
  ["Der Müller", "The miller"],
  ["Eine alte Gärtnerin", "An old gardener"],
  ["Das Fräulein vom Amt", "The lady from the office"],
] as const;
const WHAT = [
  ["Äpfel", "apples"],
  ["Schlüssel", "keys"],
  ["Stühle", "chairs"],
  ["Bücher", "books"],
  ["Briefe", "letters"],
  ["„Sträuße“", "“bouquets”"],
  ["Fahrräder", "bicycles"],
] as const;
const WHERE = [
  ["nach Köln", "to Cologne"],
  ["auf die Straße", "into the street"],
  ["in die Küche", "into the kitchen"],
] as const;

/** So many rows, all different, always the same. */
export function rows(count: number): Row[] {
  return Array.from({ length: count }, (_, i) => {
    const who = pick(WHO, i);
    const what = pick(WHAT, i / 5);
    const where = pick(WHERE, i / 35);
    return {
      input: `${who[0]} bringt ${i + 2} ${what[0]} ${where[0]}.`,
      reference: `${who[1]} brings ${i + 2} ${what[1]} ${where[1]}.`,
    };
  });
}

function pick<T>(list: readonly T[], at: number): T {
  return list[Math.floor(at) % list.length]!;
}

/** The one message of a call, as the reference pipeline words it. */
export function promptOf(instruction: string, text: string): string {
  return `${instruction}\n\n\`\`\`${text}\`\`\`${instruction}\n\n`;
}

export interface ExpectedTask {
  context: string;
  responses: (string | null)[];
  preparations: (string | null)[];
}

export interface ExpectedCall {
  /** Positions in the dataset: the reference, where it is added, has position 0. */
  task: number;
  perspective: number;
  step: "reading" | "strategy";
  asked: Asked;
  answer: string | null;
}

/** What a dataset must hold, every call that it takes, and the sum of what those are charged. */
export interface Expected {
  tasks: ExpectedTask[];
  calls: ExpectedCall[];
  usage: Usage;
}

/** Computes a dataset again. `answer` is what comes of a call: the server's answer, or null where the call fails. */
export function expectedDataset(
  config: Config,
  data: Row[],
  answer: (asked: Asked) => string | null = answerTo,
): Expected {
  const calls: ExpectedCall[] = [];
  const tasks = data.slice(0, config.data_config.sample_size ?? 100).map(({ input, reference }, task) => {
    const expected: ExpectedTask = { context: input, responses: [], preparations: [] };
    if (config.add_references) {
      expected.responses.push(reference ?? null);
      expected.preparations.push(null);
    }
    for (const { reading, strategy } of config.agent_perspectives) {
      const perspective = expected.responses.length;
      const call = (step: ExpectedCall["step"], instruction: string, text: string) => {
        const asked = askedBy(config, promptOf(instruction, text));
        const got = answer(asked);
        calls.push({ task, perspective, step, asked, answer: got });
        return got;
      };
      const notes = reading === null ? null : call("reading", reading, input);
      const failed = reading !== null && notes === null;
      expected.preparations.push(notes);
      expected.responses.push(failed ? null : call("strategy", strategy, notes || input));
    }
    return expected;
  });
  return { tasks, calls, usage: usageOf(calls) };
}

/** A prompt with what the config says about the model. */
function askedBy(config: Config, prompt: string): Asked {
  const { model_name: model, max_tokens, max_completion_tokens, temperature, endpoint } = config.model_config;
  const legacy = /^(text-)?davinci-/.test(model);
  const detected = detectProvider(model);
  const provider = REMOTE.find((name) => name === (config.api_provider ?? detected));
  return {
    model,
    prompt,
    provider,
    endpoint: endpoint ?? (legacy ? "completions" : "chat"),
    max_tokens,
    max_completion_tokens,
    temperature,
  };
}

function usageOf(calls: ExpectedCall[]): Usage {
  const sum: Usage = { prompt: 0, completion: 0, total: 0, cached: 0, reasoning: 0 };
  for (const { asked, answer } of calls) {
    if (answer === null) continue;
    const usage = usageFor(asked, answer);
    for (const key of ["prompt", "completion", "total", "cached", "reasoning"] as const) sum[key] += usage[key];
  }
  return sum;
}

/** A database of datagen, for reading only; the caller closes it. */
export function openDatabase(path: string): Database.Database {
  return new Database(path, { readonly: true, fileMustExist: true });
}

/** The rows that a query gives, of a database that a process may still have open. */
export function queryRows<T = Record<string, unknown>>(path: string, sql: string): T[] {
  const database = openDatabase(path);
  try {
    return database.prepare<[], T>(sql).all();
  } finally {
    database.close();
  }
}
