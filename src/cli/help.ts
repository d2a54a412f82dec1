import { toolVersion } from "../app/version.ts";
import { type Page, renderOverview, renderUsage } from "./render/help.ts";
import { widthOfStream } from "./render/width.ts";
import { COMMAND_NAMES, usageOf } from "./usage.ts";

/** The first things to type. */
const FIRST_LINES: [label: string, line: string][] = [
  ["Write a config and its inputs, and run it without an API key or a network", "datagen init my_study"],
  ["", "datagen run my_study.json --provider offline"],
  ["Know what a config will cost before it is run", "datagen estimate my_study.json"],
  ["Go on with the newest run after a crash or a Ctrl-C", "datagen resume latest"],
  ["See all runs with their tokens and cost, and one in detail", "datagen runs list"],
  ["", "datagen runs show latest"],
];

/** Prints the help of a command, or without one that of datagen. @returns the exit code */
export async function showHelp(name?: string): Promise<number> {
  const { stdout } = process;
  const page: Page = {
    width: widthOfStream(stdout),
    hasColours: stdout.isTTY && !process.env["NO_COLOR"],
  };
  const members = COMMAND_NAMES.filter((each) => name === undefined || each.startsWith(`${name} `));
  const usages = await Promise.all(members.map((each) => usageOf(each)));
  stdout.write(
    name === undefined
      ? renderOverview(toolVersion().version, usages, FIRST_LINES, page)
      : renderUsage(await usageOf(name), usages, page),
  );
  return 0;
}
