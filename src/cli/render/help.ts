import type { Flag, Usage } from "../usage.ts";
import { wrap } from "./columns.ts";

/** Where help goes. */
export interface Page {
  /** The columns of the terminal. */
  width: number;
  hasColours: boolean;
}

/** The width of help that does not go to a terminal. */
const PAPER = 80;

/** The narrowest column of descriptions; below it they go under what they describe. */
const NARROWEST = 24;

/** The help of a command. @param members the commands of a group, such as those of `runs` */
export function renderUsage(usage: Usage, members: readonly Usage[], page: Page): string {
  const { name, description, flags, paragraphs, examples } = usage;
  const words = members.length > 0 ? ["COMMAND"] : [...usage.arguments, ...(flags.length > 0 ? ["[OPTIONS]"] : [])];
  const commands = members.map((member): Row => [member.name.slice(name.length + 1), member.description]);
  return joined([
    wrap(description, widthOf(page)),
    section("Usage", [`  ${["datagen", name, ...words].join(" ")}`], page),
    section("Commands", table(commands, page), page),
    section("Options", table(flags.map(rowOf), page), page),
    ...paragraphs.map((paragraph, at) => {
      const lines = wrap(paragraph, widthOf(page));
      return at === 0 ? section("Details", lines, page) : lines;
    }),
    section("Examples", renderExamples(examples, page), page),
  ]);
}

/** The help of datagen itself. */
export function renderOverview(
  version: string,
  commands: readonly Usage[],
  examples: Usage["examples"],
  page: Page,
): string {
  const rows = commands.map(({ name, description }): Row => [`datagen ${name}`, description]);
  return joined([
    wrap(`datagen ${version}: ask a language model for every input from many perspectives`, widthOf(page)),
    section("Commands", table(rows, page), page),
    wrap("`datagen help COMMAND` or `datagen COMMAND --help` explains a command.", widthOf(page)),
    section("Examples", renderExamples(examples, page), page),
  ]);
}

/** A word, and what it means. */
type Row = [word: string, meaning: string];

function rowOf({ names, value, description }: Flag): Row {
  // Short names come first, as `-o, --output`.
  const words = names.toReversed().join(", ");
  return [value === null ? words : `${words} ${value}`, description];
}

function table(rows: readonly Row[], page: Page): string[] {
  const column = Math.max(...rows.map(([word]) => word.length)) + 4;
  const isNarrow = widthOf(page) - column < NARROWEST;
  const indent = isNarrow ? 6 : column;
  return rows.flatMap(([word, meaning]) => {
    const lines = wrap(meaning, Math.max(2, widthOf(page) - indent)).map((line) => " ".repeat(indent) + line);
    const shown = bold(word, page);
    if (isNarrow) return [`  ${shown}`, ...lines];
    return [`  ${shown}${lines[0]!.slice(2 + word.length)}`, ...lines.slice(1)];
  });
}

/** Lines to type stay whole, so that they can be copied. */
function renderExamples(examples: Usage["examples"], page: Page): string[] {
  return examples.flatMap(([label, line], at) => [
    ...(at > 0 && label !== "" ? [""] : []),
    ...wrap(label, widthOf(page) - 2).flatMap((each) => (each === "" ? [] : [`  ${each}`])),
    `  ${bold("$", page)} ${line}`,
  ]);
}

function section(title: string, lines: readonly string[], page: Page): string[] {
  return lines.length === 0 ? [] : [bold(title, page), "", ...lines];
}

function joined(sections: readonly (readonly string[])[]): string {
  return sections
    .filter(({ length }) => length > 0)
    .map((lines) => `${lines.join("\n")}\n`)
    .join("\n");
}

function widthOf({ width }: Page): number {
  return Number.isFinite(width) ? Math.max(20, width) : PAPER;
}

function bold(text: string, { hasColours }: Page): string {
  return hasColours ? `\u001b[1m${text}\u001b[22m` : text;
}
