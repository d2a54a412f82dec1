import { useMemo } from "preact/hooks";
import type { GridCell, ShownText, ViewedRun, WholeRow } from "../rows.ts";
import { go, linkToRun, MOST_SIDES, place, type Side } from "./address.ts";
import { positions, sidesWith } from "./grid-state.ts";
import { reading, rows, useLoaded } from "./loading.ts";
import { Marks } from "./marks.tsx";
import { Beginning, Failure } from "./notices.tsx";
import { counted, number } from "./number.ts";
import { SideChoice } from "./side-choice.tsx";
import { FEW_MARKED, Name, piecesOf, Text, visible } from "./text.tsx";
import { markedWords, ownAgainstAll, type Piece } from "./words.ts";

/** What one column shows; the position is that of the same input in the column's run. */
interface Column {
  viewed: ViewedRun;
  position: number | null;
  cell: GridCell | null;
}

/** One input under several conditions, or in several runs, with their differences marked. */
export function SideBySide({ viewed }: { viewed: ViewedRun }) {
  const { input, sides: chosen, all } = place.value;
  const sides = chosen.length > 0 ? chosen : sidesWith(0);
  const position = input ?? viewed.inputs.first;
  const key = JSON.stringify([viewed.run.id, position, sides, reading.value]);
  const row = useLoaded(JSON.stringify([viewed.run.id, position, reading.value]), () =>
    rows().row(viewed.run.id, position),
  );
  const columns = useLoaded(key, () => readColumns(viewed, position, sides));
  return (
    <section class="side-view" aria-label="Side by side">
      <InputBar position={position} isFiltered={Object.keys(place.value.filter).length > 0} />
      {row.error && <Failure error={row.error} />}
      {columns.error && <Failure error={columns.error} />}
      {row.value && <InputTexts row={row.value} />}
      {all ? (
        <AllConditions viewed={viewed} row={row.value} />
      ) : (
        <Columns viewed={viewed} sides={sides} columns={columns.value} />
      )}
    </section>
  );
}

async function readColumns(viewed: ViewedRun, position: number, sides: readonly Side[]): Promise<Column[]> {
  const found = new Map<string | null, Promise<{ viewed: ViewedRun; row: WholeRow | null }>>();
  const read = async (run: string | null) => {
    if (run === null) return { viewed, row: await rows().row(viewed.run.id, position) };
    const other = await rows().run(run);
    const same = await rows().partner(viewed.run.id, position, run);
    return { viewed: other, row: same === null ? null : await rows().row(run, same) };
  };
  return Promise.all(
    sides.map(async ({ run, condition, replicate }) => {
      const reads = found.get(run) ?? read(run);
      found.set(run, reads);
      const { viewed: of, row } = await reads;
      return { viewed: of, position: row?.position ?? null, cell: row?.cells[condition]?.[replicate - 1] ?? null };
    }),
  );
}

function InputBar({ position, isFiltered }: { position: number; isFiltered: boolean }) {
  const shown = positions.value;
  const at = shown.indexOf(position);
  return (
    <div class="input-bar">
      <button type="button" disabled={at <= 0} onClick={() => moveInput(-1)}>
        ← Previous <kbd>k</kbd>
      </button>
      <h2>
        Input {number(position)}
        <small>
          {isFiltered
            ? shown.count > 0 && shown.at(at) === position
              ? ` · ${number(at + 1)} of ${counted(shown.count, "filtered input")}`
              : ` · not among the ${counted(shown.count, "filtered input")}`
            : ` of ${counted(shown.count, "input")}, numbered ${number(shown.at(0))} to ${number(shown.at(shown.count - 1))}`}
        </small>
      </h2>
      <button type="button" disabled={at >= shown.count - 1} onClick={() => moveInput(1)}>
        Next → <kbd>j</kbd>
      </button>
    </div>
  );
}

/** Shows the next input, or the one before. */
export function moveInput(by: 1 | -1): void {
  const shown = positions.peek();
  if (shown.count === 0) return;
  const now = place.peek().input ?? shown.at(0);
  const index = shown.indexOf(now);
  // An input that the filter leaves out stands before the one at its index.
  const next = by === 1 && shown.at(index) !== now ? index : index + by;
  go({ input: shown.at(Math.max(0, Math.min(shown.count - 1, next))) }, "replace");
}

/** Turns the last column to the next condition, or the one before. */
export function moveCondition(viewed: ViewedRun, by: 1 | -1): void {
  const { sides: chosen, all } = place.peek();
  if (all) return;
  const sides = chosen.length > 0 ? chosen : sidesWith(0);
  const last = sides.at(-1);
  if (last === undefined) return;
  const condition = Math.max(0, Math.min(viewed.conditions.length - 1, last.condition + by));
  go({ sides: [...sides.slice(0, -1), { ...last, condition }] }, "replace");
}

function InputTexts({ row }: { row: WholeRow }) {
  return (
    <div class="input-texts">
      <Source name="Input" text={row.input} />
      {row.reference && <Source name="Reference" text={row.reference} />}
    </div>
  );
}

function Source({ name, text }: { name: string; text: ShownText }) {
  return (
    <section aria-label={name} class="source">
      <h3>
        {name} <small>{counted(text.length, "character")}</small>
      </h3>
      <Text class="whole" tabIndex={0} role="group" aria-label={`Text of the ${name.toLowerCase()}`} text={text.text} />
      {text.isCut && <Beginning />}
    </section>
  );
}

interface ColumnsProps {
  viewed: ViewedRun;
  sides: readonly Side[];
  columns: readonly Column[] | null;
}

function Columns({ viewed, sides, columns }: ColumnsProps) {
  const texts = columns?.map(({ cell }) => cell?.response?.text ?? null) ?? [];
  const marked = useMemo(() => markedTexts(texts), [JSON.stringify(texts)]);
  const set = (at: number, side: Side | null) =>
    go({ sides: sides.flatMap((old, index) => (index === at ? (side ?? []) : old)) }, "replace");
  const isMarked = marked.some((pieces) => pieces?.some(({ isOwn }) => isOwn));
  return (
    <>
      <p class="legend">
        {isMarked && (
          <>
            <ins>Underlined</ins>: words that only this answer has, compared with the first.{" "}
          </>
        )}
        {sides.length < MOST_SIDES && (
          <button
            type="button"
            class="plain"
            onClick={() => go({ sides: [...sides, nextSide(viewed, sides)] }, "replace")}
          >
            Add a column
          </button>
        )}
        <button type="button" class="plain" onClick={() => go({ all: true })}>
          List all {counted(viewed.conditions.length, "condition")}
        </button>
      </p>
      <div class="columns" data-count={sides.length}>
        {sides.map((side, at) => (
          <section key={at} class="column" aria-label={`Column ${at + 1}`}>
            <SideChoice
              viewed={viewed}
              of={columns?.[at]?.viewed ?? null}
              side={side}
              onChange={(next) => set(at, next)}
              onRemove={sides.length > 1 ? () => set(at, null) : null}
              label={`column ${at + 1}`}
            />
            {columns?.[at] ? (
              <ColumnText
                column={columns[at]}
                pieces={marked[at] ?? null}
                isSame={at > 0 && texts[at] !== null && texts[at] === texts[0]}
                isUnmarked={at > 0 && marked[at] === null && texts[at] !== null && texts[0] !== null}
                side={side}
              />
            ) : (
              <p class="faint">Loading…</p>
            )}
          </section>
        ))}
      </div>
    </>
  );
}

/** How many conditions are listed. */
const MOST_LISTED = 100;

/** What the model said for the input under each condition, one below the other. */
function AllConditions({ viewed, row }: { viewed: ViewedRun; row: WholeRow | null }) {
  const { conditions, replicates } = viewed;
  const rest = conditions.length - MOST_LISTED;
  return (
    <>
      <p class="legend">
        <button type="button" class="plain" onClick={() => go({ all: false })}>
          Back to the columns
        </button>
      </p>
      {row === null ? (
        <p class="notice">Loading…</p>
      ) : (
        <div class="all-conditions">
          {conditions.slice(0, MOST_LISTED).map(({ condition: name }, condition) => (
            <section key={condition} aria-label={visible(name)}>
              <h3>
                <Name text={name} />
              </h3>
              <div>
                {(row.cells[condition] ?? []).map((cell, at) => (
                  <ColumnText
                    key={at}
                    column={{ viewed, position: row.position, cell }}
                    pieces={null}
                    isSame={false}
                    isUnmarked={false}
                    side={{ run: null, condition, replicate: at + 1 }}
                    replicate={replicates > 1 ? at + 1 : null}
                  />
                ))}
              </div>
            </section>
          ))}
        </div>
      )}
      {rest > 0 && <p class="notice">The grid has {counted(rest, "more condition", "more conditions")}.</p>}
    </>
  );
}

function nextSide(viewed: ViewedRun, sides: readonly Side[]): Side {
  const used = new Set(sides.filter(({ run }) => run === null).map(({ condition }) => condition));
  const free = viewed.conditions.findIndex((_, at) => !used.has(at));
  return { run: null, condition: Math.max(0, free), replicate: 1 };
}

/** Each text in pieces, marked against the first; the first is marked against all others. */
function markedTexts(texts: readonly (string | null)[]): (Piece[] | null)[] {
  const [first, ...others] = texts;
  if (first == null) return texts.map(() => null);
  const pairs = others.map((text) => (text === null ? null : markedWords(first, text)));
  const ofFirst = pairs.flatMap((pair) => (pair === null ? [] : [pair.a]));
  return [ofFirst.length === 0 ? null : ownAgainstAll(ofFirst), ...pairs.map((pair) => pair?.b ?? null)];
}

interface TextProps {
  column: Column;
  pieces: Piece[] | null;
  isSame: boolean;
  isUnmarked: boolean;
  side: Side;
  /** Its number, if it is listed below others of its condition. */
  replicate?: number | null;
}

function ColumnText({ column: { position, cell }, pieces, isSame, isUnmarked, side, replicate }: TextProps) {
  if (position === null) return <p class="faint">This run does not have the input.</p>;
  if (cell === null) return <p class="faint">This run does not have the condition.</p>;
  const { response } = cell;
  const here = { position, condition: side.condition, replicate: side.replicate };
  return (
    <>
      <div class="marks">
        {replicate != null && <span class="replicate">replicate {replicate}</span>}
        <Marks cell={cell} />
        {isSame && <span class="mark">same text as the first</span>}
        {isUnmarked && <span class="mark">too long or too different to mark words</span>}
        {response !== null && <span class="length">{counted(response.length, "character")}</span>}
        {side.run === null ? (
          <button type="button" class="plain" onClick={() => go({ cell: here })}>
            Prompt and cost
          </button>
        ) : (
          <a href={linkToRun(side.run, { input: position, cell: here })}>Prompt and cost, in its run</a>
        )}
      </div>
      {response === null ? (
        <p class="faint">{cell.state === "pending" ? "Not answered yet" : "No answer"}</p>
      ) : (
        <div dir="auto" class="whole">
          {pieces === null
            ? piecesOf(response.text)
            : pieces.map(({ text, isOwn }, at) =>
                isOwn ? <ins key={at}>{piecesOf(text, FEW_MARKED)}</ins> : piecesOf(text, FEW_MARKED),
              )}
        </div>
      )}
      {response?.isCut && <Beginning />}
    </>
  );
}
