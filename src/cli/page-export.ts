import type { Readable } from "node:stream";
import { Option } from "clipanion";
import { UsageError } from "../errors.ts";
import { FORMATS } from "../export/formats.ts";
import type { Piece } from "../export/renderer.ts";
import type { RenderPageOptions } from "../app/view/export-page.ts";
import { DatagenCommand } from "./command.ts";
import { megabytes, printable } from "./render/text.ts";
import { interruptible } from "./signals.ts";

/** The formats of datasets, the folder for the Hugging Face Hub, and the page for people. */
export const EXPORT_FORMATS = [...FORMATS, "hf", "html"] as const;

/** Whether an output is stdout. */
export function isStdout(output: string | undefined): boolean {
  return output === "-" || output === "/dev/stdout";
}

/** A command that writes a file of runs: a page, or also datasets. */
export abstract class PageExportCommand extends DatagenCommand {
  yes = Option.Boolean("--yes,-y", false, { description: "Write an HTML page of more than 50 MB without asking" });

  /** @param output as `exportPage` takes it; - is stdout */
  protected async exportPage(
    run: string,
    output: string | undefined,
    options: Pick<RenderPageOptions, "inputs" | "conditions"> = {},
  ): Promise<void> {
    const [{ exportPage, renderPage }, { showSummary }] = await Promise.all([
      import("../app/view/export-page.ts"),
      import("../app/runs/show-run.ts"),
    ]);
    using store = await this.openToRead();
    const whole = { ...options, confirmSize: (bytes: number, isLarge: boolean) => this.#confirmSize(bytes, isLarge) };
    if (isStdout(output)) return await this.pipeToStdout(await renderPage(store, run, whole), printable);
    const page = await this.exporting((signal) => exportPage(store, run, { ...whole, output, signal }));
    if (this.json) this.printJson({ run: showSummary(store, run), page });
    else this.print(page);
  }

  /** Writes to stdout what comes in pieces. @param clean makes text safe to show, for a terminal */
  protected async pipeToStdout(rendered: Readable, clean: (text: string) => string): Promise<void> {
    const { pipeline } = await import("node:stream/promises");
    const isTerminal = (this.context.stdout as NodeJS.WriteStream).isTTY;
    const textOf = (piece: Piece) => (typeof piece === "string" ? piece : Buffer.from(piece).toString("latin1"));
    const shown = async function* (pieces: AsyncIterable<Piece>) {
      for await (const piece of pieces) yield isTerminal ? clean(textOf(piece)) : piece;
    };
    await pipeline(rendered, shown, this.context.stdout, { end: false });
  }

  /** Runs an export with a signal that a Ctrl-C aborts. */
  protected async exporting<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await interruptible(body, {
      first: () =>
        this.warn("Stopping: the export ends, and its unfinished file is removed. Press Ctrl-C again to end at once."),
      second: () => this.warn("Ended."),
    });
  }

  async #confirmSize(bytes: number, isLarge: boolean): Promise<boolean> {
    const size = `The page is about ${megabytes(bytes)} large`;
    if (!isLarge || this.yes) {
      this.warn(`${size}.`);
      return true;
    }
    const { ask } = this;
    if (ask) return await ask(`${size}, and browsers open such a page slowly. Write it?`);
    throw new UsageError(
      `the page would be about ${megabytes(bytes)} large, and there is no terminal to ask on`,
      "Add --yes, or take a part of the run: `datagen view RUN --export FILE --inputs 100`.",
    );
  }
}
