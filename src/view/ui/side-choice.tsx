import { useEffect } from "preact/hooks";
import type { ViewedRun } from "../rows.ts";
import type { Side } from "./address.ts";
import { isFile, rows } from "./loading.ts";
import { ConditionOptions, RunOptions } from "./options.tsx";
import { readRuns, runs } from "./run-state.ts";

interface Props {
  /** The run of the page. */
  viewed: ViewedRun;
  /** The run of the column; null while it is read. */
  of: ViewedRun | null;
  side: Side;
  onChange: (side: Side) => void;
  onRemove: (() => void) | null;
  label: string;
}

/** Chooses what one column shows. */
export function SideChoice({ viewed, of, side, onChange, onRemove, label }: Props) {
  useEffect(() => {
    if (runs.peek() === null) void readRuns();
  }, []);
  const conditions = (of ?? viewed).conditions;
  const replicates = (of ?? viewed).replicates;
  const all = runs.value ?? [viewed.run];
  /** Where the conditions of a run have one of the same name. */
  const sameCondition = async (run: string | null, name: string | undefined) => {
    const found = run === null ? viewed : await rows().run(run);
    const at = found.conditions.findIndex(({ condition }) => condition === name);
    return at === -1 ? null : at;
  };
  return (
    <div class="choice">
      {!isFile && all.length > 1 && (
        <label class="wide">
          <span>Run</span>
          <select
            aria-label={`Run of ${label}`}
            value={side.run ?? viewed.run.id}
            onChange={({ currentTarget: { value } }) => {
              const run = value === viewed.run.id ? null : value;
              void sameCondition(run, conditions[side.condition]?.condition).then(
                (condition) => onChange({ run, condition: condition ?? 0, replicate: 1 }),
                () => onChange({ run, condition: 0, replicate: 1 }),
              );
            }}
          >
            <RunOptions runs={all} chosen={side.run ?? viewed.run.id} />
          </select>
        </label>
      )}
      {replicates > 1 && (
        <label class="wide">
          <span>Replicate</span>
          <select
            aria-label={`Replicate of ${label}`}
            value={side.replicate}
            onChange={({ currentTarget: { value } }) => onChange({ ...side, replicate: Number(value) })}
          >
            {Array.from({ length: replicates }, (_, at) => (
              <option key={at} value={at + 1}>
                {at + 1}
              </option>
            ))}
          </select>
        </label>
      )}
      <label>
        <span>Condition</span>
        <select
          aria-label={`Condition of ${label}`}
          value={side.condition}
          onChange={({ currentTarget: { value } }) => onChange({ ...side, condition: Number(value) })}
        >
          <ConditionOptions conditions={conditions} chosen={side.condition} />
        </select>
      </label>
      {onRemove && (
        <button type="button" class="plain" aria-label={`Remove ${label}`} onClick={onRemove}>
          Remove
        </button>
      )}
    </div>
  );
}
