import { widthOf } from "./width.ts";
import { printable } from "./text.ts";

const BETWEEN = " │ ";

/** The width of texts where lines have no limit. */
const WIDTH_OF_TEXTS = 120;

/** The width of texts where lines have at most `width` columns. */
export function widthOfTexts(width: number): number {
  return Number.isFinite(width) ? width : WIDTH_OF_TEXTS;
}

/** A text under a title. */
export interface TextColumn {
  title: string;
  text: string;
}

/** Texts side by side: wrapped, in columns of equal width, together no wider than `width`. */
export function sideBySide(columns: readonly TextColumn[], width: number): string[] {
  const each = Math.max(1, Math.floor((width - BETWEEN.length * (columns.length - 1)) / columns.length));
  const cells = columns.map(({ title, text }) => [...wrap(title, each), "─".repeat(each), ...wrap(text, each)]);
  const height = Math.max(...cells.map(({ length }) => length));
  return Array.from({ length: height }, (_, line) => {
    const parts = cells.map((lines) => padded(lines[line] ?? "", each));
    return parts.join(BETWEEN).trimEnd();
  });
}

/**
 * A text as lines no wider than `width`, which must be at least 2. Lines are broken between words, or within a word that
 * is wider than a line. Control characters are escaped.
 */
export function wrap(text: string, width: number): string[] {
  return printable(text.replaceAll(/\r\n?/g, "\n").replaceAll("\t", "  "))
    .split("\n")
    .flatMap((line) => wrapLine(line, width));
}

function wrapLine(line: string, width: number): string[] {
  const lines: string[] = [];
  let [current, used] = ["", 0];
  const feed = () => {
    lines.push(current.trimEnd());
    [current, used] = ["", 0];
  };
  const add = (piece: string) => {
    const pieceWidth = widthOf(piece);
    if (used > 0 && used + pieceWidth > width) feed();
    // The blanks between two words vanish where a line ends.
    if (used === 0 && lines.length > 0 && piece.trim() === "") return;
    current += piece;
    used += pieceWidth;
  };
  for (const word of line.match(/\s+|\S+/g) ?? []) {
    if (widthOf(word) <= width) add(word);
    else for (const { segment } of new Intl.Segmenter("en").segment(word)) add(segment);
  }
  return [...lines, current.trimEnd()];
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}
