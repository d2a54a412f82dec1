import { useState } from "preact/hooks";
import type { Figures } from "../rows.ts";
import { fixed } from "./statistics-columns.ts";
import { Frame, Parts } from "./table-parts.tsx";
import { Name, visible } from "./text.tsx";

/** How many rows and columns are shown at once. */
const A_PART = 30;

/** How many colours there are. */
const STEPS = 10;

/** How alike the answers of each two conditions are. Each cell has its number, so that its colour only helps. */
export function HeatMap({ conditions, chrf }: Figures["similarity"]) {
  const [[rowPart, columnPart], setParts] = useState<[number, number]>([0, 0]);
  const others = chrf.flatMap((row, at) => row.filter((value, other) => value !== null && other !== at)) as number[];
  if (others.length === 0) return null;
  const [low, high] = [Math.min(...others), Math.max(...others)];
  const stepOf = (value: number) => Math.min(STEPS - 1, Math.floor(((value - low) / (high - low || 1)) * STEPS));
  const part = (at: number) =>
    conditions.slice(at * A_PART, (at + 1) * A_PART).map((name, i) => ({ name, at: at * A_PART + i }));
  const [rows, columns] = [part(rowPart), part(columnPart)];
  return (
    <section aria-label="Similarity of conditions">
      <h2>Similarity of conditions</h2>
      <p class="explained">
        chrF, from 0 to 100, of the answers of the row's condition against those of the column's to the same inputs.
        Near 100, two conditions do not differ for the model. The stronger the colour, the more alike: from{" "}
        {fixed(low, 0)} to {fixed(high, 0)}.
      </p>
      <Frame label="Matrix of similarity">
        <table class="fit heat">
          <thead>
            <tr>
              <th scope="col">Condition</th>
              {columns.map(({ name, at }) => (
                <th key={at} scope="col" class="figure" title={visible(name)}>
                  {at + 1}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ name, at }) => (
              <tr key={at}>
                <th scope="row">
                  <span class="faint">{at + 1}</span> <Name text={name} />
                </th>
                {columns.map((column) => {
                  const value = at === column.at ? null : (chrf[at]?.[column.at] ?? null);
                  return value === null ? (
                    <td key={column.at} class="figure faint">
                      –
                    </td>
                  ) : (
                    <td
                      key={column.at}
                      class={`figure step-${stepOf(value)}`}
                      title={`${visible(name)} against ${visible(column.name)}: ${fixed(value, 1)}`}
                    >
                      {fixed(value, 0)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Frame>
      <Parts
        page={rowPart}
        of={A_PART}
        count={conditions.length}
        what="rows"
        onTurn={(to) => setParts([to, columnPart])}
      />
      <Parts
        page={columnPart}
        of={A_PART}
        count={conditions.length}
        what="columns"
        onTurn={(to) => setParts([rowPart, to])}
      />
    </section>
  );
}
