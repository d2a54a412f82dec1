import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { borderOf } from "../histogram.ts";
import type { ConditionFigures, Filter, Histogram, ViewedRun } from "../rows.ts";
import { go, linkTo, place } from "./address.ts";
import { added, countFigures, type Figures, pointed } from "./figures.ts";
import { type Axis, axisOf, Bars } from "./histogram.tsx";
import { Failure } from "./notices.tsx";
import { duration, mean, number, usd } from "./number.ts";
import { GroupTable, SortHead, Toolbar } from "./table-parts.tsx";
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

/** How long, how fast and how dear the answers of each condition are, and how many failed. */
export function DistributionsView({ viewed }: { viewed: ViewedRun }) {
  const [figures, setFigures] = useState<Figures | null>(null);
  useEffect(() => {
    setFigures(null);
    return countFigures(viewed.run.id, setFigures);
  }, [viewed.run.id]);
  const groups = groupsOf(viewed, figures?.conditions ?? []);
  const measure = MEASURES.find(({ key }) => key === place.value.measure) ?? MEASURES[0]!;
  return (
    <section class="distributions" aria-label="Distributions">
      <Toolbar
        viewed={viewed}
        legend="Histograms of"
        name="measure"
        options={MEASURES}
        chosen={measure.key}
        found={
          figures !== null && !figures.isDone && !figures.error
            ? `Counted ${number(figures.looked)} of ${number(viewed.inputs.count)} inputs`
            : extremesText(groups, measure)
        }
      >
        <p class="pointed" aria-hidden="true">
          {pointed.value ?? (measure.filter && place.value.by === null ? "Click a bar to see its answers" : "")}
        </p>
      </Toolbar>
      {figures?.error && <Failure error={figures.error} />}
      {figures === null ? (
        <p class="notice">Counting…</p>
      ) : (
        <FiguresTable key={place.value.by} groups={groups} measure={measure} />
      )}
    </section>
  );
}

/** What a row of the table shows. */
interface Group {
  name: string;
  figures: ConditionFigures;
  /** The condition, if it is only one. */
  condition: string | null;
}

/** The conditions or, if the address says so, their kinds. Bins do not depend on the data, so that they can be added. */
function groupsOf({ conditions, kinds }: ViewedRun, figures: readonly ConditionFigures[]): Group[] {
  const nameAt = (at: number) => conditions[at]?.condition ?? "";
  if (place.value.by === null) {
    return figures.map((each, at) => ({ name: nameAt(at), figures: each, condition: nameAt(at) }));
  }
  return kinds.flatMap(({ name, conditions: members }) => {
    const own = members.flatMap((at) => figures[at] ?? []);
    if (own.length === 0) return [];
    const condition = members.length === 1 ? nameAt(members[0]!) : null;
    return [{ name, figures: own.reduce(added), condition }];
  });
}

/** The groups with the lowest and the highest mean, in a sentence. */
function extremesText(groups: readonly Group[], measure: Measure): ComponentChildren {
  const { lowest, highest } = extremesOf(groups, measure);
  if (lowest === null || highest === null) return null;
  const one = (at: number) => (
    <>
      <b>
        <Name text={groups[at]!.name} />
      </b>{" "}
      ({measure.sayMean(meanOf(groups[at]!.figures[measure.key]) ?? 0)})
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

function FiguresTable({ groups, measure }: { groups: readonly Group[]; measure: Measure }) {
  const axis = axisOf(groups.map(({ figures }) => figures[measure.key]));
  const extremes = Object.fromEntries(MEASURES.map((one) => [one.key, extremesOf(groups, one)]));
  const valueOf = (column: string) => {
    const value = SORTS.get(column);
    return value && (({ figures }: Group) => value(figures));
  };
  const heads = (
    <>
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
    </>
  );
  return (
    <GroupTable
      label="Figures"
      class="figures"
      groups={groups}
      valueOf={valueOf}
      heads={heads}
      row={(at) => (
        <FiguresRow key={at} group={groups[at]!} measure={measure} axis={axis} extremes={extremes} at={at} />
      )}
    />
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

/** The groups with the lowest and the highest mean; none if all are equal. */
function extremesOf(groups: readonly Group[], { key }: Measure): Extreme {
  const means = groups.flatMap(({ figures }, at) => {
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
  group: Group;
  measure: Measure;
  axis: Axis | null;
  extremes: Extremes;
  at: number;
}

/** Leads to the answers of one condition. The grid cannot filter by several. */
function ToGrid({
  condition,
  filter,
  children,
}: Pick<Group, "condition"> & { filter: Filter; children: ComponentChildren }) {
  if (condition === null) return <div>{children}</div>;
  return <a href={linkTo({ view: "grid", input: null, filter: { condition, ...filter } })}>{children}</a>;
}

function FiguresRow({ group, measure, axis, extremes, at }: RowProps) {
  const { name, figures, condition } = group;
  const { states } = figures;
  const reasons = Object.entries(states.failed).toSorted(([, a], [, b]) => b - a);
  const { filter } = measure;
  return (
    <tr>
      <th scope="row">
        <Name text={name} />
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
          <ToGrid key={reason} condition={condition} filter={{ state: "failed", reason }}>
            {number(times)} <Name text={reason} />
          </ToGrid>
        ))}
        {reasons.length > 4 && (
          <ToGrid condition={condition} filter={{ state: "failed" }}>
            and others
          </ToGrid>
        )}
      </td>
      <td class="figure">
        {states.truncated === 0 ? (
          "0"
        ) : (
          <ToGrid condition={condition} filter={{ truncated: true }}>
            {number(states.truncated)}
          </ToGrid>
        )}
      </td>
      <td class="histogram">
        {axis && (
          <Bars
            histogram={figures[measure.key]}
            axis={axis}
            name={`${measure.name} of ${name}`}
            say={measure.say}
            onPoint={(label) => {
              pointed.value = label === null ? null : `${visible(name)} · ${label}`;
            }}
            onChoose={
              filter === null || condition === null
                ? null
                : (from, to) => go({ view: "grid", input: null, filter: { condition, ...filter(from, to) } })
            }
          />
        )}
      </td>
    </tr>
  );
}
