import { type ChildProcess, fork } from "node:child_process";
import { resolve } from "node:path";
import pLimit, { type LimitFunction } from "p-limit";
import { environment, QUICK_START, type Result, type SpawnOptions, written } from "./harness.ts";

/** What the process of `bin-host.ts` is told. */
export interface Command {
  args: string[];
  cwd: string;
  env: Record<string, string>;
}

/** What it answers. */
export interface Outcome {
  code: number;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/** Of the options of `datagen`, those that a process can be given again. */
export type InTurnOptions = Pick<SpawnOptions, "cwd" | "env" | "timeoutMs"> & {
  [Other in "input" | "bin" | "program" | "signalAfter"]?: never;
};

/** More processes are not quicker where the tests of other files keep the cores busy, and each of them loads the bin. */
const MOST_HOSTS = 2;

/** The processes that were started with the same NODE_OPTIONS. */
interface Hosts {
  limit: LimitFunction;
  idle: ChildProcess[];
}

const hostsOf = new Map<string | undefined, Hosts>();

/**
 * Runs `datagen ARGS` to its end as `datagen` does, in a process that runs one command after the other: it loads the bin
 * once for all of them. For what a command prints and stores. Where it matters that a process starts, reads its
 * input, gets a signal, ends or is another one, use `datagen`.
 */
export async function datagenInTurn(args: string[], { cwd, env, timeoutMs = 120_000 }: InTurnOptions): Promise<Result> {
  const variables = Object.entries({ ...environment(cwd), ...env }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const command = { args, cwd, env: Object.fromEntries(variables) };
  const options = command.env["NODE_OPTIONS"];
  const hosts = hostsOf.get(options) ?? { limit: pLimit(MOST_HOSTS), idle: [] };
  hostsOf.set(options, hosts);
  const { code, ...output } = await hosts.limit(async () => {
    const host = hosts.idle.pop() ?? start(options);
    const outcome = await ask(host, command, timeoutMs);
    hosts.idle.push(host);
    return outcome;
  });
  const stdout = Buffer.from(output.stdout);
  const result = { code, signal: null, stdout: stdout.toString(), stderr: Buffer.from(output.stderr).toString() };
  written.set(result, stdout);
  return result;
}

function ask(host: ChildProcess, command: Command, timeoutMs: number): Promise<Outcome> {
  return new Promise<Outcome>((fulfil, reject) => {
    const fail = (what: string) => {
      host.kill("SIGKILL");
      end();
      reject(new Error(`datagen ${command.args.join(" ")} ${what}`));
    };
    const end = () => {
      clearTimeout(timer);
      host.removeAllListeners();
    };
    const timer = setTimeout(() => fail(`took more than ${timeoutMs} ms`), timeoutMs);
    host.on("message", (outcome: Outcome) => {
      end();
      fulfil(outcome);
    });
    host.on("exit", (code, signal) => fail(`ended the process that runs commands in turn (${signal ?? code})`));
    host.send(command);
  });
}

/** It ends with this process. */
function start(options: string | undefined): ChildProcess {
  const host = fork(resolve(import.meta.dirname, "bin-host.ts"), {
    env: { ...process.env, NODE_OPTIONS: options },
    execArgv: QUICK_START,
    serialization: "advanced",
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  host.unref();
  host.channel!.unref();
  return host;
}
