import { emptyFigures } from "../histogram.ts";
import type { PageCell, PageChunk, PageHead, PageRow, PageStep, TextAt } from "../page-data.ts";
import type {
  CellView,
  Distributions,
  Filter,
  GridRow,
  Matches,
  Rows,
  ShownText,
  Statistics,
  StepView,
} from "../rows.ts";
import { addValues } from "./file-figures.ts";
import { cellMatches, latencyOf } from "./file-filter.ts";
import { lengthOf } from "./length.ts";

/** How much of a text the grid shows, in characters. */
const MOST_IN_GRID = 600;
/** How long one slice of a search or of a count may take. */
const SLICE_MS = 60;
/** Chunks that are kept ready. */
const MOST_CHUNKS = 24;

interface Chunk {
  first: number;
  last: number;
  element: Element;
}

/** The rows of an exported page, from the data that stands in it. */
export function createFileRows(): { rows: Rows; run: string } {
  const head = JSON.parse(document.querySelector("script[data-page=head]")!.textContent) as PageHead;
  const { viewed } = head;
  const chunks = Array.from(document.querySelectorAll<HTMLElement>("script[data-page=rows]"), (element): Chunk => ({
    element,
    first: Number(element.dataset["first"]),
    last: Number(element.dataset["last"]),
  }));
  const read = chunkReader();
  /** The rows from a position on, each with the texts of its chunk. */
  function* rowsFrom(position: number): Generator<[PageRow, PageChunk]> {
    for (const chunk of chunks) {
      if (chunk.last < position) continue;
      const parsed = read(chunk);
      for (const row of parsed.rows) if (row.position >= position) yield [row, parsed];
    }
  }
  const rowAt = (position: number): [PageRow, PageChunk] => {
    for (const found of rowsFrom(position)) {
      if (found[0].position === position) return found;
      break;
    }
    throw new Error(`This page has no input ${position}.`);
  };
  const rows: Rows = {
    runs: async () => [viewed.run],
    run: async () => viewed,
    async grid(_, from, count) {
      const found: GridRow[] = [];
      for (const [row, chunk] of rowsFrom(from)) {
        found.push(gridRow(row, chunk, MOST_IN_GRID));
        if (found.length >= count) break;
      }
      return found;
    },
    row: async (_, position) => gridRow(...rowAt(position), Number.POSITIVE_INFINITY),
    async cell(_, position, condition, replicate) {
      const [row, chunk] = rowAt(position);
      const cell = row.cells[condition]?.[replicate - 1];
      if (cell === undefined) throw new Error("This page has no such cell.");
      return cellView(cell, chunk, {
        position,
        condition: viewed.conditions[condition]?.condition ?? "",
        replicate,
      });
    },
    matches: async (_, filter, after) => sliced(rowsFrom(after + 1), matchesOf(filter, viewed.conditions)),
    distributions: async (_, after) => sliced(rowsFrom(after + 1), figuresOf(viewed.conditions.length)),
    statistics: async () =>
      JSON.parse(document.querySelector("script[data-page=statistics]")!.textContent) as Statistics,
    compare: async () => ({ pairs: [], identical: 0, compared: 0, next: null, looked: 0 }),
    partner: async () => null,
    watch: () => () => {},
  };
  return { rows, run: viewed.run.id };
}

function chunkReader(): (chunk: Chunk) => PageChunk {
  const kept = new Map<Chunk, PageChunk>();
  return (chunk) => {
    const found = kept.get(chunk) ?? (JSON.parse(chunk.element.textContent) as PageChunk);
    // The chunk that was used last is the last to go.
    kept.delete(chunk);
    kept.set(chunk, found);
    const [oldest] = kept.keys();
    if (kept.size > MOST_CHUNKS && oldest !== undefined) kept.delete(oldest);
    return found;
  };
}

interface Slice<T> {
  add(row: PageRow, chunk: PageChunk): void;
  end(next: number | null, looked: number): T;
}

/** Looks at rows until its time is over. */
function sliced<T>(rows: Iterable<[PageRow, PageChunk]>, slice: Slice<T>): T {
  const until = performance.now() + SLICE_MS;
  let looked = 0;
  for (const [row, chunk] of rows) {
    slice.add(row, chunk);
    looked += 1;
    if (performance.now() > until) return slice.end(row.position, looked);
  }
  return slice.end(null, looked);
}

function matchesOf(filter: Filter, conditions: readonly { condition: string }[]): Slice<Matches> {
  const rows: Matches["rows"] = [];
  return {
    add(row, chunk) {
      const cells: [number, number][] = [];
      for (const [at, replicates] of row.cells.entries()) {
        if (filter.condition !== undefined && conditions[at]?.condition !== filter.condition) continue;
        for (const [index, cell] of replicates.entries()) {
          if (cellMatches(filter, row, cell, chunk)) cells.push([at, index + 1]);
        }
      }
      if (cells.length > 0) rows.push({ position: row.position, cells });
    },
    end: (next, looked) => ({ rows, next, looked }),
  };
}

function figuresOf(count: number): Slice<Distributions> {
  const conditions = Array.from({ length: count }, emptyFigures);
  return {
    add(row, chunk) {
      for (const [at, replicates] of row.cells.entries()) {
        for (const cell of replicates) addValues(conditions[at]!, cell, chunk, latencyOf(cell));
      }
    },
    end: (next, looked) => ({ conditions, next, looked }),
  };
}

function shown(chunk: PageChunk, at: TextAt, most: number): ShownText {
  const text = chunk.texts[at] ?? "";
  const length = chunk.lengths[at] ?? lengthOf(text);
  const isShort = text.length <= most;
  return { text: isShort ? text : beginningOf(text, most), length, isCut: !isShort || at in chunk.lengths };
}

/** The beginning of a text; no character is cut in halves. */
function beginningOf(text: string, most: number): string {
  const end = /[\ud800-\udbff]/.test(text.charAt(most - 1)) ? most - 1 : most;
  return text.slice(0, end);
}

function gridRow(row: PageRow, chunk: PageChunk, most: number): GridRow {
  const text = (at: TextAt | null) => (at === null ? null : shown(chunk, at, most));
  return {
    position: row.position,
    id: row.id,
    input: shown(chunk, row.input, most),
    reference: text(row.reference),
    cells: row.cells.map((replicates) =>
      replicates.map(({ state, failure, isTruncated, isReused, isImported, response }) => ({
        state,
        failure,
        isTruncated,
        isReused,
        isImported,
        response: text(response),
      })),
    ),
  };
}

function cellView(cell: PageCell, chunk: PageChunk, place: Omit<CellView, "steps">): CellView {
  return { ...place, steps: cell.steps.map((step) => stepView(step, chunk)) };
}

function stepView(step: PageStep, chunk: PageChunk): StepView {
  const { messages, parameters, text } = step;
  const whole = (at: TextAt) => shown(chunk, at, Number.POSITIVE_INFINITY);
  const joined = (pieces: readonly TextAt[]): ShownText => {
    const texts = pieces.map(whole);
    return {
      text: texts.map((piece) => piece.text).join(""),
      length: texts.reduce((sum, piece) => sum + piece.length, 0),
      isCut: texts.some(({ isCut }) => isCut),
    };
  };
  return {
    ...step,
    messages: messages?.map(({ role, content }) => ({ role, content: joined(content) })) ?? null,
    parameters: parameters === null ? null : (JSON.parse(chunk.texts[parameters]!) as Record<string, unknown>),
    text: text === null ? null : whole(text),
  };
}
