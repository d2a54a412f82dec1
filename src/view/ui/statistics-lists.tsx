import type { Figures } from "../rows.ts";
import { go, linkTo, place } from "./address.ts";
import { counted, number } from "./number.ts";
import { columnOf, fixed } from "./statistics-columns.ts";
import { Frame, isOf } from "./table-parts.tsx";
import { Name, Words } from "./text.tsx";

/** A figure from 0 to 1 needs more digits than a number of words. */
function digitsOf(value: number): number {
  return Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
}

/** The pairs of groups that differ most. */
export function LargestDifferences({ differences }: { differences: Figures["differences"] }) {
  const all = differences[place.value.by ?? "condition"];
  const names = [...new Set(all.map(({ figure }) => figure))];
  const { differing } = place.value;
  const chosen = all.filter(({ figure }) => figure === differing);
  // They are sorted by their size.
  const shown = chosen.length > 0 ? chosen : names.flatMap((name) => all.find(({ figure }) => figure === name) ?? []);
  const what = isOf("kinds", "conditions");
  return (
    <section aria-label="Largest differences">
      <h2>Largest differences of {what}</h2>
      {all.length === 0 ? (
        <p class="explained">
          There are no {what} to compare with each other. More than 50 {what} are not compared.
        </p>
      ) : (
        <>
          <p class="explained">
            d is the difference of the means in standard deviations: 0.2 is small, 0.8 large. AUC is the probability
            that an answer of a has a higher figure than one of b: 0.5 means no difference.
          </p>
          <label class="choice-line">
            <span>Figure</span>
            <select
              value={differing ?? ""}
              onChange={({ currentTarget: { value } }) => go({ differing: value || null }, "replace")}
            >
              <option value="">the largest of each</option>
              {names.map((name) => (
                <option key={name} value={name}>
                  {columnOf(name)?.name ?? name}
                </option>
              ))}
            </select>
          </label>
          <Frame label="Table of differences">
            <table class="fit">
              <thead>
                <tr>
                  <th scope="col">Figure</th>
                  <th scope="col">a</th>
                  <th scope="col">b</th>
                  <th scope="col" class="figure">
                    d
                  </th>
                  <th scope="col" class="figure">
                    AUC
                  </th>
                  <th scope="col" class="figure">
                    Mean of a − mean of b
                  </th>
                </tr>
              </thead>
              <tbody>
                {shown.map((each) => (
                  <DifferenceRow key={`${each.figure} ${each.a} ${each.b}`} {...each} />
                ))}
              </tbody>
            </table>
          </Frame>
        </>
      )}
    </section>
  );
}

function DifferenceRow({ figure, a, b, d, auc, mean_difference: difference }: Figures["differences"]["kind"][number]) {
  const { value, low, high, signature } = difference;
  const digits = digitsOf(value);
  return (
    <tr>
      <td>{columnOf(figure)?.name ?? figure}</td>
      <td>
        <Name text={a} />
      </td>
      <td>
        <Name text={b} />
      </td>
      <td class="figure">{d === null ? "–" : fixed(d, 2)}</td>
      <td class="figure">{fixed(auc, 2)}</td>
      <td class="figure" title={signature}>
        {fixed(value, digits)}
        {low !== null && high !== null && (
          <small>
            {" "}
            {fixed(low, digits)} to {fixed(high, digits)}
          </small>
        )}
      </td>
    </tr>
  );
}

/** Answers that may be wrong, which lead to their cells. */
export function Suspects({ suspects, conditions }: Pick<Figures, "suspects" | "conditions">) {
  const { count, first } = suspects;
  return (
    <section aria-label="Answers that may be wrong">
      <h2>Answers that may be wrong</h2>
      <p class="explained">
        {count === 0
          ? "No answer looks wrong."
          : `${counted(count, "answer")} to look at. None of the reasons is a proof.`}
        {count > first.length && ` The first ${number(first.length)} are here; \`datagen stats --suspects\` lists all.`}
      </p>
      {count > 0 && (
        <Frame label="Table of answers that may be wrong">
          <table class="pairs">
            <thead>
              <tr>
                <th scope="col">Input</th>
                <th scope="col">Condition</th>
                <th scope="col">Reasons</th>
                <th scope="col">Answer</th>
              </tr>
            </thead>
            <tbody>
              {first.map(({ position, condition, replicate, reasons, response }) => (
                <tr key={`${position}.${condition}.${replicate}`}>
                  <th scope="row" class="when">
                    <a
                      href={linkTo({
                        view: "grid",
                        input: position,
                        filter: {},
                        cell: { position, condition, replicate },
                      })}
                    >
                      Input {number(position)}
                    </a>
                  </th>
                  <td>
                    <Name text={conditions[condition]?.condition ?? ""} />
                    {replicate > 1 && <div class="faint">replicate {replicate}</div>}
                  </td>
                  <td>{reasons.join(", ")}</td>
                  <td>
                    <Words text={response} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Frame>
      )}
    </section>
  );
}
