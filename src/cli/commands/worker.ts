import { Command, Option } from "clipanion";
import { providerFlag } from "../flags.ts";
import { PlainCommand } from "../command.ts";
import { growYoungGeneration } from "../memory.ts";
import { isCount } from "../number.ts";
import { interruptible } from "../signals.ts";

const DEFAULT_CONCURRENCY = 32;

export class WorkerCommand extends PlainCommand {
  static override paths = [["worker"]];
  static override usage = Command.Usage({
    category: "Workers",
    description: "Answer the calls of runs on other machines, from a queue",
    details: `
      The worker takes jobs from a queue on Redis, Valkey or PostgreSQL, sends each to its server, and reports the answer
      to the run, whose \`datagen run --queue\` has the database. The worker needs no database and no config.

      It sends requests only to the servers of \`--base-url\`, or to that of its environment or of \`--provider\`, with the
      keys of its own environment. It takes only jobs for these servers; with \`--server\`, only jobs for that name, which
      its servers share.

      Ctrl-C, or SIGTERM, ends it after the jobs that it has; a second one ends it at once. While the queue does not
      answer, the worker waits for it.
    `,
    examples: [
      [
        "On a machine with a model server",
        "datagen worker --queue redis://queue.example:6379 --base-url http://localhost:8000/v1",
      ],
      [
        "For two servers that a run calls by one name",
        "datagen worker --queue redis://queue.example:6379 --base-url http://gpu1:8000/v1 --base-url http://gpu2:8000/v1 --server llama",
      ],
      [
        "With a key of this machine",
        "datagen worker --queue postgres://queue.example:5432/queue --provider openai --concurrency 64",
      ],
    ],
  });

  queue = Option.String("--queue", { description: "The URL of the queue. Default: DATAGEN_QUEUE" });
  concurrency = Option.String("--concurrency", {
    description: `The most requests in flight at each server. Default: ${DEFAULT_CONCURRENCY}`,
    validator: isCount(),
  });
  baseUrl = Option.Array("--base-url", {
    description: "The base URL of a server that answers the jobs; give it again for further servers",
  });
  provider = providerFlag();
  server = Option.String("--server", { description: "The name of all its servers: that of `run --server`" });

  async execute(): Promise<void> {
    const [{ answerJobs }, { renderWorkerEvent, renderWorkerReport }] = await Promise.all([
      import("../../app/worker/answer-jobs.ts"),
      import("../render/worker.ts"),
    ]);
    growYoungGeneration();
    const { queue, concurrency = DEFAULT_CONCURRENCY, baseUrl: baseUrls, provider, server } = this;
    const report = await interruptible(
      (signal) =>
        answerJobs({
          queue,
          concurrency,
          baseUrls,
          provider,
          server,
          signal,
          onEvent: (event) => this.warn(renderWorkerEvent(event)),
        }),
      {
        first: () => this.warn("Taking no more jobs. Press Ctrl-C again to end at once."),
        second: () => this.warn("Ended. The jobs that it had are not answered."),
      },
    );
    if (this.json) this.printJson(report);
    else this.warn(renderWorkerReport(report));
  }
}
