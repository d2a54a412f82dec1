import { useEffect } from "preact/hooks";
import type { RunSummary } from "../../app/runs/summary.ts";
import { linkToRun } from "./address.ts";
import { isFile } from "./loading.ts";
import { Failure } from "./notices.tsx";
import { moment, money, number } from "./number.ts";
import { done, failure, readRuns, runs } from "./run-state.ts";
import { Frame } from "./table-parts.tsx";
import { modelOf, Name } from "./text.tsx";

/** How often the list is read again while a run goes on. */
const EVERY_MS = 2_000;

/** All runs of the database, the newest first. */
export function RunsList() {
  useEffect(() => {
    void readRuns();
    if (isFile) return undefined;
    const timer = setInterval(() => {
      const isLive = runs.peek()?.some(({ status }) => status === "running" || status === "waiting");
      if (isLive && document.visibilityState === "visible") void readRuns();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const all = runs.value;
  return (
    <section class="runs" aria-label="Runs">
      <h1>Runs</h1>
      {failure.value && <Failure error={failure.value} />}
      {all === null && !failure.value && <p class="notice">Loading…</p>}
      {all?.length === 0 && <p class="notice">This database has no runs yet.</p>}
      {all !== null && all.length > 0 && <RunsTable runs={all} />}
    </section>
  );
}

/** How many runs are listed. */
const MOST_RUNS = 100;

function RunsTable({ runs: all }: { runs: readonly RunSummary[] }) {
  return (
    <>
      <Frame label="Table of runs">
        <table>
          <thead>
            <tr>
              <th scope="col">Run</th>
              <th scope="col">State</th>
              <th scope="col">Task</th>
              <th scope="col">Model</th>
              <th scope="col" class="figure">
                Inputs × conditions
              </th>
              <th scope="col" class="figure">
                Calls done
              </th>
              <th scope="col" class="figure">
                Failed
              </th>
              <th scope="col" class="figure">
                Cut
              </th>
              <th scope="col" class="figure">
                Tokens
              </th>
              <th scope="col" class="figure">
                Cost
              </th>
              <th scope="col">Created</th>
            </tr>
          </thead>
          <tbody>
            {all.slice(0, MOST_RUNS).map((run) => (
              <RunRow key={run.id} run={run} />
            ))}
          </tbody>
        </table>
      </Frame>
      {all.length > MOST_RUNS && (
        <p class="notice">
          The newest {MOST_RUNS} of {number(all.length)} runs. Open an older one with <code>datagen view RUN</code>.
        </p>
      )}
    </>
  );
}

function RunRow({ run }: { run: RunSummary }) {
  const { id, name, experiment, task_type: task, calls, tokens } = run;
  return (
    <tr>
      <th scope="row">
        <a href={linkToRun(id)}>{name === null ? id : <Name text={name} />}</a>
        {name !== null && <div class="faint code">{id}</div>}
        {experiment !== null && (
          <div class="faint of-experiment">
            of <Name text={experiment} />
          </div>
        )}
      </th>
      <td>
        <Status run={run} />
      </td>
      <td class="when">
        <Name text={task} />
      </td>
      <td class="when">
        <Name text={modelOf(run)} />
      </td>
      <td class="figure">
        {number(run.tasks)} × {number(run.perspectives)}
      </td>
      <td class="figure">
        {done(run) === calls.total ? number(calls.total) : `${number(done(run))} of ${number(calls.total)}`}
      </td>
      <td class="figure">
        {calls.failed === 0 ? "0" : <a href={linkToRun(id, { filter: { state: "failed" } })}>{number(calls.failed)}</a>}
      </td>
      <td class="figure">
        {calls.truncated === 0 ? (
          "0"
        ) : (
          <a href={linkToRun(id, { filter: { truncated: true } })}>{number(calls.truncated)}</a>
        )}
      </td>
      <td class="figure">{number(tokens.total)}</td>
      <td class="figure">{money(run.cost_usd)}</td>
      <td class="when">{moment(run.created_at).slice(0, 16)}</td>
    </tr>
  );
}

/** The state of a run, and how far it is. */
export function Status({ run }: { run: RunSummary }) {
  const { status, calls } = run;
  const tone = status === "failed" ? "bad" : status === "completed" ? "" : "live";
  const part = calls.total === 0 ? 1 : done(run) / calls.total;
  return (
    <span class={`status ${tone}`}>
      {STATES[status]}
      {part < 1 && ` ${Math.floor(part * 100)}%`}
    </span>
  );
}

const STATES: Record<RunSummary["status"], string> = {
  running: "running",
  interrupted: "interrupted",
  waiting: "waiting for a batch",
  completed: "completed",
  failed: "some calls failed",
};
