import type { VirtualItem } from "@tanstack/virtual-core";
import type { ViewedRun } from "../rows.ts";
import { type GridLayout, labelOf } from "./grid-layout.ts";
import { columnsBefore, leading } from "./grid-state.ts";
import { piecesOf, visible } from "./text.tsx";

interface Props {
  viewed: ViewedRun;
  layout: GridLayout;
  across: readonly VirtualItem[];
  width: number;
}

/** The conditions, grouped by kind: what stands before the colon. */
export function GridHeader({ viewed, layout, across, width }: Props) {
  const { conditions } = viewed;
  const before = leading.value;
  const skipped = { marginInlineStart: `${(across[0]?.index ?? 0) * layout.column}px` };
  return (
    <div role="rowgroup" class="header" style={{ width: `${width}px` }}>
      {layout.hasKinds && (
        <div role="row" aria-rowindex={1} class="kinds">
          <Leading viewed={viewed} layout={layout} isEmpty />
          {groupsOf(viewed, across).map(({ kind, first, count }, at) => (
            <div
              key={first}
              role="columnheader"
              class="kind"
              aria-colindex={before + first + 1}
              aria-colspan={count}
              style={{ width: `${count * layout.column}px`, ...(at === 0 && skipped) }}
            >
              <span
                class="kind-name"
                style={{
                  insetInlineStart: `${layout.input + (layout.isReferenceSticky ? layout.reference : 0) + 10}px`,
                }}
              >
                {kind === null ? "Other" : piecesOf(kind)}
              </span>
            </div>
          ))}
        </div>
      )}
      <div role="row" aria-rowindex={layout.hasKinds ? 2 : 1} class="names">
        <Leading viewed={viewed} layout={layout} isEmpty={false} />
        {across.map(({ index }, at) => {
          const condition = conditions[index];
          if (!condition) return null;
          return (
            <div
              key={index}
              role="columnheader"
              class="head"
              aria-colindex={before + index + 1}
              title={visible(condition.condition)}
              style={{ width: `${layout.column}px`, ...(at === 0 && skipped) }}
            >
              <bdi>{piecesOf(labelOf(condition))}</bdi>
              {condition.hasReading && <span class="aside"> with notes</span>}
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** The columns before the conditions. @param isEmpty for the line of kinds, where they have no names */
function Leading({ viewed, layout, isEmpty }: Pick<Props, "viewed" | "layout"> & { isEmpty: boolean }) {
  const { matches } = columnsBefore.value;
  const { hasReferences } = viewed;
  return (
    <>
      <div
        role={isEmpty ? "presentation" : "columnheader"}
        class="head sticky"
        aria-colindex={isEmpty ? undefined : 1}
        style={{ width: `${layout.input}px`, insetInlineStart: 0 }}
      >
        {isEmpty ? "" : "Input"}
      </div>
      {hasReferences && (
        <div
          role={isEmpty ? "presentation" : "columnheader"}
          class={`head ${layout.isReferenceSticky ? "sticky" : ""}`}
          aria-colindex={isEmpty ? undefined : 2}
          style={{ width: `${layout.reference}px`, insetInlineStart: `${layout.input}px` }}
        >
          {isEmpty ? "" : "Reference"}
        </div>
      )}
      {matches !== -1 && (
        <div
          role={isEmpty ? "presentation" : "columnheader"}
          class="head"
          aria-colindex={isEmpty ? undefined : matches + 1}
          style={{ width: `${layout.matches}px` }}
        >
          {isEmpty ? "" : "Conditions that match"}
        </div>
      )}
    </>
  );
}

/** Neighbours of the same kind, as far as they are in sight. */
function groupsOf({ conditions }: ViewedRun, across: readonly VirtualItem[]) {
  const groups: { kind: string | null; first: number; count: number }[] = [];
  for (const { index } of across) {
    const kind = conditions[index]?.kind ?? null;
    const last = groups.at(-1);
    if (last !== undefined && last.kind === kind) last.count += 1;
    else groups.push({ kind, first: index, count: 1 });
  }
  return groups;
}
