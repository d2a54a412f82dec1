import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import type { ViewedRun } from "../rows.ts";
import { go, place } from "./address.ts";
import { number } from "./number.ts";

/* What the tables of figures share: how they are sorted, which part is shown, and what a row is. */

/** A word for kinds or for conditions, whichever the address says. */
export function isOf(kind: string, condition: string): string {
  return place.value.by === "kind" ? kind : condition;
}

/** The positions of rows in the order of a column: `length` ascending, `-length` descending. Unknown values come last. */
function sorted<T>(rows: readonly T[], value: ((row: T) => number | null) | undefined, sort: string): number[] {
  const order = rows.map((_, at) => at);
  if (value === undefined) return sort === "-" ? order.toReversed() : order;
  const sign = sort.startsWith("-") ? -1 : 1;
  return order.toSorted((a, b) => {
    const [one, other] = [value(rows[a]!), value(rows[b]!)];
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return sign * (one - other) || a - b;
  });
}

/** The head of a column that sorts the table. */
export function SortHead({ sort, name, children }: { sort: string; name: string; children?: ComponentChildren }) {
  const now = place.value.sort ?? "";
  const isUp = now === sort;
  const isDown = now === `-${sort}`;
  return (
    <th scope="col" aria-sort={isUp ? "ascending" : isDown ? "descending" : "none"} class={sort === "" ? "" : "figure"}>
      <button type="button" class="plain" onClick={() => go({ sort: isUp ? `-${sort}` : sort || null }, "replace")}>
        {name}
        {(isUp || isDown) && (
          <span class="arrow" aria-hidden="true">
            {isUp ? "▲" : "▼"}
          </span>
        )}
      </button>
      {children}
    </th>
  );
}

/** A table that can be scrolled, also with the keyboard. */
export function Frame({ label, children }: { label: string; children: ComponentChildren }) {
  return (
    <div class="table-frame" tabIndex={0} role="group" aria-label={label}>
      {children}
    </div>
  );
}

/** How many kinds or conditions are shown at once. */
const A_PAGE = 40;

interface GroupTableProps<Group> {
  /** What the table shows. */
  label: string;
  class: string;
  groups: readonly Group[];
  /** The values that a column is sorted by; undefined if there is no such column. */
  valueOf: (column: string) => ((group: Group) => number | null) | undefined;
  /** The heads of the columns behind the one of the names. */
  heads: ComponentChildren;
  /** The row of the group at a position. */
  row: (at: number) => JSX.Element;
}

/** A row for each kind or condition, sorted as the address says, a page at a time. */
export function GroupTable<Group>({ label, groups, valueOf, heads, row, ...props }: GroupTableProps<Group>) {
  const [page, setPage] = useState(0);
  const sort = place.value.sort ?? "";
  const order = sorted(groups, valueOf(sort.replace(/^-/, "")), sort);
  return (
    <>
      <Frame label={`${label} by ${isOf("kind", "condition")}`}>
        <table class={props.class}>
          <thead>
            <tr>
              <SortHead sort="" name={isOf("Kind", "Condition")} />
              {heads}
            </tr>
          </thead>
          <tbody>{order.slice(page * A_PAGE, (page + 1) * A_PAGE).map(row)}</tbody>
        </table>
      </Frame>
      <Parts page={page} of={A_PAGE} count={order.length} what={isOf("kinds", "conditions")} onTurn={setPage} />
    </>
  );
}

interface PartsProps {
  /** What is turned. */
  label?: string;
  page: number;
  /** How many are shown at once. */
  of: number;
  count: number;
  what: string;
  onTurn: (page: number) => void;
}

/** Turns the pages of something long. */
export function Parts({ page, of, count, what, label = `the ${what}`, onTurn }: PartsProps) {
  if (count <= of) return null;
  return (
    <nav class="parts" aria-label={`Parts of ${label}`}>
      <button type="button" disabled={page === 0} onClick={() => onTurn(page - 1)}>
        Earlier
      </button>
      <span>
        {what} {number(page * of + 1)} to {number(Math.min(count, (page + 1) * of))} of {number(count)}
      </span>
      <button type="button" disabled={(page + 1) * of >= count} onClick={() => onTurn(page + 1)}>
        Later
      </button>
    </nav>
  );
}

interface ChoicesProps {
  legend: string;
  name: string;
  options: readonly { key: string; name: string }[];
  chosen: string;
  onChoose: (key: string) => void;
}

/** A choice of one of a few. */
function Choices({ legend, name, options, chosen, onChoose }: ChoicesProps) {
  return (
    <fieldset class="choices">
      <legend>{legend}</legend>
      {options.map((option) => (
        <label key={option.key}>
          <input type="radio" name={name} checked={option.key === chosen} onChange={() => onChoose(option.key)} />
          <span>{option.name}</span>
        </label>
      ))}
    </fieldset>
  );
}

const ROWS = [
  { key: "condition", name: "Conditions" },
  { key: "kind", name: "Kinds" },
] as const;

/** Chooses between conditions and their kinds. Nothing if each condition is a kind. */
function ByChoice({ viewed: { conditions, kinds } }: { viewed: ViewedRun }) {
  if (kinds.every((kind) => kind.conditions.length === 1) && kinds.length === conditions.length) return null;
  return (
    <Choices
      legend="Rows"
      name="by"
      options={ROWS}
      chosen={place.value.by ?? "condition"}
      onChoose={(key) => go({ by: key === "kind" ? "kind" : null }, "replace")}
    />
  );
}

interface ToolbarProps extends Omit<ChoicesProps, "onChoose"> {
  viewed: ViewedRun;
  /** What was found, in a sentence. */
  found: ComponentChildren;
  children?: ComponentChildren;
}

/** Chooses the rows of a table of figures, and which figures it shows. */
export function Toolbar({ viewed, found, children, ...choices }: ToolbarProps) {
  return (
    <div class="toolbar">
      <ByChoice viewed={viewed} />
      <Choices {...choices} onChoose={(key) => go({ measure: key }, "replace")} />
      <p class="found" role="status">
        {found}
      </p>
      {children}
    </div>
  );
}
