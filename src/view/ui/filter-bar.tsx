import { useEffect, useRef, useState } from "preact/hooks";
import type { Filter, State, ViewedRun } from "../rows.ts";
import { go, place } from "./address.ts";
import { moveTo, positions } from "./grid-state.ts";
import { counted, number } from "./number.ts";
import { ConditionOptions } from "./options.tsx";
import { isEmpty, lookFurther, search } from "./search.ts";

type Change = { [Name in keyof Filter]?: Filter[Name] | undefined };

/** Sets some filters; undefined removes one. */
function setFilter(change: Change): void {
  const whole = { ...place.peek().filter, ...change };
  const filter = Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined)) as Filter;
  go({ filter, input: null, cell: null });
}

const RANGES = [
  { name: "Length", unit: "characters", from: "lengthFrom", to: "lengthTo", step: 1 },
  { name: "Latency", unit: "ms", from: "latencyFrom", to: "latencyTo", step: 1 },
  { name: "Cost", unit: "US dollars", from: "costFrom", to: "costTo", step: 0.0001 },
] as const;

/** The filters of the grid. All of them are in the address. */
export function FilterBar({ viewed }: { viewed: ViewedRun }) {
  const { filter } = place.value;
  const chosen = viewed.conditions.findIndex(({ condition }) => condition === filter.condition);
  const [isWide, setWide] = useState(false);
  const isMore = RANGES.some(({ from, to }) => filter[from] !== undefined || filter[to] !== undefined);
  const hasMore = isWide || isMore || filter.reason !== undefined || filter.equal !== undefined;
  return (
    <form class="filters" role="search" aria-label="Filters" onSubmit={(event) => event.preventDefault()}>
      <TextFilter text={filter.text ?? ""} />
      <label>
        <span>Answers</span>
        <select
          value={answersOf(filter)}
          onChange={({ currentTarget }) => setFilter(ANSWERS[currentTarget.value] ?? {})}
        >
          <option value="all">all</option>
          <option value="succeeded">answered</option>
          <option value="failed">failed</option>
          <option value="pending">not answered yet</option>
          <option value="cut">cut</option>
          <option value="reused">reused</option>
        </select>
      </label>
      <label>
        <span>Condition</span>
        <select
          class="long"
          value={chosen}
          onChange={({ currentTarget: { value } }) =>
            setFilter({ condition: viewed.conditions[Number(value)]?.condition })
          }
        >
          <option value={-1}>all</option>
          <ConditionOptions conditions={viewed.conditions} chosen={Math.max(0, chosen)} />
        </select>
      </label>
      <GoTo />
      <button type="button" class="plain" aria-expanded={hasMore} onClick={() => setWide(!hasMore)}>
        More filters
      </button>
      {!isEmpty(filter) && (
        <button type="button" class="plain" onClick={() => go({ filter: {}, cell: null })}>
          Clear filters
        </button>
      )}
      <Found viewed={viewed} />
      {hasMore && (
        <div class="more">
          {RANGES.map((range) => (
            <Range key={range.name} filter={filter} {...range} />
          ))}
          <label>
            <span>Equal to</span>
            <select
              value={filter.equal ?? ""}
              onChange={({ currentTarget: { value } }) =>
                setFilter({ equal: value === "reference" || value === "other" ? value : undefined })
              }
            >
              <option value="">anything</option>
              {viewed.hasReferences && <option value="reference">the reference</option>}
              <option value="other">another answer to the input</option>
            </select>
          </label>
          <label>
            <span>Failed because of</span>
            <input
              type="text"
              value={filter.reason ?? ""}
              placeholder="a reason, such as refusal"
              onChange={({ currentTarget: { value } }) => setFilter({ reason: value.trim() || undefined })}
            />
          </label>
        </div>
      )}
    </form>
  );
}

const NONE = { state: undefined, truncated: undefined, reused: undefined } as const;
const ANSWERS: Record<string, Change> = {
  all: { ...NONE, reason: undefined },
  succeeded: { ...NONE, state: "succeeded" satisfies State },
  failed: { ...NONE, state: "failed" satisfies State },
  pending: { ...NONE, state: "pending" satisfies State },
  cut: { ...NONE, truncated: true },
  reused: { ...NONE, reused: true },
};

function answersOf({ state, truncated, reused }: Filter): string {
  if (truncated === true) return "cut";
  if (reused === true) return "reused";
  return state ?? "all";
}

/** Waits until the typing pauses. */
const PAUSE_MS = 300;

function TextFilter({ text }: { text: string }) {
  const [typed, setTyped] = useState(text);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => setTyped(text), [text]);
  const set = (value: string) => {
    clearTimeout(timer.current);
    if (value !== text) setFilter({ text: value === "" ? undefined : value });
  };
  return (
    <label class="search">
      <span>Text</span>
      <input
        type="search"
        id="filter-text"
        dir="auto"
        value={typed}
        placeholder="in answer, input or reference"
        onInput={({ currentTarget: { value } }) => {
          setTyped(value);
          clearTimeout(timer.current);
          timer.current = setTimeout(set, PAUSE_MS, value);
        }}
        onChange={({ currentTarget }) => set(currentTarget.value)}
      />
    </label>
  );
}

function Range({ name, unit, from, to, step, filter }: (typeof RANGES)[number] & { filter: Filter }) {
  const field = (key: typeof from | typeof to, label: string) => (
    <input
      type="number"
      min={0}
      step={step}
      aria-label={`${name} ${label}, in ${unit}`}
      placeholder={label}
      value={filter[key] ?? ""}
      onChange={({ currentTarget: { value } }) => setFilter({ [key]: value === "" ? undefined : Number(value) })}
    />
  );
  return (
    <fieldset class="range">
      <legend>
        {name} <small>({unit})</small>
      </legend>
      {field(from, "from")}
      {field(to, "below")}
    </fieldset>
  );
}

/** Goes to an input by its number. */
function GoTo() {
  return (
    <label>
      <span>Go to input</span>
      <input
        type="number"
        min={0}
        step={1}
        placeholder="number"
        onChange={({ currentTarget }) => {
          const position = Number(currentTarget.value);
          if (currentTarget.value !== "" && position >= 0) moveTo(positions.peek().indexOf(position), 0, "start");
          currentTarget.value = "";
        }}
      />
    </label>
  );
}

/** What the search has found, and how far it has looked. */
function Found({ viewed }: { viewed: ViewedRun }) {
  const found = search.value;
  const all = viewed.inputs.count;
  if (found === null) return <p class="found">{counted(all, "input")}</p>;
  const { answers, looked, isDone, isLooking } = found;
  // The counts of calls, which lead here, include notes.
  const isWithoutNotes =
    place.value.filter.truncated === true && viewed.conditions.some(({ hasReading }) => hasReading);
  const matches = `${counted(answers, "answer matches", "answers match")}, of ${counted(found.positions.length, "input")}`;
  return (
    <p class="found" role="status">
      {matches}
      {isWithoutNotes && " (cut notes are not among them)"}
      {!isDone && ` · looked at ${number(looked)} of ${number(all)} inputs`}
      {!isDone && !isLooking && (
        <button type="button" class="plain" onClick={lookFurther}>
          Look further
        </button>
      )}
    </p>
  );
}
