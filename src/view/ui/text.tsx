import type { ComponentChildren, HTMLAttributes } from "preact";
import type { RunSummary } from "../../app/runs/summary.ts";
import type { ShownText } from "../rows.ts";

/**
 * Characters that a reader would not see, or that turn the direction of a line: control characters, the marks and
 * overrides of direction, invisible spaces and tags, and halves of surrogate pairs.
 */
const UNSEEN =
  // oxlint-disable-next-line no-control-regex -- this expression finds control characters
  /\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Surrogate}/gu;

/** How many of them get an element in a long text, and in one of many texts; others are letters, too, but without one. */
const MOST_MARKED = 100;
export const FEW_MARKED = 4;

/** The text with each unseen character as its name, such as [U+202E]. */
export function visible(text: string): string {
  return text.replaceAll(UNSEEN, nameOf);
}

function nameOf(character: string): string {
  return `[U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]`;
}

/** A text of the data, as letters only. Unseen characters are marks. */
export function piecesOf(text: string, most = MOST_MARKED): ComponentChildren {
  if (text.search(UNSEEN) === -1) return text;
  const pieces: ComponentChildren[] = [];
  let at = 0;
  let marks = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (marks === most) break;
    marks += 1;
    if (match.index > at) pieces.push(text.slice(at, match.index));
    pieces.push(<span class="unseen">{nameOf(match[0])}</span>);
    at = match.index + match[0].length;
  }
  if (at < text.length) pieces.push(visible(text.slice(at)));
  return pieces;
}

/** A text of the data with its line breaks, in its own direction. */
export function Text({ text, most, ...rest }: { text: string; most?: number } & HTMLAttributes<HTMLDivElement>) {
  return (
    <div dir="auto" {...rest}>
      {piecesOf(text, most)}
    </div>
  );
}

/** A text that may be cut, beside others. */
export function Words({ text, ...rest }: { text: ShownText; most?: number }) {
  return <Text class="words" text={text.isCut ? `${text.text}…` : text.text} {...rest} />;
}

/** The model of a run. The offline provider asks none, whatever the config names. */
export function modelOf({ provider, model }: Pick<RunSummary, "provider" | "model">): string {
  return provider === "offline" ? `offline (${model})` : model;
}

/** A name of the data inside a sentence. */
export function Name({ text }: { text: string }) {
  return <bdi>{piecesOf(text)}</bdi>;
}
