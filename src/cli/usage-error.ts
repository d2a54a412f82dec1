import leven from "leven";
import { commandIn } from "./commands.ts";
import { printable } from "./render/text.ts";
import { COMMAND_NAMES, type Flag, isGroup, type Usage, usageOf } from "./usage.ts";
import { meaningOf } from "./value-names.ts";

/**
 * The text of an error in how a command was typed: what is wrong with it, and the help that explains it.
 *
 * @param error what clipanion says, for the cases that only it knows
 */
export async function renderUsageError(error: unknown, args: readonly string[]): Promise<string> {
  const name = commandIn(args);
  const found = name === undefined || isGroup(name) ? unknownCommand(name, args) : misuse(await usageOf(name), args);
  const help = `datagen ${name === undefined ? "" : `${name} `}--help`;
  return `Error: ${printable(found ?? messageOf(error))}\nSee \`${help}\`.\n`;
}

/** @param group the group whose command it should be, such as `runs` */
function unknownCommand(group: string | undefined, args: readonly string[]): string {
  const words = args.slice(group === undefined ? 0 : 1);
  const [word = ""] = words;
  const parent = group === undefined ? "datagen" : `datagen ${group}`;
  if (word.startsWith("-")) {
    return `${JSON.stringify(word)} is not a flag of \`${parent}\`${hint(similar(word, ["--help", "--version"]))}`;
  }
  const typed = [group, ...words.slice(0, 2)].filter((each) => each !== undefined && !each.startsWith("-")).join(" ");
  // Also the last word alone: `datagen list` may mean `datagen runs list`.
  const meant =
    similar(group === undefined ? word : `${group} ${word}`, COMMAND_NAMES) ??
    similar(typed, COMMAND_NAMES) ??
    COMMAND_NAMES.find((name) => name.endsWith(` ${word}`));
  return `${JSON.stringify(word)} is not a command of \`${parent}\`${hint(meant && `datagen ${meant}`)}`;
}

/** What is wrong with the arguments of a command; undefined if only clipanion knows. */
function misuse(usage: Usage, args: readonly string[]): string | undefined {
  const command = `\`datagen ${usage.name}\``;
  const given: string[] = [];
  const rest = args.slice(usage.name.split(" ").length);
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--") {
      given.push(...rest);
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      given.push(arg);
      continue;
    }
    const [name = "", value] = arg.split("=", 2);
    const flag = flagNamed(name, usage.flags);
    if (flag === undefined) {
      const names = usage.flags.flatMap(({ names: all }) => all);
      return `${JSON.stringify(name)} is not a flag of ${command}${hint(similar(name, names))}`;
    }
    if (flag.value === null || value !== undefined) continue;
    if (rest[0] === undefined || (rest[0].startsWith("-") && rest[0] !== "-")) {
      return `${name} needs a value: ${name} ${flag.value}`;
    }
    rest.shift();
  }
  const isOpen = usage.arguments.includes("...");
  const known = usage.arguments.filter((word) => word !== "...");
  const [missing] = known.filter((word) => !word.startsWith("[")).slice(given.length);
  if (missing !== undefined) return missingText(missing);
  const [extra] = given.slice(known.length);
  if (extra === undefined || isOpen) return undefined;
  const takes = known.length === 0 ? "no arguments" : `only ${known.join(" ")}`;
  return `${JSON.stringify(extra)} is one argument too many: ${command} takes ${takes}`;
}

function missingText(name: string): string {
  const meaning = meaningOf(name);
  return `${name} is missing${meaning === undefined ? "" : `: ${meaning}`}`;
}

function flagNamed(name: string, flags: readonly Flag[]): Flag | undefined {
  return flags.find(({ names, value }) =>
    names.some((each) => each === name || (value === null && `--no-${each.slice(2)}` === name)),
  );
}

/** The name that a mistyped word most likely means: one that begins with it, else the nearest. */
function similar(word: string, names: readonly string[]): string | undefined {
  const bare = (text: string) => text.replace(/^-+/, "");
  const long = names.filter((name) => bare(name).length > 1);
  const longer = long.find((name) => bare(word).length > 1 && bare(name).startsWith(bare(word)));
  if (longer !== undefined) return longer;
  const [best] = long
    .map((name) => ({ name, size: bare(name).length, distance: leven(bare(word), bare(name)) }))
    // Two letters that change places are two steps.
    .filter(({ size, distance }) => distance < size && distance <= Math.max(2, Math.floor(size / 3)))
    .toSorted((a, b) => a.distance - b.distance);
  return best?.name;
}

function hint(meant: string | undefined): string {
  return meant ? `; did you mean \`${meant}\`?` : "";
}

/** The first line of clipanion's message; the usages of similar commands follow it. */
function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const [first = message] = message.split("\n\n");
  return first.replace(/[;,] did you mean one of:\s*$/, ".");
}
