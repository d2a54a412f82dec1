import { Cli, type CommandClass } from "clipanion";
import { toolVersion } from "../app/version.ts";
import { EXIT } from "../errors.ts";
import { commandIn, COMMANDS } from "./commands.ts";

/** Runs the command line. @returns its exit code */
export async function start(words: string[]): Promise<number> {
  const args = joinNegativeNumbers(words);
  const { stdout, stderr } = process;
  // A reader that has seen enough, such as `head`, closes the pipe.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") stderr.write(`Error: stdout cannot be written (${error.code})\n`);
    process.exit(error.code === "EPIPE" ? EXIT.done : EXIT.stopped);
  });
  // Progress may go to a closed pipe; the run continues without a reader.
  stderr.on("error", () => {});
  if (!hasFolder()) {
    stderr.write("Error: the current folder no longer exists\nChange to another folder, then try again.\n");
    return EXIT.usage;
  }
  const asked = helpAsked(args);
  if (asked !== null) return await help(asked);
  const context = { stdin: process.stdin, stdout, stderr };
  const cliOf = (...commands: CommandClass[]) => {
    const cli = new Cli({ binaryLabel: "datagen", binaryName: "datagen", binaryVersion: toolVersion().version });
    for (const command of commands) cli.register(command);
    return cli;
  };
  const named = COMMANDS.get(commandIn(args) ?? "");
  if (named) {
    const alone = cliOf(await named());
    const command = understood(() => alone.process(args, context));
    if (command) return await alone.run(command, context);
  }
  // Only with all commands clipanion understands a flag before the words of the command.
  const all = cliOf(...(await Promise.all([...COMMANDS.values()].map((load) => load()))));
  try {
    // clipanion itself would write the error to stdout, and exit with 1.
    return await all.run(all.process(args, context), context);
  } catch (error) {
    const { renderUsageError } = await import("./usage-error.ts");
    stderr.write(await renderUsageError(error, args));
    return EXIT.usage;
  }
}

/** The words whose help the arguments ask for; null if they ask for none. */
function helpAsked(args: readonly string[]): string[] | null {
  const [first] = args;
  if (first === undefined) return [];
  if (first === "help") return args.slice(1);
  const flag = args.findIndex((arg) => arg === "--help" || arg === "-h");
  return flag === -1 ? null : args.filter((arg) => !arg.startsWith("-"));
}

/** Shows the help of a command, and of datagen for no words. */
async function help(words: string[]): Promise<number> {
  const name = commandIn(words);
  if (words.length === 0 || name !== undefined) {
    const { showHelp } = await import("./help.ts");
    return await showHelp(name);
  }
  const { renderUsageError } = await import("./usage-error.ts");
  process.stderr.write(await renderUsageError(null, words));
  return EXIT.usage;
}

/** Whether the current folder exists: every path is relative to it, and Node throws after it was removed. */
function hasFolder(): boolean {
  try {
    return process.cwd() !== "";
  } catch {
    return false;
  }
}

/** The result of `process`, or undefined if it does not understand the arguments. */
function understood<T>(process: () => T): T | undefined {
  try {
    return process();
  } catch {
    return undefined;
  }
}

/**
 * Writes `--flag -1` as `--flag=-1`. No option is named by a digit, so the number is the flag's value and not another
 * option.
 */
function joinNegativeNumbers(args: readonly string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    const flag = joined.at(-1);
    if (/^-[\d.]/.test(arg) && flag !== undefined && /^--[a-z][^=]*$/.test(flag))
      joined.splice(-1, 1, `${flag}=${arg}`);
    else joined.push(arg);
  }
  return joined;
}
