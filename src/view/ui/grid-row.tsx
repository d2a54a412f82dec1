import type { VirtualItem } from "@tanstack/virtual-core";
import type { GridCell, GridRow, ViewedRun } from "../rows.ts";
import { go } from "./address.ts";
import type { GridLayout } from "./grid-layout.ts";
import { active, columnsBefore, leading, toggleWhole } from "./grid-state.ts";
import { Marks } from "./marks.tsx";
import { counted, number } from "./number.ts";
import { FEW_MARKED, visible, Words } from "./text.tsx";

interface Props {
  measure: (element: HTMLElement | null) => void;
  /** Its number among the rows that can be scrolled to. */
  line: number;
  /** Its number among all rows that are shown. */
  place: number;
  position: number;
  row: GridRow | null | undefined;
  whole: GridRow | null | undefined;
  isOpen: boolean;
  /** The answers that match the filter; null if there is no filter. */
  matched: ReadonlySet<string> | null;
  viewed: ViewedRun;
  layout: GridLayout;
  across: readonly VirtualItem[];
}

/** An open input has all of its answers up to here: its height would change with those in sight. */
const MOST_OPEN = 60;

/** One input with its answers. */
export function Row(props: Props) {
  const { measure, line, place, position, row, whole, isOpen, viewed, layout, across } = props;
  const shown = whole ?? row;
  const { length } = viewed.conditions;
  const conditions =
    isOpen && length <= MOST_OPEN ? Array.from({ length }, (_, at) => at) : across.map(({ index }) => index);
  const current = active.value?.position === position ? active.value.column : null;
  const tab = active.value === null ? line === 0 : true;
  return (
    <div
      role="row"
      class={`row ${isOpen ? "open" : ""}`}
      ref={measure}
      data-index={line}
      aria-rowindex={place + (layout.hasKinds ? 3 : 2)}
      style={isOpen ? { minHeight: `${layout.row}px` } : { height: `${layout.row}px` }}
    >
      <InputCell {...{ position, row: shown, isOpen, layout, isActive: current === 0, canTab: tab }} />
      {viewed.hasReferences && (
        <ReferenceCell {...{ position, row: shown, layout, isActive: current === 1, isLoaded: row !== undefined }} />
      )}
      {props.matched !== null && <MatchesCell {...props} current={current} />}
      {conditions.map((index, at) => (
        <div
          key={index}
          role="gridcell"
          class="cell"
          aria-colindex={leading.value + index + 1}
          tabIndex={current === leading.value + index ? 0 : -1}
          data-active={current === leading.value + index}
          onFocus={() => focus(position, leading.value + index)}
          style={{
            width: `${layout.column}px`,
            ...(at === 0 && { marginInlineStart: `${index * layout.column}px` }),
          }}
        >
          {shown?.cells[index]?.map((cell, replicate) => (
            <Answer
              key={replicate}
              cell={cell}
              replicate={viewed.replicates > 1 ? replicate + 1 : null}
              isMatch={props.matched?.has(`${index}.${replicate + 1}`) ?? false}
              onOpen={() => open(position, index, replicate + 1)}
            />
          )) ?? null}
        </div>
      ))}
    </div>
  );
}

function focus(position: number, column: number): void {
  const now = active.peek();
  if (now?.position !== position || now.column !== column) active.value = { position, column };
}

/** Opens a cell, unless the click has selected a part of its text. */
function open(position: number, condition: number, replicate: number): void {
  if (getSelection()?.isCollapsed === false) return;
  focus(position, leading.peek() + condition);
  go({ cell: { position, condition, replicate } });
}

interface InputProps {
  position: number;
  row: GridRow | null | undefined;
  isOpen: boolean;
  layout: GridLayout;
  isActive: boolean;
  canTab: boolean;
}

function InputCell({ position, row, isOpen, layout, isActive, canTab }: InputProps) {
  const isTarget = isActive || (active.value === null && canTab);
  return (
    <div
      role="rowheader"
      class="cell input sticky"
      aria-colindex={1}
      tabIndex={isTarget ? 0 : -1}
      data-active={isActive}
      onFocus={() => focus(position, 0)}
      style={{ width: `${layout.input}px`, insetInlineStart: 0 }}
    >
      <div class="number">
        <span title="The number of the input, from 0">{number(position)}</span>
        {row && row.id !== position && <IdOf id={row.id} />}
        <button
          type="button"
          class="plain"
          tabIndex={-1}
          aria-expanded={isOpen}
          aria-label={`${isOpen ? "Collapse" : "Expand"} the texts of input ${position}`}
          onClick={() => toggleWhole(position)}
        >
          {isOpen ? "collapse" : "expand"}
        </button>
      </div>
      {row === undefined && <div class="faint">Loading…</div>}
      {row === null && <div class="faint">This run has no such input.</div>}
      {row && <Words text={row.input} most={FEW_MARKED} />}
    </div>
  );
}

/** The id that the input has in its file; one that was made of its text says nothing to a reader. */
function IdOf({ id }: { id: string | number }) {
  const text = String(id);
  if (/^[0-9a-f]{16}$/.test(text)) return null;
  return (
    <span class="id" title={visible(text)}>
      <bdi>{visible(text)}</bdi>
    </span>
  );
}

function ReferenceCell(props: {
  position: number;
  row: GridRow | null | undefined;
  layout: GridLayout;
  isActive: boolean;
  isLoaded: boolean;
}) {
  const { position, row, layout, isActive } = props;
  return (
    <div
      role="gridcell"
      class={`cell reference ${layout.isReferenceSticky ? "sticky" : ""}`}
      aria-colindex={2}
      tabIndex={isActive ? 0 : -1}
      data-active={isActive}
      onFocus={() => focus(position, 1)}
      style={{ width: `${layout.reference}px`, insetInlineStart: `${layout.input}px` }}
    >
      {row &&
        (row.reference === null ? <div class="faint">none</div> : <Words text={row.reference} most={FEW_MARKED} />)}
    </div>
  );
}

/** How many conditions are named. */
const MOST_NAMED = 30;

/** The conditions whose answers match the filter; each opens its answer. */
function MatchesCell({ position, matched, viewed, layout, current }: Props & { current: number | null }) {
  const column = columnsBefore.value.matches;
  const places = [...(matched ?? [])].map((place) => place.split(".").map(Number));
  return (
    <div
      role="gridcell"
      class="cell matches"
      aria-colindex={column + 1}
      tabIndex={current === column ? 0 : -1}
      data-active={current === column}
      onFocus={() => focus(position, column)}
      style={{ width: `${layout.matches}px` }}
    >
      {places.slice(0, MOST_NAMED).map(([condition = 0, replicate = 1]) => (
        <button
          key={`${condition}.${replicate}`}
          type="button"
          class="plain"
          tabIndex={-1}
          onClick={() => open(position, condition, replicate)}
        >
          <bdi>{visible(viewed.conditions[condition]?.condition ?? "")}</bdi>
          {viewed.replicates > 1 && ` (${replicate})`}
        </button>
      ))}
      {places.length > MOST_NAMED && <div class="faint">and {places.length - MOST_NAMED} more</div>}
    </div>
  );
}

interface AnswerProps {
  cell: GridCell;
  replicate: number | null;
  isMatch: boolean;
  onOpen: () => void;
}

function Answer({ cell, replicate, isMatch, onOpen }: AnswerProps) {
  return (
    // The grid's keys do the same: Enter opens the active cell.
    <div class={`answer ${isMatch ? "match" : ""}`} onClick={onOpen}>
      {cell.response === null ? (
        <div class="words faint">{cell.state === "pending" ? "Not answered yet" : "No answer"}</div>
      ) : (
        <Words text={cell.response} most={FEW_MARKED} />
      )}
      <div class="marks">
        {replicate !== null && <span class="replicate">{replicate}</span>}
        <Marks cell={cell} />
        {isMatch && <span class="mark found">matches</span>}
        {cell.response !== null && (
          <span class="length" title="Characters of the whole answer">
            {counted(cell.response.length, "char")}
          </span>
        )}
      </div>
    </div>
  );
}
