import type { GridCell, StepView, ViewedRun } from "./rows.ts";

/*
 * The data inside an exported page: a script of type application/json with the run, one with its statistics, and one for
 * each chunk of rows. A chunk has each text once; its rows name texts by their places in it, so that a prompt costs little.
 */

/** The place of a text in its chunk. */
export type TextAt = number;

export interface PageHead {
  viewed: ViewedRun;
}

export interface PageChunk {
  texts: string[];
  /** The lengths of the texts that are cut, in Unicode code points, by their places. */
  lengths: Record<TextAt, number>;
  rows: PageRow[];
}

export interface PageRow {
  position: number;
  id: string | number;
  input: TextAt;
  reference: TextAt | null;
  /** By condition, then by replicate. */
  cells: PageCell[][];
}

/** A cell of the grid with its steps. */
export interface PageCell extends Omit<GridCell, "response"> {
  response: TextAt | null;
  steps: PageStep[];
}

export interface PageStep extends Omit<StepView, "messages" | "parameters" | "text"> {
  /** Each content in pieces. */
  messages: { role: string; content: TextAt[] }[] | null;
  /** As JSON. */
  parameters: TextAt | null;
  text: TextAt | null;
}
