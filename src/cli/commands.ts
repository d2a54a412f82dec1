import { Builtins, type CommandClass } from "clipanion";

/** The commands by their words, in the order in which help shows them. Only the command that is run is loaded. */
export const COMMANDS: ReadonlyMap<string, () => Promise<CommandClass>> = new Map(
  Object.entries({
    "--version": () => Promise.resolve(Builtins.VersionCommand),
    init: async () => (await import("./commands/init.ts")).InitCommand,
    run: async () => (await import("./commands/run.ts")).RunCommand,
    resume: async () => (await import("./commands/resume.ts")).ResumeCommand,
    estimate: async () => (await import("./commands/estimate.ts")).EstimateCommand,
    preview: async () => (await import("./commands/preview.ts")).PreviewCommand,
    check: async () => (await import("./commands/check.ts")).CheckCommand,
    runs: async () => (await import("./commands/runs.ts")).RunsCommand,
    "runs list": async () => (await import("./commands/runs/list.ts")).RunsListCommand,
    "runs show": async () => (await import("./commands/runs/show.ts")).RunsShowCommand,
    "runs reprice": async () => (await import("./commands/runs/reprice.ts")).RunsRepriceCommand,
    "runs config": async () => (await import("./commands/runs/config.ts")).RunsConfigCommand,
    "runs inputs": async () => (await import("./commands/runs/inputs.ts")).RunsInputsCommand,
    "runs cancel": async () => (await import("./commands/runs/cancel.ts")).RunsCancelCommand,
    "runs delete": async () => (await import("./commands/runs/delete.ts")).RunsDeleteCommand,
    view: async () => (await import("./commands/view.ts")).ViewCommand,
    show: async () => (await import("./commands/show.ts")).ShowCommand,
    diff: async () => (await import("./commands/diff.ts")).DiffCommand,
    stats: async () => (await import("./commands/stats.ts")).StatsCommand,
    export: async () => (await import("./commands/export.ts")).ExportCommand,
    scores: async () => (await import("./commands/scores.ts")).ScoresCommand,
    "scores import": async () => (await import("./commands/scores/import.ts")).ScoresImportCommand,
    data: async () => (await import("./commands/data.ts")).DataCommand,
    "data show": async () => (await import("./commands/data/show.ts")).DataShowCommand,
    "data pull": async () => (await import("./commands/data/pull.ts")).DataPullCommand,
    models: async () => (await import("./commands/models.ts")).ModelsCommand,
    prices: async () => (await import("./commands/prices.ts")).PricesCommand,
    "prices list": async () => (await import("./commands/prices/list.ts")).PricesListCommand,
    "prices set": async () => (await import("./commands/prices/set.ts")).PricesSetCommand,
    "prices unset": async () => (await import("./commands/prices/unset.ts")).PricesUnsetCommand,
    import: async () => (await import("./commands/import.ts")).ImportCommand,
    db: async () => (await import("./commands/db.ts")).DbCommand,
    "db check": async () => (await import("./commands/db/check.ts")).DbCheckCommand,
    "db backup": async () => (await import("./commands/db/backup.ts")).DbBackupCommand,
    "db merge": async () => (await import("./commands/db/merge.ts")).DbMergeCommand,
    "db compact": async () => (await import("./commands/db/compact.ts")).DbCompactCommand,
    worker: async () => (await import("./commands/worker.ts")).WorkerCommand,
    workers: async () => (await import("./commands/workers.ts")).WorkersCommand,
    completion: async () => (await import("./commands/completion.ts")).CompletionCommand,
  }),
);

/** The words of the command that arguments begin with; undefined if it is none. */
export function commandIn(args: readonly string[]): string | undefined {
  return [args.slice(0, 2).join(" "), args[0] ?? ""].find((name) => COMMANDS.has(name));
}
