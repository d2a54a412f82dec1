import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Virtualizer } from "@tanstack/virtual-core";
import type { ViewedRun } from "../rows.ts";
import { go, place } from "./address.ts";
import { FilterBar } from "./filter-bar.tsx";
import { GridHeader } from "./grid-header.tsx";
import { type GridLayout, layoutOf, rowsInPart } from "./grid-layout.ts";
import { Row } from "./grid-row.tsx";
import { onGridKey } from "./grid-keys.ts";
import { active, focusWanted, leading, opened, positions, wantedPlace } from "./grid-state.ts";
import { reading } from "./loading.ts";
import { Failure } from "./notices.tsx";
import type { Positions } from "./positions.ts";
import { RowCache } from "./row-cache.ts";
import { search } from "./search.ts";
import { Parts } from "./table-parts.tsx";
import { useVirtualizer, useWidth } from "./virtual.ts";

/** Inputs by conditions. */
export function Grid({ viewed }: { viewed: ViewedRun }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const shown = positions.value;
  return (
    <section class="grid-view" aria-label="Grid">
      <FilterBar viewed={viewed} />
      <div class="grid-frame" ref={frame}>
        {width > 0 && shown.count > 0 && (
          <Table
            key={viewed.run.id}
            viewed={viewed}
            layout={layoutOf(viewed, width, search.value !== null)}
            shown={shown}
          />
        )}
        {shown.count === 0 && <Nothing isEmpty={viewed.inputs.count === 0} />}
      </div>
    </section>
  );
}

function Nothing({ isEmpty }: { isEmpty: boolean }) {
  if (isEmpty) return <p class="notice">This run has no inputs.</p>;
  const found = search.value;
  if (found?.error) return <Failure error={found.error} />;
  if (found?.isDone) return <p class="notice">No answer matches all filters.</p>;
  return <p class="notice">Looking…</p>;
}

interface TableProps {
  viewed: ViewedRun;
  layout: GridLayout;
  shown: Positions;
}

function Table({ viewed, layout, shown }: TableProps) {
  const pane = useRef<HTMLDivElement>(null);
  const { part, setPart, size } = useParts(layout, shown);
  const first = part * size;
  const count = Math.min(size, shown.count - first);
  const before = layout.input + layout.reference + layout.matches;
  const { lines, columns } = useInSight({ viewed, layout, shown, first, count, before, pane });
  const cache = useRows(viewed.run.id);
  const visible = lines.getVirtualItems();
  const inSight = visible.map(({ index }) => shown.at(first + index));
  useEffect(() => cache.want(inSight), [cache, inSight.join()]);
  useKeptPlace(lines, shown, first);
  useOpenedInSight(lines, shown, first);
  useMovedFocus({ lines, columns, shown, first, size, setPart, pane });
  void cache.version.value;
  const across = columns.getVirtualItems();
  const matched = search.value?.cells ?? null;
  const top = (visible[0]?.start ?? layout.header) - layout.header;
  const total = viewed.conditions.length * layout.column + before;
  return (
    <>
      {cache.error.value && <Failure error={cache.error.value} />}
      <Parts
        label="the grid"
        page={part}
        of={size}
        count={shown.count}
        what="rows"
        onTurn={(next) => {
          setPart(next);
          active.value = null;
        }}
      />
      {/* oxlint-disable-next-line jsx-a11y/interactive-supports-focus -- its cells have the focus */}
      <div
        class="pane"
        ref={pane}
        role="grid"
        aria-label="Inputs by conditions"
        aria-rowcount={shown.count + (layout.hasKinds ? 2 : 1)}
        aria-colcount={leading.value + viewed.conditions.length}
        onKeyDown={onGridKey}
        style={{ "--lines": String(layout.lines) }}
      >
        <GridHeader viewed={viewed} layout={layout} across={across} width={total} />
        <div role="rowgroup" class="lines" style={{ width: `${total}px`, height: `${lines.getTotalSize()}px` }}>
          <div role="presentation" style={{ height: `${top}px` }} />
          {visible.map(({ index, key }) => {
            const position = shown.at(first + index);
            return (
              <Row
                key={key}
                measure={lines.measureElement}
                line={index}
                place={first + index}
                position={position}
                row={cache.get(position)}
                whole={opened.value.get(position)}
                isOpen={opened.value.has(position)}
                matched={matched === null ? null : (matched.get(position) ?? new Set())}
                viewed={viewed}
                layout={layout}
                across={across}
              />
            );
          })}
        </div>
      </div>
    </>
  );
}

interface InSight extends TableProps {
  first: number;
  count: number;
  /** The width of the columns before the conditions. */
  before: number;
  pane: { current: HTMLElement | null };
}

/** The inputs and the conditions that are in sight. */
function useInSight({ viewed, layout, shown, first, count, before, pane }: InSight) {
  const start = useMemo(() => Math.min(count - 1, shown.indexOf(place.peek().input ?? 0) - first), []);
  const lines = useVirtualizer({
    count,
    getScrollElement: () => pane.current,
    estimateSize: () => layout.row,
    initialOffset: Math.max(0, start) * layout.row,
    scrollMargin: layout.header,
    scrollPaddingStart: layout.header,
    overscan: 2,
    getItemKey: (index) => shown.at(first + index),
  });
  const columns = useVirtualizer({
    horizontal: true,
    count: viewed.conditions.length,
    getScrollElement: () => pane.current,
    estimateSize: () => layout.column,
    scrollMargin: before,
    scrollPaddingStart: layout.input + (layout.isReferenceSticky ? layout.reference : 0),
    overscan: 1,
  });
  useLayoutEffect(() => {
    lines.measure();
    columns.measure();
  }, [layout.row, layout.column, before]);
  return { lines, columns };
}

function useRows(run: string): RowCache {
  const cache = useMemo(() => new RowCache(run), [run]);
  const isFirst = useRef(true);
  const times = reading.value;
  useEffect(() => {
    if (!isFirst.current) cache.refresh();
    isFirst.current = false;
  }, [times]);
  return cache;
}

/** Very long grids come in parts, because browsers cannot scroll through all of it. */
function useParts(layout: GridLayout, shown: Positions) {
  const size = rowsInPart(layout);
  const [part, setPart] = useState(() => Math.floor(shown.indexOf(place.peek().input ?? 0) / size));
  return { size, part: Math.min(part, Math.floor((shown.count - 1) / size)), setPart };
}

/** Keeps the first input in sight in the address, so that a reload comes back to it. */
function useKeptPlace(lines: Virtualizer<HTMLElement, HTMLElement>, shown: Positions, first: number): void {
  const { isScrolling } = lines;
  const offset = lines.scrollOffset ?? 0;
  const isMoved = useRef(false);
  if (isScrolling) isMoved.current = true;
  useEffect(() => {
    if (isScrolling || !isMoved.current) return;
    const item = lines.getVirtualItemForOffset(offset + lines.options.scrollMargin);
    if (item) go({ input: shown.at(first + item.index) }, "replace");
  }, [isScrolling, offset]);
}

/** Brings the whole texts of an input into sight if they end below the pane, once they are read. */
function useOpenedInSight(lines: Virtualizer<HTMLElement, HTMLElement>, shown: Positions, first: number): void {
  const now = opened.value;
  const before = useRef(now);
  useEffect(() => {
    const old = before.current;
    before.current = now;
    for (const [position, row] of now) {
      if (row === null || old.get(position) != null) continue;
      const index = shown.indexOf(position) - first;
      const item = lines.measurementsCache[index];
      const bottom = (lines.scrollOffset ?? 0) + (lines.scrollRect?.height ?? 0);
      if (item && item.end > bottom) lines.scrollToIndex(index, { align: "start" });
    }
  }, [now]);
}

interface Moved {
  lines: Virtualizer<HTMLElement, HTMLElement>;
  columns: Virtualizer<HTMLElement, HTMLElement>;
  shown: Positions;
  first: number;
  size: number;
  setPart: (part: number) => void;
  pane: { current: HTMLElement | null };
}

/** Brings the active cell into sight when a key has moved it, and gives it the focus once it is there. */
function useMovedFocus({ lines, columns, shown, first, size, setPart, pane }: Moved): void {
  const times = focusWanted.value;
  const isPending = useRef(false);
  /** What had the focus when the cell was moved. */
  const from = useRef<Element | null>(null);
  const isFirst = useRef(true);
  const cell = active.value;
  useLayoutEffect(() => {
    if (isFirst.current) {
      isFirst.current = false;
      return;
    }
    if (cell === null) return;
    isPending.current = true;
    from.current = document.activeElement;
    const index = shown.indexOf(cell.position);
    if (Math.floor(index / size) !== Math.floor(first / size)) {
      setPart(Math.floor(index / size));
      return;
    }
    lines.scrollToIndex(index - first, { align: wantedPlace.peek() });
    const column = cell.column - leading.peek();
    if (column >= 0) columns.scrollToIndex(column);
  }, [times, first]);
  useLayoutEffect(() => {
    if (!isPending.current || cell === null) return;
    const found = pane.current?.querySelector<HTMLElement>('[data-active="true"]');
    if (!found) return;
    isPending.current = false;
    // Somebody may have begun to type elsewhere before the cell was there.
    const { activeElement } = document;
    if (activeElement !== from.current && activeElement?.matches("input, select, textarea")) return;
    found.focus({ preventScroll: true });
  });
}
