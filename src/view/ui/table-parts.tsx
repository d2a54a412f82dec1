import type { ComponentChildren } from "preact";
import type { ViewedRun } from "../rows.ts";
import { go, place } from "./address.ts";

/* What the tables of figures share: how they are sorted, which part is shown, and what a row is. */

/** A word for kinds or for conditions, whichever the address says. */
export function isOf(kind: string, condition: string): string {
  return place.value.by === "kind" ? kind : condition;
}

/** The positions of rows in the order of a column: `length` ascending, `-length` descending. Unknown values come last. */
export function sorted<T>(rows: readonly T[], value: ((row: T) => number | null) | undefined, sort: string): number[] {
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

interface PartsProps {
  page: number;
  /** How many are shown at once. */
  of: number;
  count: number;
  what: string;
  onTurn: (page: number) => void;
}

/** Turns the pages of a long table. */
export function Parts({ page, of, count, what, onTurn }: PartsProps) {
  if (count <= of) return null;
  return (
    <nav class="parts" aria-label={`Parts of the ${what}`}>
      <button type="button" disabled={page === 0} onClick={() => onTurn(page - 1)}>
        Earlier
      </button>
      <span>
        {what} {page * of + 1} to {Math.min(count, (page + 1) * of)} of {count}
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
export function Choices({ legend, name, options, chosen, onChoose }: ChoicesProps) {
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
export function ByChoice({ viewed: { conditions, kinds } }: { viewed: ViewedRun }) {
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
