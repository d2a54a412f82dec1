import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Behaviour, Seen } from "./server.ts";

/** The built bin. */
export const DATAGEN = join(import.meta.dirname, "..", "dist", "main.js");

/** A folder for the files of a measurement. It is removed at the end of its scope. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "datagen-bench-"));

  at(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The local server, in another process; see server.ts. */
export class Server implements Disposable {
  readonly #process: ChildProcess;
  readonly url: string;

  private constructor(child: ChildProcess, port: number) {
    this.#process = child;
    this.url = `http://127.0.0.1:${port}/v1`;
  }

  static async start(): Promise<Server> {
    const child = fork(join(import.meta.dirname, "server.ts"));
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    return new Server(child, port);
  }

  /** Sets its behaviour from now on, and resets its counts. */
  async behave(behaviour: Behaviour): Promise<void> {
    await this.#ask(behaviour);
  }

  seen(): Promise<Seen> {
    return this.#ask("tell");
  }

  async #ask(message: Behaviour | "tell"): Promise<Seen> {
    this.#process.send(message);
    const [seen] = (await once(this.#process, "message")) as [Seen];
    return seen;
  }

  [Symbol.dispose](): void {
    this.#process.disconnect();
  }
}

/** The result of a process. */
export interface Run {
  stdout: string;
  /** When it was started, in milliseconds since 1970. */
  startedAt: number;
  wallMs: number;
  /** User and system time of all its threads; 0 without `withUsage`. */
  cpuMs: number;
  /** Its peak memory (resident set); 0 without `withUsage`. */
  peakMb: number;
  /** When a line with these words was first written to stderr, in milliseconds since 1970. */
  saidAt: number | undefined;
}

export interface RunOptions {
  cwd: string;
  env?: Record<string, string> | undefined;
  /** Makes the process report its usage, which takes some milliseconds. */
  withUsage?: boolean | undefined;
  /** Words on stderr whose time to record. */
  waitFor?: string | undefined;
  /** Exit codes that count as success. Default: 0. */
  codes?: readonly number[] | undefined;
}

/** Runs a script in another process, with the same Node. @throws Error with its output when it fails */
export async function run(
  args: readonly string[],
  { cwd, env = {}, withUsage = false, waitFor, codes = [0] }: RunOptions,
): Promise<Run> {
  const usagePath = join(cwd, "usage.json");
  rmSync(usagePath, { force: true });
  const preload = withUsage ? ["--import", join(import.meta.dirname, "usage.js")] : [];
  const [startedAt, clock] = [now(), performance.now()];
  const child = spawn(process.execPath, [...preload, ...args], {
    cwd,
    env: { PATH: process.env["PATH"], HOME: cwd, NO_COLOR: "1", DATAGEN_BENCH_USAGE: usagePath, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err] = [[] as string[], [] as string[]];
  let saidAt: number | undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => out.push(text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err.push(text);
    if (waitFor !== undefined && text.includes(waitFor)) saidAt ??= now();
  });
  const [code] = (await once(child, "close")) as [number | null];
  const wallMs = performance.now() - clock;
  const [stdout, stderr] = [out.join(""), err.join("")];
  if (code === null || !codes.includes(code)) {
    throw new Error(`${args.join(" ")} ended with ${code}\n${stdout.slice(-2_000)}\n${stderr.slice(-4_000)}`);
  }
  const used = existsSync(usagePath)
    ? (JSON.parse(readFileSync(usagePath, "utf8")) as Pick<Run, "cpuMs" | "peakMb">)
    : { cpuMs: 0, peakMb: 0 };
  return { stdout, startedAt, wallMs, ...used, saidAt };
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The median of some numbers; for an even count, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  if (low === undefined || high === undefined) throw new Error("there is no median of nothing");
  return (low + high) / 2;
}
