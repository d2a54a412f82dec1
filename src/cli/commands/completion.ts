import { Command, Option } from "clipanion";
import { isEnum } from "typanion";
import { PROVIDERS } from "../../config/providers.ts";
import { EXPORT_FORMATS } from "../page-export.ts";
import { renderCompletion, SHELLS } from "../render/completion.ts";
import { COMMAND_NAMES, usageOf } from "../usage.ts";

export class CompletionCommand extends Command {
  static override paths = [["completion"]];
  static override usage = Command.Usage({
    category: "Shell",
    description: "Print a script that makes a shell complete commands and flags",
    details: `
      \`SHELL\` is bash, zsh or fish. For bash, put \`eval "$(datagen completion bash)"\` into ~/.bashrc. For zsh, put
      \`eval "$(datagen completion zsh)"\` into ~/.zshrc, below the line with compinit. For fish, write the script to
      ~/.config/fish/completions/datagen.fish.
    `,
    examples: [
      ["The script for bash", "datagen completion bash"],
      ["The script for fish, in a file", "datagen completion fish > datagen.fish"],
    ],
  });

  shell = Option.String({ name: "SHELL", validator: isEnum(SHELLS) });

  async execute(): Promise<void> {
    const usages = await Promise.all(COMMAND_NAMES.map((name) => usageOf(name)));
    const latest = ["latest"];
    const choices = {
      "--provider": PROVIDERS,
      "[PROVIDER]": PROVIDERS,
      "--format": EXPORT_FORMATS,
      RUN: latest,
      A: latest,
      B: latest,
      SHELL: SHELLS,
    };
    this.context.stdout.write(renderCompletion(this.shell, usages, choices));
  }
}
