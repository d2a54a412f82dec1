/** A line of the table: a figure of datagen, and that of its floor or rival in the same run of the bench. */
export interface Row {
  what: string;
  /** The figure of datagen, with its unit. */
  datagen: string;
  /** The name of the floor or rival, and its figure. */
  other: string;
  /** The ratio of the figures, with its goal if there is one; null if they are not compared. */
  ratio: { value: number; atMost?: number; atLeast?: number } | null;
}

const HEAD = ["what", "datagen", "floor or rival", "ratio", "to reach", ""];

/** Whether a row reaches its goal; true without a goal. */
function isReached({ ratio }: Row): boolean {
  if (!ratio) return true;
  const { value, atMost = Number.POSITIVE_INFINITY, atLeast = 0 } = ratio;
  return value <= atMost && value >= atLeast;
}

/** The rows as a table. */
export function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => {
    const { what, datagen, other, ratio } = row;
    const reach =
      ratio?.atMost !== undefined
        ? `≤ ${figure(ratio.atMost)}`
        : ratio?.atLeast !== undefined
          ? `≥ ${figure(ratio.atLeast)}`
          : "";
    return [what, datagen, other, ratio ? figure(ratio.value) : "", reach, isReached(row) ? "" : "missed"];
  });
  return markdown(HEAD, cells);
}

/** A table in Markdown. */
export function markdown(head: readonly string[], rows: readonly string[][]): string {
  const widths = head.map((title, at) => Math.max(3, title.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** A ratio with its significant digits. */
function figure(value: number): string {
  return value < 0.2 ? value.toFixed(3) : value < 10 ? value.toFixed(2) : value.toFixed(1);
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 1_000 ? 3 : 2)} s`;
}

export function milliseconds(ms: number): string {
  return `${ms.toFixed(2)} ms`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
