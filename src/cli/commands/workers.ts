import { Command, Option } from "clipanion";
import { PlainCommand } from "../command.ts";

export class WorkersCommand extends PlainCommand {
  static override paths = [["workers"]];
  static override usage = Command.Usage({
    category: "Workers",
    description: "List the workers of a queue",
    details: `
      Shows the host of each worker, the servers that it sends to, its requests in flight, how many jobs it has answered,
      and when it was last heard. The command watches the workers for up to six seconds. One that gives no sign of life
      in that time has probably ended.
    `,
    examples: [["As a table that fits the terminal", "datagen workers --queue redis://queue.example:6379"]],
  });

  queue = Option.String("--queue", { description: "The URL of the queue. Default: DATAGEN_QUEUE" });

  async execute(): Promise<void> {
    const [{ listWorkers }, { renderWorkers }] = await Promise.all([
      import("../../app/worker/list-workers.ts"),
      import("../render/workers.ts"),
    ]);
    const workers = await listWorkers(this.queue);
    if (this.json) this.printJson(workers);
    else this.print(renderWorkers(workers, this.width));
  }
}
