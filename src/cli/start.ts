import { Builtins, Cli } from "clipanion";
import { toolVersion } from "../app/version.ts";
import { EXIT } from "../errors.ts";
import { DbCommand } from "./commands/db.ts";
import { DbCheckCommand } from "./commands/db/check.ts";
import { DbMergeCommand } from "./commands/db/merge.ts";
import { EstimateCommand } from "./commands/estimate.ts";
import { DbCompactCommand } from "./commands/db/compact.ts";
import { DiffCommand } from "./commands/diff.ts";
import { ExportCommand } from "./commands/export.ts";
import { HelpCommand } from "./commands/help.ts";
import { ImportCommand } from "./commands/import.ts";
import { PricesCommand } from "./commands/prices.ts";
import { PricesListCommand } from "./commands/prices/list.ts";
import { PricesSetCommand } from "./commands/prices/set.ts";
import { PricesUnsetCommand } from "./commands/prices/unset.ts";
import { ResumeCommand } from "./commands/resume.ts";
import { RunCommand } from "./commands/run.ts";
import { RunsCommand } from "./commands/runs.ts";
import { RunsCancelCommand } from "./commands/runs/cancel.ts";
import { RunsConfigCommand } from "./commands/runs/config.ts";
import { RunsDeleteCommand } from "./commands/runs/delete.ts";
import { RunsListCommand } from "./commands/runs/list.ts";
import { RunsRepriceCommand } from "./commands/runs/reprice.ts";
import { RunsShowCommand } from "./commands/runs/show.ts";
import { renderUsageError } from "./render/error.ts";

/** Runs the command line. @returns its exit code */
export async function start(args: string[]): Promise<number> {
  const { stdout, stderr } = process;
  // A reader that has seen enough, such as `head`, closes the pipe.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") stderr.write(`Error: stdout cannot be written (${error.code})\n`);
    process.exit(error.code === "EPIPE" ? EXIT.done : EXIT.stopped);
  });
  // What is said on the way is for those who listen; a run goes on without them.
  stderr.on("error", () => {});
  const enableColors = stdout.isTTY ? !process.env["NO_COLOR"] : false;
  const cli = new Cli({
    binaryLabel: "datagen",
    binaryName: "datagen",
    binaryVersion: toolVersion().version,
    enableColors,
  });
  for (const command of [
    Builtins.VersionCommand,
    HelpCommand,
    RunCommand,
    ResumeCommand,
    EstimateCommand,
    RunsCommand,
    RunsListCommand,
    RunsShowCommand,
    RunsRepriceCommand,
    RunsConfigCommand,
    RunsCancelCommand,
    RunsDeleteCommand,
    DiffCommand,
    ExportCommand,
    PricesCommand,
    PricesListCommand,
    PricesSetCommand,
    PricesUnsetCommand,
    ImportCommand,
    DbCommand,
    DbCheckCommand,
    DbMergeCommand,
    DbCompactCommand,
  ]) {
    cli.register(command);
  }
  const context = { stdin: process.stdin, stdout, stderr };
  try {
    // clipanion itself would write what is wrong with the words of a command to stdout, and exit with 1.
    return await cli.run(cli.process(args, context), context);
  } catch (error) {
    stderr.write(renderUsageError(error, args));
    return EXIT.usage;
  }
}
