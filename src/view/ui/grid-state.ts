import { batch, computed, signal } from "@preact/signals";
import type { GridRow } from "../rows.ts";
import { go, place, type Side } from "./address.ts";
import { rows } from "./loading.ts";
import { allPositions, listedPositions, type Positions } from "./positions.ts";
import { viewed } from "./run-state.ts";
import { search } from "./search.ts";

/** The inputs that the grid shows now. */
export const positions = computed<Positions>(() => {
  if (viewed.value === null) return listedPositions([]);
  return search.value === null ? allPositions(viewed.value) : listedPositions(search.value.positions);
});

/** The cell that the keyboard is on: column 0 is the input; see {@link columnsBefore}. */
export const active = signal<{ position: number; column: number } | null>(null);

/** Set when the active cell has moved by a key, and must come into sight and get the focus. */
export const focusWanted = signal(0);

/** The numbers of the columns before the conditions; -1 for one that is not shown. */
export const columnsBefore = computed(() => {
  const reference = viewed.value?.hasReferences ? 1 : -1;
  const matches = search.value === null ? -1 : reference === -1 ? 1 : 2;
  return { input: 0, reference, matches, count: 1 + Number(reference !== -1) + Number(matches !== -1) };
});

/** How many columns stand before the conditions. */
export const leading = computed(() => columnsBefore.value.count);

export function columnCount(): number {
  return leading.peek() + (viewed.peek()?.conditions.length ?? 0);
}

/** Where the active cell comes into sight: at the top, or with as little scrolling as possible. */
export const wantedPlace = signal<"start" | "auto">("auto");

/** Moves the active cell by inputs and columns, as far as there are some. */
export function moveBy(inputs: number, columns: number): void {
  const shown = positions.peek();
  if (shown.count === 0) return;
  const from = active.peek();
  const start = place.peek().input;
  const index = from === null ? (start === null ? 0 : shown.indexOf(start)) : shown.indexOf(from.position) + inputs;
  const column = from === null ? leading.peek() : from.column + columns;
  moveTo(index, column);
}

export function moveTo(index: number, column: number, to: "start" | "auto" = "auto"): void {
  const shown = positions.peek();
  if (shown.count === 0) return;
  batch(() => {
    active.value = {
      position: shown.at(clamp(index, shown.count)),
      column: clamp(column, columnCount()),
    };
    wantedPlace.value = to;
    focusWanted.value += 1;
  });
}

function clamp(value: number, count: number): number {
  return Math.max(0, Math.min(count - 1, value));
}

/** The inputs whose whole texts are shown, with the texts once they are read. */
export const opened = signal<ReadonlyMap<number, GridRow | null>>(new Map());

/** Opens or closes the whole texts of an input. */
export function toggleWhole(position: number): void {
  const run = place.peek().run;
  const next = new Map(opened.peek());
  if (next.delete(position) || run === null) {
    opened.value = next;
    return;
  }
  opened.value = next.set(position, null);
  void readWhole(run, position);
}

async function readWhole(run: string, position: number): Promise<void> {
  const row = await rows()
    .row(run, position)
    .catch(() => null);
  if (!opened.peek().has(position)) return;
  const next = new Map(opened.peek());
  if (row === null) next.delete(position);
  else next.set(position, row);
  opened.value = next;
}

/** Puts the active condition, or the first, side by side with another one, for the active input. */
export function goSideBySide(): void {
  const shown = viewed.peek();
  if (shown === null) return;
  const { sides, input } = place.peek();
  const position = active.peek()?.position ?? input ?? shown.inputs.first;
  const at = (active.peek()?.column ?? 0) - leading.peek();
  go({
    view: "side",
    all: false,
    input: position,
    cell: null,
    sides: at < 0 && sides.length > 0 ? sides : sidesWith(Math.max(0, at)),
  });
}

/** Two columns: the first condition, and this one; for the first condition, the one behind it. */
export function sidesWith(condition: number): Side[] {
  const side = (at: number): Side => ({ run: null, condition: at, replicate: 1 });
  const count = viewed.peek()?.conditions.length ?? 0;
  if (count < 2) return [side(0)];
  return condition === 0 ? [side(0), side(1)] : [side(0), side(condition)];
}
