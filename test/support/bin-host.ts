// A process that runs the built bin again and again, each time with the words, the folder and the variables of a message.
import { resolve } from "node:path";
import { Writable } from "node:stream";
import { pathToFileURL } from "node:url";
import type { Command, Outcome } from "./in-turn.ts";

const BIN = pathToFileURL(resolve(import.meta.dirname, "../../dist/main.js")).href;

let runs = 0;

process.on("message", (command: Command) => void run(command).then((outcome) => process.send!(outcome)));
process.on("disconnect", () => process.exit());

async function run({ args, cwd, env }: Command): Promise<Outcome> {
  process.argv.splice(1, Infinity, BIN, ...args);
  process.chdir(cwd);
  for (const name of Object.keys(process.env)) if (!(name in env)) Reflect.deleteProperty(process.env, name);
  Object.assign(process.env, env);
  const stdout = collect("stdout");
  const stderr = collect("stderr");
  runs += 1;
  // The same module of another URL is evaluated again; those that it imports are not.
  await import(`${BIN}?${runs}`);
  const code = Number(process.exitCode ?? 0);
  process.exitCode = undefined;
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) };
}

/** Puts a stream in the place of one of the process's, and gives the pieces that are written to it. */
function collect(name: "stdout" | "stderr"): Buffer[] {
  const pieces: Buffer[] = [];
  const stream = new Writable({
    write(piece: Buffer, _encoding, done) {
      pieces.push(piece);
      done();
    },
  });
  Object.defineProperty(process, name, { value: stream, configurable: true });
  return pieces;
}
