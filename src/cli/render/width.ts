import { createRequire } from "node:module";
import type stringWidth from "string-width";

const require = createRequire(import.meta.url);
let measure: typeof stringWidth | undefined;

/**
 * How many columns of a terminal a text takes. What is needed for characters beyond ASCII and the ellipsis is loaded with the first of
 * them: it takes as long as half of a command.
 */
export function widthOf(text: string): number {
  if (/^[ -~…]*$/.test(text)) return text.length;
  measure ??= (require("string-width") as { default: typeof stringWidth }).default;
  return measure(text);
}
