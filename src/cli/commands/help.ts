import { Command } from "clipanion";

/** `datagen`, `datagen --help`: all commands, and the first things to type. */
export class HelpCommand extends Command {
  static override paths = [[], ["-h"], ["--help"]];

  execute(): Promise<void> {
    const commands = this.cli
      .definitions()
      .filter(({ path }) => !["datagen runs", "datagen prices", "datagen db"].includes(path))
      .map(({ path, description = "" }) => `  ${path.padEnd(22)} ${description.trim()}`);
    this.context.stdout
      .write(`datagen ${this.cli.binaryVersion}: ask a language model for every input from many perspectives

Commands, each with its own --help:

${commands.join("\n")}

Examples:

  Run a config without an API key or a network
  $ datagen run configs/translation.json --provider offline

  Try a config on 10 inputs and 4 perspectives
  $ datagen run configs/peer_review.json --provider offline --test

  Know what a config will cost before it is run
  $ datagen estimate configs/translation.json

  Go on with the newest run after a crash or a Ctrl-C
  $ datagen resume latest

  See all runs with their tokens and cost, and one in detail
  $ datagen runs list
  $ datagen runs show latest
`);
    return Promise.resolve();
  }
}
