import { once } from "node:events";
import { Command, Option } from "clipanion";
import type { ServedView } from "../../app/view/serve-view.ts";
import { RUN_DESCRIPTION } from "../command.ts";
import { errorMessage, UsageError } from "../../errors.ts";
import { isCount, isPort } from "../number.ts";
import { PageExportCommand } from "../page-export.ts";
import { interruptible } from "../signals.ts";

export class ViewCommand extends PageExportCommand {
  static override paths = [["view"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Look at what the models said, on a page in the browser",
    details: `
      ${RUN_DESCRIPTION} Without it, the page begins with the list of all runs.

      The page is served on this machine only, and also shows runs that go on. It only reads. Its address has a secret
      token, which lets in only you: do not pass it on. Ctrl-C ends the server.

      If the browser is on another machine, forward a port to this one with \`ssh -L 8080:127.0.0.1:8080 HOST\`, and start
      the server with \`--port 8080\`. If the two ports differ, name the address that the browser
      opens with \`--public-origin\`.

      \`--export\` starts no server: it writes the run as one HTML file, to hand on. It opens in a browser without a
      network, and shows everything but other runs. \`--inputs\` and \`--conditions\` take a part of the run.
    `,
    examples: [
      ["The newest run", "datagen view latest"],
      ["One file for somebody else", "datagen view latest --export run.html"],
      [
        "A part of a large run",
        'datagen view latest --export part.html --inputs 50 --conditions "Faithful: literal" --conditions Strategic',
      ],
      ["All runs, on a port that a tunnel leads to", "datagen view --port 8080 --no-open"],
      ["Through a tunnel from the port 9000", "datagen view --port 8080 --public-origin http://localhost:9000"],
    ],
  });

  run = Option.String({ name: "RUN", required: false });
  port = Option.String("--port", { description: "The port to listen on. Default: any free one", validator: isPort() });
  noOpen = Option.Boolean("--no-open", false, { description: "Do not open the browser" });
  publicOrigin = Option.String("--public-origin", {
    description: "What the browser opens, if it reaches the page through a tunnel, such as http://localhost:8080",
  });

  exported = Option.String("--export", { description: "Write the run as one HTML file, a folder that exists, or -" });
  inputs = Option.String("--inputs", { description: "Export only the first N inputs", validator: isCount() });
  conditions = Option.Array("--conditions", {
    description: "Export only this condition, or all that begin with it. May be given several times",
  });

  async execute(): Promise<void> {
    const { run, exported, inputs, conditions } = this;
    if (exported !== undefined) {
      if (this.port !== undefined || this.noOpen || this.publicOrigin !== undefined) {
        throw new UsageError(
          "--port, --no-open and --public-origin are for the server, which --export does not start",
          "Leave them out.",
        );
      }
      if (run === undefined) throw new UsageError("--export: no run is named", "Name one, such as `latest`.");
      await this.exportPage(run, exported, { inputs, conditions });
      return;
    }
    if (inputs !== undefined || conditions !== undefined || this.yes) {
      throw new UsageError("--inputs, --conditions and --yes are for --export", "The page itself has filters.");
    }
    const view = await this.#serve();
    let closeBrowserFile = () => {};
    const untilInterrupted = async (signal: AbortSignal) => {
      if (this.json) this.printJson({ url: view.url });
      else this.print(view.url);
      this.warn(`Serving on 127.0.0.1:${view.port}, for you only. Ctrl-C ends it.`);
      if (!this.noOpen && this.publicOrigin === undefined && process.stdout.isTTY)
        closeBrowserFile = await this.#open(view.url);
      await Promise.race([once(signal, "abort"), view.failed]);
    };
    try {
      await interruptible(untilInterrupted, { first: () => {}, second: () => {} });
    } finally {
      closeBrowserFile();
      await view.close();
    }
  }

  async #serve(): Promise<ServedView> {
    const { serveView } = await import("../../app/view/serve-view.ts");
    // The server opens the database again, in a thread.
    using store = await this.openToRead();
    const { run, port, publicOrigin } = this;
    return await serveView(store, {
      run,
      port,
      publicOrigin,
      onEvent: this.onEvent,
    });
  }

  /** @returns what removes the file that it needs */
  async #open(url: string): Promise<() => void> {
    const { openBrowser } = await import("../../app/view/open-browser.ts");
    try {
      return await openBrowser(url);
    } catch (error) {
      this.warn(`Warning: no browser was opened (${errorMessage(error)}); open the address yourself.`);
      return () => {};
    }
  }
}
