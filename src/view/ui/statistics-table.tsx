import type { Figures } from "../rows.ts";
import { go, place } from "./address.ts";
import { Modal } from "./modal.tsx";
import { type Column, type Group, nameOf, type Shown } from "./statistics-columns.ts";
import { GroupTable, isOf, SortHead } from "./table-parts.tsx";
import { Name } from "./text.tsx";

interface Props {
  groups: readonly Group[];
  columns: readonly Column[];
  signatures: Figures["signatures"];
}

/** A row for each condition or kind, with figures and their intervals. */
export function StatisticsTable({ groups, columns, signatures }: Props) {
  const valueOf = (key: string) => {
    const column = columns.find((one) => one.key === key);
    return column && ((group: Group) => column.of(group, signatures).value);
  };
  const heads = columns.map(({ key, name }) => (
    <SortHead key={key} sort={key} name={name}>
      <button
        type="button"
        class="plain what"
        aria-label={`What is ${name}?`}
        aria-haspopup="dialog"
        onClick={() => go({ about: key })}
      >
        ?
      </button>
    </SortHead>
  ));
  const row = (at: number) => {
    const group = groups[at]!;
    return (
      <tr key={at}>
        <th scope="row">
          <Name text={nameOf(group)} />
        </th>
        {columns.map((column) => (
          <FigureCell key={column.key} {...column.of(group, signatures)} />
        ))}
      </tr>
    );
  };
  return (
    <GroupTable
      label="Statistics"
      class="figures statistics"
      groups={groups}
      valueOf={valueOf}
      heads={heads}
      row={row}
    />
  );
}

function FigureCell({ text, small }: Pick<Shown, "text" | "small">) {
  return (
    <td class="figure">
      {text}
      {small !== null && <small> {small}</small>}
    </td>
  );
}

/** How many groups the definition of a figure lists. */
const MOST_LISTED = 100;

/** What a figure is, and how it was made. */
export function Definition({ groups, columns, signatures }: Props) {
  const column = columns.find(({ key }) => key === place.value.about);
  if (column === undefined) return null;
  const shown = groups.slice(0, MOST_LISTED).map((group) => ({ group, ...column.of(group, signatures) }));
  const different = new Set(shown.flatMap(({ signature }) => signature ?? []));
  const [common] = different.size === 1 ? different : [];
  return (
    <Modal title={column.name} class="definition" onClose={() => go({ about: null })}>
      <div class="body" tabIndex={0} role="group" aria-label={`Definition of ${column.name}`}>
        <p>{column.definition}</p>
        {common !== undefined && <p class="signature">{common}</p>}
        <table class="fit">
          <thead>
            <tr>
              <th scope="col">{isOf("Kind", "Condition")}</th>
              <th scope="col" class="figure">
                Value
              </th>
              {different.size > 1 && <th scope="col">How it was made</th>}
            </tr>
          </thead>
          <tbody>
            {shown.map(({ group, text, small, signature }) => (
              <tr key={nameOf(group)}>
                <th scope="row">
                  <Name text={nameOf(group)} />
                </th>
                <FigureCell text={text} small={small} />
                {different.size > 1 && <td class="signature">{signature}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Modal>
  );
}
