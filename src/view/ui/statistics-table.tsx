import { useState } from "preact/hooks";
import type { Figures } from "../rows.ts";
import { go, place } from "./address.ts";
import { Modal } from "./modal.tsx";
import { type Column, type Group, nameOf } from "./statistics-columns.ts";
import { isOf, Parts, sorted, SortHead } from "./table-parts.tsx";
import { Name } from "./text.tsx";

/** How many groups are shown at once. */
const A_PAGE = 40;

interface Props {
  groups: readonly Group[];
  columns: readonly Column[];
  signatures: Figures["signatures"];
}

/** A row for each condition or kind, with figures and their intervals. */
export function StatisticsTable({ groups, columns, signatures }: Props) {
  const [page, setPage] = useState(0);
  const sort = place.value.sort ?? "";
  const sortedBy = columns.find(({ key }) => key === sort.replace(/^-/, ""));
  const order = sorted(groups, sortedBy && ((group) => sortedBy.of(group, signatures).value), sort);
  return (
    <>
      <div class="table-frame" tabIndex={0} role="group" aria-label={`Statistics by ${isOf("kind", "condition")}`}>
        <table class="figures statistics">
          <thead>
            <tr>
              <SortHead sort="" name={isOf("Kind", "Condition")} />
              {columns.map(({ key, name }) => (
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
              ))}
            </tr>
          </thead>
          <tbody>
            {order.slice(page * A_PAGE, (page + 1) * A_PAGE).map((at) => {
              const group = groups[at]!;
              return (
                <tr key={at}>
                  <th scope="row">
                    <Name text={nameOf(group)} />
                  </th>
                  {columns.map((column) => {
                    const { text, small } = column.of(group, signatures);
                    return (
                      <td key={column.key} class="figure">
                        {text}
                        {small !== null && <small> {small}</small>}
                      </td>
                    );
                  })}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <Parts page={page} of={A_PAGE} count={groups.length} what={isOf("kinds", "conditions")} onTurn={setPage} />
    </>
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
                <td class="figure">
                  {text}
                  {small !== null && <small> {small}</small>}
                </td>
                {different.size > 1 && <td class="signature">{signature}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Modal>
  );
}
