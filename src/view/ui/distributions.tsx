import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { borderOf } from "../histogram.ts";
import type { ConditionFigures, Filter, Histogram, ViewedRun } from "../rows.ts";
import { go, linkTo, place } from "./address.ts";
import { countFigures, type Figures, pointed } from "./figures.ts";
import { type Axis, axisOf, Bars } from "./histogram.tsx";
import { Failure } from "./notices.tsx";
import { duration, mean, number, usd } from "./number.ts";
import { Name, visible } from "./text.tsx";

/** A figure that each answer has. */
interface Measure {
  key: "length" | "completionTokens" | "latencyMs" | "costNanoUsd";
  name: string;
  heading: string;
  /** A single value. */
  say: (value: number) => string;
  sayMean: (value: number) => string;
  /** The word for the condition with the lowest mean, and for the highest. */
  lowest: string;
  highest: string;
  /** The filter of the answers in a bin; null if the grid cannot filter by it. */
  filter: ((from: number, to: number) => Filter) | null;
}

const MEASURES: readonly Measure[] = [
  {
    key: "length",
    name: "Length",
    heading: "Mean length (characters)",
    say: (value) => number(Math.ceil(value)),
    sayMean: mean,
    lowest: "shortest",
    highest: "longest",
    filter: (lengthFrom, lengthTo) => ({ lengthFrom, lengthTo }),
  },
  {
    key: "completionTokens",
    name: "Tokens",
    heading: "Mean completion tokens",
    say: (value) => number(Math.ceil(value)),
    sayMean: mean,
    lowest: "fewest",
    highest: "most",
    filter: null,
  },
  {
    key: "latencyMs",
    name: "Latency",
    heading: "Mean latency",
    say: duration,
    sayMean: duration,
    lowest: "fastest",
    highest: "slowest",
    filter: (latencyFrom, latencyTo) => ({ latencyFrom, latencyTo }),
  },
  {
    key: "costNanoUsd",
    name: "Cost",
    heading: "Mean cost",
    say: (value) => usd(value / 1e9),
    sayMean: (value) => usd(value / 1e9),
    lowest: "cheapest",
    highest: "dearest",
    filter: (from, to) => ({ costFrom: from / 1e9, costTo: to / 1e9 }),
  },
];

/** How many conditions are shown at once. */
const A_PAGE = 40;

/** How long, how fast and how dear the answers of each condition are, and how many failed. */
export function DistributionsView({ viewed }: { viewed: ViewedRun }) {
  const [figures, setFigures] = useState<Figures | null>(null);
  useEffect(() => {
    setFigures(null);
    return countFigures(viewed.run.id, setFigures);
  }, [viewed.run.id]);
  const measure = MEASURES.find(({ key }) => key === place.value.measure) ?? MEASURES[0]!;
  return (
    <section class="distributions" aria-label="Distributions">
      <div class="toolbar">
        <fieldset class="choices">
          <legend>Histograms of</legend>
          {MEASURES.map(({ key, name }) => (
            <label key={key}>
              <input
                type="radio"
                name="measure"
                checked={key === measure.key}
                onChange={() => go({ measure: key }, "replace")}
              />
              <span>{name}</span>
            </label>
          ))}
        </fieldset>
        <p class="found" role="status">
          {figures !== null && !figures.isDone && !figures.error
            ? `Counted ${number(figures.looked)} of ${number(viewed.inputs.count)} inputs`
            : figures && extremesText(viewed, figures, measure)}
        </p>
        <p class="pointed" aria-hidden="true">
          {pointed.value ?? (measure.filter ? "Click a bar to see its answers" : "")}
        </p>
      </div>
      {figures?.error && <Failure error={figures.error} />}
      {figures === null ? (
        <p class="notice">Counting…</p>
      ) : (
        <FiguresTable viewed={viewed} figures={figures} measure={measure} />
      )}
    </section>
  );
}

/** The conditions with the lowest and the highest mean, in a sentence. */
function extremesText(viewed: ViewedRun, { conditions }: Figures, measure: Measure): ComponentChildren {
  const { lowest, highest } = extremesOf(conditions, measure);
  if (lowest === null || highest === null) return null;
  const one = (at: number) => (
    <>
      <b>
        <Name text={viewed.conditions[at]?.condition ?? ""} />
      </b>{" "}
      ({measure.sayMean(meanOf(conditions[at]![measure.key]) ?? 0)})
    </>
  );
  return (
    <>
      On average the {measure.lowest}: {one(lowest)} · the {measure.highest}: {one(highest)}
    </>
  );
}

const meanOf = ({ sum, count }: Histogram): number | null => (count === 0 ? null : sum / count);
const failedOf = ({ states }: ConditionFigures) => Object.values(states.failed).reduce((sum, times) => sum + times, 0);

/** The columns that the table can be sorted by, and their values. */
const SORTS: ReadonlyMap<string, (figures: ConditionFigures) => number | null> = new Map([
  ["answered", ({ states }) => states.succeeded],
  ["failed", failedOf],
  ["cut", ({ states }) => states.truncated],
  ...MEASURES.map(({ key }) => [key, (figures: ConditionFigures) => meanOf(figures[key])] as const),
]);

function FiguresTable({ viewed, figures, measure }: { viewed: ViewedRun; figures: Figures; measure: Measure }) {
  const [page, setPage] = useState(0);
  const order = sorted(figures.conditions, place.value.sort);
  const axis = axisOf(figures.conditions.map((condition) => condition[measure.key]));
  const shown = order.slice(page * A_PAGE, (page + 1) * A_PAGE);
  const extremes = Object.fromEntries(MEASURES.map((one) => [one.key, extremesOf(figures.conditions, one)]));
  return (
    <>
      <div class="table-frame" tabIndex={0} role="group" aria-label="Figures by condition">
        <table class="figures">
          <thead>
            <tr>
              <SortHead sort="" name="Condition" />
              {MEASURES.map(({ key, heading }) => (
                <SortHead key={key} sort={key} name={heading} />
              ))}
              <SortHead sort="answered" name="Answered" />
              <SortHead sort="failed" name="Failed" />
              <SortHead sort="cut" name="Cut" />
              <th scope="col" class="histogram">
                <span>{measure.name}, log scale</span>
                {axis && <AxisLabels axis={axis} measure={measure} />}
              </th>
            </tr>
          </thead>
          <tbody>
            {shown.map((at) => (
              <FiguresRow
                key={at}
                condition={viewed.conditions[at]?.condition ?? ""}
                figures={figures.conditions[at]!}
                measure={measure}
                axis={axis}
                extremes={extremes}
                at={at}
              />
            ))}
          </tbody>
        </table>
      </div>
      {order.length > A_PAGE && (
        <nav class="parts" aria-label="Parts of the table">
          <button type="button" disabled={page === 0} onClick={() => setPage(page - 1)}>
            Earlier
          </button>
          <span>
            conditions {page * A_PAGE + 1} to {Math.min(order.length, (page + 1) * A_PAGE)} of {order.length}
          </span>
          <button type="button" disabled={(page + 1) * A_PAGE >= order.length} onClick={() => setPage(page + 1)}>
            Later
          </button>
        </nav>
      )}
    </>
  );
}

/** The positions of the conditions in the order of a column: `length` ascending, `-length` descending. */
function sorted(conditions: readonly ConditionFigures[], sort: string | null): number[] {
  const order = conditions.map((_, at) => at);
  const value = SORTS.get((sort ?? "").replace(/^-/, ""));
  if (value === undefined) return sort === "-" ? order.toReversed() : order;
  const sign = sort?.startsWith("-") ? -1 : 1;
  return order.toSorted((a, b) => {
    const [one, other] = [value(conditions[a]!), value(conditions[b]!)];
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return sign * (one - other) || a - b;
  });
}

function SortHead({ sort, name }: { sort: string; name: string }) {
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
    </th>
  );
}

function AxisLabels({ axis, measure }: { axis: Axis; measure: Measure }) {
  return (
    <span class="axis">
      <span>{measure.say(borderOf(axis.first))}</span>
      <span>{measure.say(borderOf(axis.last + 1))}</span>
    </span>
  );
}

interface Extreme {
  lowest: number | null;
  highest: number | null;
}
type Extremes = Record<string, Extreme>;

/** The conditions with the lowest and the highest mean; none if all are equal. */
function extremesOf(conditions: readonly ConditionFigures[], { key }: Measure): Extreme {
  const means = conditions.flatMap((figures, at) => {
    const value = meanOf(figures[key]);
    return value === null ? [] : [{ at, value }];
  });
  const values = means.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (means.length < 2 || low === high) return { lowest: null, highest: null };
  const first = (wanted: number) => means.find(({ value }) => value === wanted)?.at ?? null;
  return { lowest: first(low), highest: first(high) };
}

interface RowProps {
  condition: string;
  figures: ConditionFigures;
  measure: Measure;
  axis: Axis | null;
  extremes: Extremes;
  at: number;
}

function FiguresRow({ condition, figures, measure, axis, extremes, at }: RowProps) {
  const { states } = figures;
  const toGrid = (filter: Filter) => linkTo({ view: "grid", input: null, filter: { condition, ...filter } });
  const reasons = Object.entries(states.failed).toSorted(([, a], [, b]) => b - a);
  const { filter } = measure;
  return (
    <tr>
      <th scope="row">
        <Name text={condition} />
      </th>
      {MEASURES.map((one) => {
        const value = meanOf(figures[one.key]);
        const { lowest, highest } = extremes[one.key] ?? {};
        return (
          <td key={one.key} class="figure">
            {(at === lowest || at === highest) && (
              <span class={`mark ${at === lowest ? "found" : ""}`}>{at === lowest ? one.lowest : one.highest}</span>
            )}
            {value === null ? <span class="faint">none</span> : one.sayMean(value)}
          </td>
        );
      })}
      <td class="figure">{number(states.succeeded)}</td>
      <td class="figure reasons">
        {reasons.length === 0 && "0"}
        {reasons.slice(0, 4).map(([reason, times]) => (
          <a key={reason} href={toGrid({ state: "failed", reason })}>
            {number(times)} <Name text={reason} />
          </a>
        ))}
        {reasons.length > 4 && <a href={toGrid({ state: "failed" })}>and others</a>}
      </td>
      <td class="figure">
        {states.truncated === 0 ? "0" : <a href={toGrid({ truncated: true })}>{number(states.truncated)}</a>}
      </td>
      <td class="histogram">
        {axis && (
          <Bars
            histogram={figures[measure.key]}
            axis={axis}
            name={`${measure.name} of ${condition}`}
            say={measure.say}
            onPoint={(label) => {
              pointed.value = label === null ? null : `${visible(condition)} · ${label}`;
            }}
            onChoose={
              filter && ((from, to) => go({ view: "grid", input: null, filter: { condition, ...filter(from, to) } }))
            }
          />
        )}
      </td>
    </tr>
  );
}
