import { Cli } from "clipanion";
import { COMMANDS } from "./commands.ts";
import { valueName } from "./value-names.ts";

/** What help, error messages and completions know of a command. */
export interface Usage {
  /** Its words, such as `runs list`. */
  name: string;
  description: string;
  /** As help shows them: `CONFIG`, `[NAME]`, or `...` for any number. */
  arguments: string[];
  flags: Flag[];
  paragraphs: string[];
  examples: [label: string, line: string][];
}

export interface Flag {
  /** The longest first. */
  names: string[];
  /** How help names its value; null for a flag that takes none. */
  value: string | null;
  description: string;
}

/** The words of all commands, without groups such as `runs`. */
export const COMMAND_NAMES = [...COMMANDS.keys()].filter((name) => !name.startsWith("-") && !isGroup(name));

/** Whether a name is that of several commands: `runs` is the group of `runs list` and others. */
export function isGroup(name: string): boolean {
  return [...COMMANDS.keys()].some((other) => other.startsWith(`${name} `));
}

/** The usage of a command in COMMANDS. */
export async function usageOf(name: string): Promise<Usage> {
  const command = await COMMANDS.get(name)!();
  const { description = "", details = "", examples = [] } = command.usage ?? {};
  const [definition] = Cli.from(command, { binaryName: "datagen" }).definitions();
  const { usage = "", options = [] } = definition ?? {};
  const words = usage.split(" ").slice(1 + name.split(" ").length);
  return {
    name,
    description,
    arguments: words.filter(Boolean).map((word) => word.replace(/^<(.*)>$/, "$1")),
    flags: options.map((option) => flagOf(name, option)),
    paragraphs: details
      .split(/\n\s*\n/)
      .map((paragraph) => paragraph.replaceAll(/\s+/g, " ").trim())
      .filter(Boolean),
    examples: examples.map(([label, line]) => [label, line]),
  };
}

/** @param definition as clipanion writes it: `--output,-o #0` */
function flagOf(command: string, { definition, description = "" }: { definition: string; description?: string }): Flag {
  const [listed = "", placeholder] = definition.split(" ");
  const names = listed.split(",");
  const [name = ""] = names;
  return { names, value: placeholder === undefined ? null : valueName(command, name), description };
}
