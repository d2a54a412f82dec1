import { Cli, type CommandClass } from "clipanion";
import { toolVersion } from "../app/version.ts";
import { EXIT } from "../errors.ts";
import { COMMANDS } from "./commands.ts";

/** Runs the command line. @returns its exit code */
export async function start(words: string[]): Promise<number> {
  const args = joinNegativeNumbers(words);
  const { stdout, stderr } = process;
  // A reader that has seen enough, such as `head`, closes the pipe.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") stderr.write(`Error: stdout cannot be written (${error.code})\n`);
    process.exit(error.code === "EPIPE" ? EXIT.done : EXIT.stopped);
  });
  // What is said on the way is for those who listen; a run goes on without them.
  stderr.on("error", () => {});
  if (!hasFolder()) {
    stderr.write("Error: the current folder is not there any more\nChange into one that is.\n");
    return EXIT.usage;
  }
  const context = { stdin: process.stdin, stdout, stderr };
  const cliOf = (...commands: CommandClass[]) => {
    const cli = new Cli({
      binaryLabel: "datagen",
      binaryName: "datagen",
      binaryVersion: toolVersion().version,
      enableColors: stdout.isTTY ? !process.env["NO_COLOR"] : false,
    });
    for (const command of commands) cli.register(command);
    return cli;
  };
  const named = COMMANDS.get(args.slice(0, 2).join(" ")) ?? COMMANDS.get(args[0] ?? "");
  if (named) {
    const alone = cliOf(await named());
    const command = understood(() => alone.process(args, context));
    if (command) return await alone.run(command, context);
  }
  // To say what is wrong with the words, and what they might mean, takes all commands.
  const { HelpCommand } = await import("./commands/help.ts");
  const all = cliOf(HelpCommand, ...(await Promise.all([...COMMANDS.values()].map((load) => load()))));
  try {
    // clipanion itself would write what is wrong to stdout, and exit with 1.
    return await all.run(all.process(args, context), context);
  } catch (error) {
    const { renderUsageError } = await import("./render/error.ts");
    stderr.write(renderUsageError(error, args));
    return EXIT.usage;
  }
}

/** Whether there is a current folder: every path is relative to it, and Node throws where it was removed. */
function hasFolder(): boolean {
  try {
    return process.cwd() !== "";
  } catch {
    return false;
  }
}

/** What `process` makes of the words of a command, or undefined where it makes nothing of them. */
function understood<T>(process: () => T): T | undefined {
  try {
    return process();
  } catch {
    return undefined;
  }
}

/**
 * The words of a command line where `--flag -1` is written `--flag=-1`: no option is called by a digit, so the number is
 * the flag's value and not another option.
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
