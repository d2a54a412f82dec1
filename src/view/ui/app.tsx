import { Component, type ComponentChildren } from "preact";
import type { RunSummary } from "../../app/runs/summary.ts";
import type { ViewedRun } from "../rows.ts";
import { linkTo, place, type ViewName } from "./address.ts";
import { CellDialog } from "./cell-dialog.tsx";
import { Differences } from "./differences.tsx";
import { DistributionsView } from "./distributions.tsx";
import { Grid } from "./grid.tsx";
import { active } from "./grid-state.ts";
import { areKeysShown, KeysDialog } from "./keys.tsx";
import { asError, isFile } from "./loading.ts";
import { Failure } from "./notices.tsx";
import { counted, money, number } from "./number.ts";
import { failure, newAnswers, showNewAnswers, totals, viewed as shownRun } from "./run-state.ts";
import { RunsList, Status } from "./runs-list.tsx";
import { SideBySide } from "./side.tsx";
import { StatisticsView } from "./statistics.tsx";
import { modelOf, Name, visible } from "./text.tsx";

const TABS: readonly { view: ViewName; name: string; needsServer?: true }[] = [
  { view: "grid", name: "Grid" },
  { view: "side", name: "Side by side" },
  { view: "distributions", name: "Distributions" },
  { view: "statistics", name: "Statistics" },
  { view: "differences", name: "Differences of runs", needsServer: true },
];

export function App() {
  const { view, run } = place.value;
  return (
    <>
      <Header />
      <main>
        {/* Another view or run may be shown well. */}
        <Bounded key={`${view} ${run}`}>
          <View view={view} />
        </Bounded>
      </main>
      {areKeysShown.value && <KeysDialog />}
    </>
  );
}

function View({ view }: { view: ViewName }) {
  const { cell } = place.value;
  const shown = shownRun.value;
  const title = shown === null ? "datagen" : `${visible(shown.run.name ?? shown.run.id)} · datagen`;
  if (document.title !== title) document.title = title;
  return (
    <>
      {view === "runs" ? <RunsList /> : <RunView view={view} />}
      {shown !== null && cell !== null && view !== "runs" && <CellDialog viewed={shown} cell={cell} />}
    </>
  );
}

/** Says it if something cannot be shown, as a damaged database has it, instead of an empty page. */
class Bounded extends Component<{ children: ComponentChildren }, { error: Error | null }> {
  override state = { error: null as Error | null };

  override componentDidCatch(error: unknown): void {
    this.setState({ error: new Error(`This cannot be shown: ${asError(error).message}.`) });
  }

  override render() {
    const { error } = this.state;
    return error === null ? this.props.children : <NotShown error={error} />;
  }
}

/** In place of a run, or of the list of all. */
function NotShown({ error }: { error: Error }) {
  const { view, run } = place.value;
  return (
    <>
      <div class="run-head">
        <h1>{view === "runs" || run === null ? "Runs" : <Name text={run} />}</h1>
      </div>
      <Failure error={error} />
    </>
  );
}

function Header() {
  const { view, run } = place.value;
  return (
    <header class="bar">
      <nav aria-label="Views">
        {!isFile && (
          <a href={linkTo({ view: "runs" })} aria-current={view === "runs" ? "page" : undefined}>
            Runs
          </a>
        )}
        {run !== null &&
          view !== "runs" &&
          TABS.filter(({ needsServer }) => !needsServer || !isFile).map((tab) => (
            <a
              key={tab.view}
              href={linkTo({ view: tab.view, input: tab.view === "side" ? currentInput() : place.value.input })}
              aria-current={view === tab.view ? "page" : undefined}
            >
              {tab.name}
            </a>
          ))}
      </nav>
      <button type="button" class="plain" onClick={() => (areKeysShown.value = true)}>
        Keys <kbd>?</kbd>
      </button>
    </header>
  );
}

function currentInput(): number | null {
  return active.value?.position ?? place.value.input;
}

function RunView({ view }: { view: ViewName }) {
  const shown = shownRun.value;
  if (failure.value) return <NotShown error={failure.value} />;
  if (shown === null) return <p class="notice">Loading…</p>;
  return (
    <>
      <RunHead viewed={shown} />
      {view === "grid" && <Grid viewed={shown} />}
      {view === "side" && <SideBySide viewed={shown} />}
      {view === "distributions" && <DistributionsView viewed={shown} />}
      {view === "statistics" && <StatisticsView viewed={shown} />}
      {view === "differences" && <Differences viewed={shown} />}
    </>
  );
}

/** The run and its totals, which change while it is executed. */
function RunHead({ viewed }: { viewed: ViewedRun }) {
  const { run, replicates } = viewed;
  const now = totals.value ?? run;
  return (
    <div class="run-head">
      <h1>
        {run.name === null ? <span class="code">{run.id}</span> : <Name text={run.name} />}
        {run.name !== null && <small class="code"> {run.id}</small>}
      </h1>
      <Status run={now} />
      <p class="facts-line">
        <Name text={modelOf(run)} /> · {counted(now.tasks, "input")} × {counted(now.perspectives, "condition")}
        {replicates > 1 && ` × ${replicates} replicates`} · <Totals run={now} />
      </p>
      {isFile && <PartOf viewed={viewed} />}
      {newAnswers.value > 0 && (
        <button type="button" class="new-answers" onClick={showNewAnswers}>
          {counted(newAnswers.value, "new answer")}: show
        </button>
      )}
    </div>
  );
}

/** Says it if an exported page has only a part of the run, whose totals stand beside it. */
function PartOf({ viewed: { run, inputs, conditions } }: { viewed: ViewedRun }) {
  if (inputs.count === run.tasks && conditions.length === run.perspectives) return null;
  return (
    <p class="mark warn">
      This page has {number(inputs.count)} of the inputs and {number(conditions.length)} of the conditions
    </p>
  );
}

function Totals({ run: { calls, tokens, cost_usd: cost } }: { run: RunSummary }) {
  const filtered = (name: string, filter: Parameters<typeof linkTo>[0]["filter"]) => (
    <a href={linkTo({ view: "grid", input: null, filter: filter ?? {} })} title="Calls: answers, and notes">
      {name}
    </a>
  );
  return (
    <>
      {number(calls.succeeded + calls.failed)} of {counted(calls.total, "call")} done
      {calls.failed > 0 && <> · {filtered(`${number(calls.failed)} failed`, { state: "failed" })}</>}
      {calls.truncated > 0 && <> · {filtered(`${number(calls.truncated)} cut`, { truncated: true })}</>}
      {calls.reused > 0 && <> · {filtered(`${number(calls.reused)} reused`, { reused: true })}</>} ·{" "}
      {number(tokens.total)} tokens · {cost === null ? "cost unknown" : money(cost)}
    </>
  );
}
