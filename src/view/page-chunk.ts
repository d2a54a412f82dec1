import type { PageCell, PageChunk, PageRow, PageStep, TextAt } from "./page-data.ts";
import type { GridCell, ShownText, StepView, WholeRow } from "./rows.ts";

/** An input with everything that the page shows of it. */
export interface PageInput {
  row: WholeRow;
  /** By condition, then by replicate, as the cells of the row. */
  steps: StepView[][][];
}

/** Texts that are shorter are not looked for in prompts. */
const SHORTEST_FOUND = 24;

/** Collects rows, and each of their texts once. */
export class ChunkWriter {
  /** About how many characters it has. */
  size = 0;
  readonly #chunk: PageChunk = { texts: [], lengths: {}, rows: [] };
  readonly #places = new Map<string, TextAt>();

  get rows(): readonly PageRow[] {
    return this.#chunk.rows;
  }

  add({ row, steps }: PageInput): void {
    const cells = row.cells.map((replicates, condition) =>
      replicates.map((cell, at) => this.#cell(row, cell, steps[condition]?.[at] ?? [])),
    );
    this.#chunk.rows.push({
      position: row.position,
      id: row.id,
      input: this.#shown(row.input),
      reference: row.reference === null ? null : this.#shown(row.reference),
      cells,
    });
    this.size += 200 * steps.flat(2).length;
  }

  json(): string {
    return JSON.stringify(this.#chunk);
  }

  #cell(row: WholeRow, { response, ...cell }: GridCell, steps: readonly StepView[]): PageCell {
    const notes = steps.find(({ step }) => step === "reading")?.text ?? null;
    // A prompt holds the input or the notes, which are in the chunk already.
    const known = [row.input, row.reference, notes].flatMap((text) =>
      text !== null && text.text.length >= SHORTEST_FOUND ? text.text : [],
    );
    return {
      ...cell,
      response: response === null ? null : this.#shown(response),
      steps: steps.map((step) => this.#step(step, known)),
    };
  }

  #step({ messages, parameters, text, ...step }: StepView, known: readonly string[]): PageStep {
    return {
      ...step,
      messages:
        messages?.map(({ role, content }) => ({
          role,
          content: content.isCut
            ? [this.#shown(content)]
            : piecesOf(content.text, known).map((piece) => this.#text(piece)),
        })) ?? null,
      parameters: parameters === null ? null : this.#text(JSON.stringify(parameters)),
      text: text === null ? null : this.#shown(text),
    };
  }

  #shown({ text, length, isCut }: ShownText): TextAt {
    if (!isCut) return this.#text(text);
    // A cut text is not equal to a whole one that looks like it.
    const at = this.#chunk.texts.push(text) - 1;
    this.size += text.length;
    this.#chunk.lengths[at] = length;
    return at;
  }

  #text(text: string): TextAt {
    const found = this.#places.get(text);
    if (found !== undefined) return found;
    const at = this.#chunk.texts.push(text) - 1;
    this.#places.set(text, at);
    this.size += text.length;
    return at;
  }
}

/** A text in pieces, of which those that are known stand alone. */
function piecesOf(text: string, known: readonly string[]): string[] {
  const [first, ...others] = known;
  if (first === undefined) return text === "" ? [] : [text];
  return text.split(first).flatMap((piece, at) => [...(at === 0 ? [] : [first]), ...piecesOf(piece, others)]);
}
