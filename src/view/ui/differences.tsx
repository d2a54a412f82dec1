import { useEffect, useState } from "preact/hooks";
import type { ComparedPair, ViewedRun } from "../rows.ts";
import { go, linkTo, place } from "./address.ts";
import { asError, rows } from "./loading.ts";
import { Failure } from "./notices.tsx";
import { counted, number, percent } from "./number.ts";
import { RunOptions } from "./options.tsx";
import { readRuns, runs } from "./run-state.ts";
import { Frame } from "./table-parts.tsx";
import { Text, visible, Words } from "./text.tsx";

/** How many of the most different pairs are kept. */
const MOST_PAIRS = 50;

interface Found {
  pairs: ComparedPair[];
  identical: number;
  compared: number;
  looked: number;
  isDone: boolean;
  error: Error | null;
}

/** Where two runs differ most. */
export function Differences({ viewed }: { viewed: ViewedRun }) {
  const { other } = place.value;
  useEffect(() => void readRuns(), []);
  const others = (runs.value ?? []).filter(({ id }) => id !== viewed.run.id);
  return (
    <section class="differences" aria-label="Differences of two runs">
      <div class="toolbar">
        <label>
          <span>Compare this run with</span>
          <select
            value={other ?? ""}
            onChange={({ currentTarget: { value } }) => go({ other: value === "" ? null : value })}
          >
            <option value="">choose a run</option>
            <RunOptions runs={others} chosen={other} />
          </select>
        </label>
      </div>
      {runs.value !== null && others.length === 0 && (
        <p class="notice">The database has no other run to compare with.</p>
      )}
      {other === null && others.length > 0 && (
        <p class="notice">
          Choose a run above, to see the answers to the same input and condition that differ most between the two.
        </p>
      )}
      {other !== null && <Pairs key={other} viewed={viewed} other={other} />}
    </section>
  );
}

function Pairs({ viewed, other }: { viewed: ViewedRun; other: string }) {
  const [found, setFound] = useState<Found | null>(null);
  useEffect(() => {
    let isWanted = true;
    void compare(viewed.run.id, other, (next) => {
      if (isWanted) setFound(next);
      return isWanted;
    });
    return () => {
      isWanted = false;
    };
  }, [viewed.run.id, other]);
  const [theirs, setTheirs] = useState<ViewedRun | null>(null);
  useEffect(() => {
    rows()
      .run(other)
      .then(setTheirs, () => {});
  }, [other]);
  if (found === null) return <p class="notice">Comparing…</p>;
  if (found.error) return <Failure error={found.error} />;
  const { pairs, identical, compared, looked, isDone } = found;
  return (
    <>
      <p class="found lined" role="status">
        {counted(compared, "pair")} of answers compared, {number(identical)} identical
        {!isDone && ` · looked at ${number(looked)} of ${number(viewed.inputs.count)} inputs`}
      </p>
      {pairs.length === 0 && isDone && (
        <p class="notice">
          {compared === 0 ? "The runs have no input and condition in common." : "No pair of answers differs."}
        </p>
      )}
      {pairs.length > 0 && (
        <p class="faint pairs-head">
          The {pairs.length === MOST_PAIRS && `${MOST_PAIRS} `}most different, by the words that they do not share
        </p>
      )}
      {pairs.length > 0 && (
        <Frame label="The most different answers">
          <table class="pairs">
            <thead>
              <tr>
                <th scope="col" class="figure">
                  Differs
                </th>
                <th scope="col">Input</th>
                <th scope="col">Condition</th>
                <th scope="col">{viewed.run.name === null ? viewed.run.id : visible(viewed.run.name)}</th>
                <th scope="col">{theirs?.run.name == null ? other : visible(theirs.run.name)}</th>
              </tr>
            </thead>
            <tbody>
              {pairs.map((pair) => (
                <Pair
                  key={`${pair.positionA}.${pair.condition}.${pair.replicate}`}
                  {...{ pair, viewed, theirs, other }}
                />
              ))}
            </tbody>
          </table>
        </Frame>
      )}
    </>
  );
}

function Pair(props: { pair: ComparedPair; viewed: ViewedRun; theirs: ViewedRun | null; other: string }) {
  const { pair, viewed, theirs, other } = props;
  const { condition, replicate, positionA, difference, a, b } = pair;
  const at = (run: ViewedRun | null) => run?.conditions.findIndex((one) => one.condition === condition) ?? -1;
  const sides = [
    { run: null, condition: Math.max(0, at(viewed)), replicate },
    { run: other, condition: Math.max(0, at(theirs)), replicate },
  ];
  return (
    <tr>
      <td class="figure">
        <svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
          <rect width={100 * difference} height={8} />
        </svg>
        {percent(difference)}
      </td>
      <th scope="row" class="when">
        <a href={linkTo({ view: "side", input: positionA, sides, all: false })}>Input {number(positionA)}</a>
      </th>
      <td>
        <Text text={condition} />
        {replicate > 1 && <div class="faint">replicate {replicate}</div>}
      </td>
      <td>
        <Words text={a} />
      </td>
      <td>
        <Words text={b} />
      </td>
    </tr>
  );
}

/** @param say gets what was found so far; returns whether to go on */
async function compare(a: string, b: string, say: (found: Found) => boolean): Promise<void> {
  const found: Found = { pairs: [], identical: 0, compared: 0, looked: 0, isDone: false, error: null };
  try {
    for (let after: number | null = -1; after !== null;) {
      const slice = await rows().compare(a, b, after);
      found.pairs = [...found.pairs, ...slice.pairs]
        .toSorted((one, two) => two.difference - one.difference || one.positionA - two.positionA)
        .slice(0, MOST_PAIRS);
      found.identical += slice.identical;
      found.compared += slice.compared;
      found.looked += slice.looked;
      after = slice.next;
      if (!say({ ...found, isDone: after === null })) return;
    }
  } catch (error) {
    say({ ...found, error: asError(error) });
  }
}
