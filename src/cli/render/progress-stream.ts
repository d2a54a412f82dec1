import type { Rates } from "./progress-line.ts";
import { cut } from "./table.ts";
import { printable } from "./text.ts";

/** The stream that progress is written to: a terminal or a file. */
export interface ProgressStream {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 100;
const LINE_EVERY_MS = 10_000;
/** The rate covers the last seconds only, so that it follows a change. */
const RATE_WINDOW_MS = 15_000;

/** Writes lines. On a terminal, progress lines are replaced by the next lines. */
export function createLines(stream: ProgressStream) {
  const isTerminal = stream.isTTY === true;
  const everyMs = isTerminal ? REDRAW_MS : LINE_EVERY_MS;
  let shownAt = Date.now();
  /** The progress lines on the terminal. */
  let shown = 0;

  function clear(): void {
    if (shown > 0) stream.write(`\r\u001b[2K${"\u001b[1A\u001b[2K".repeat(shown - 1)}`);
    shown = 0;
  }

  return {
    everyMs,
    /** The width of a progress line: a terminal would break a full line. Null where there is no terminal. */
    get width(): number | null {
      return isTerminal ? (stream.columns ?? 80) - 1 : null;
    },
    /** How many lines there is room for. */
    get height(): number {
      return isTerminal ? (stream.rows ?? 24) : Number.POSITIVE_INFINITY;
    },
    clear,
    write(line: string): void {
      clear();
      stream.write(`${printable(line)}\n`);
    },
    /** Shows progress lines in the place of earlier ones. */
    show(...lines: string[]): void {
      const { width } = this;
      if (width === null) {
        for (const line of lines) stream.write(`${printable(line)}\n`);
        return;
      }
      const [first = "", ...others] = lines.map((line) => cut(printable(line), width));
      const up = "\u001b[1A\u001b[2K".repeat(Math.max(0, shown - 1));
      stream.write(`\r\u001b[2K${up}${[first, ...others].join("\n")}`);
      shown = lines.length;
    },
    /** Whether it is time for the next line. */
    isDue(): boolean {
      const now = Date.now();
      if (now - shownAt < everyMs) return false;
      shownAt = now;
      return true;
    },
  };
}

interface Sample {
  at: number;
  done: number;
}

/** Measures how much is done in a second, such as calls or bytes. */
export function createSpeed() {
  const samples: Sample[] = [];
  let first: Sample | undefined;
  return {
    /** Whether something had to wait. Then the last seconds say little about the time that is left. */
    hasWaits: false,
    add(done: number): void {
      const sample = { at: Date.now(), done };
      first ??= sample;
      samples.push(sample);
      while (samples.length > 2 && sample.at - (samples[0]?.at ?? sample.at) > RATE_WINDOW_MS) samples.shift();
    },
    /** The rate of the last seconds, and the one that lasts. */
    rates(): Rates {
      const rate = rateOf(samples[0], samples.at(-1));
      return { rate, lasting: this.hasWaits ? rateOf(first, samples.at(-1)) : rate };
    },
  };
}

function rateOf(from: Sample | undefined, to: Sample | undefined): number {
  return from && to && to.at > from.at ? ((to.done - from.done) * 1_000) / (to.at - from.at) : 0;
}
