import { Command } from "clipanion";

/** `datagen`, `datagen --help`: what there is, and the first things to type. */
export class HelpCommand extends Command {
  static override paths = [[], ["-h"], ["--help"]];

  execute(): Promise<void> {
    this.context.stdout.write(`${this.cli.usage()}
Examples:

  Run a config without an API key or a network:
    $ datagen run configs/translation.json --provider offline

  Try a config on 10 inputs and 4 perspectives:
    $ datagen run configs/peer_review.json --test

  Go on with the newest run after a crash or a Ctrl-C:
    $ datagen resume latest

  See all runs with their tokens, and one in detail:
    $ datagen runs list
    $ datagen runs show latest

Every command has its own --help.
`);
    return Promise.resolve();
  }
}
