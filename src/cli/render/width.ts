import { createRequire } from "node:module";
import type stringWidth from "string-width";

const require = createRequire(import.meta.url);
let measure: typeof stringWidth | undefined;

/** The width of the terminal that a stream goes to; infinite for a pipe or a file, where nothing is cut. */
export function widthOfStream({ columns }: { columns?: number }): number {
  return columns ?? (Number(process.env["COLUMNS"]) || Number.POSITIVE_INFINITY);
}

/**
 * How many columns of a terminal a text takes. The library for other characters than ASCII and the ellipsis is loaded
 * only when one occurs: loading it takes as long as half a command.
 */
export function widthOf(text: string): number {
  if (/^[ -~…]*$/.test(text)) return text.length;
  measure ??= (require("string-width") as { default: typeof stringWidth }).default;
  return measure(text);
}
