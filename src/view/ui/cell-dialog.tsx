import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { CellView, StepView, ViewedRun, WholeRow } from "../rows.ts";
import { type CellPlace, go, linkToRun } from "./address.ts";
import { Attempts } from "./attempts.tsx";
import { focusWanted, positions } from "./grid-state.ts";
import { isFile, reading, rows, useLoaded } from "./loading.ts";
import { Beginning, Failure } from "./notices.tsx";
import { counted, duration, money, number } from "./number.ts";
import { Name, Text, visible } from "./text.tsx";

const MOVES: { name: string; arrow: string; letter: string; by: [inputs: number, conditions: number] }[] = [
  { name: "Previous input", arrow: "Input ↑", letter: "k", by: [-1, 0] },
  { name: "Next input", arrow: "↓", letter: "j", by: [1, 0] },
  { name: "Previous condition", arrow: "Condition ←", letter: "h", by: [0, -1] },
  { name: "Next condition", arrow: "→", letter: "l", by: [0, 1] },
];

/** One answer with everything that is known of it. */
export function CellDialog({ viewed, cell }: { viewed: ViewedRun; cell: CellPlace }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const body = useRef<HTMLDivElement>(null);
  const { position, condition, replicate } = cell;
  const key = JSON.stringify([viewed.run.id, cell, reading.value]);
  const view = useLoaded(key, () => rows().cell(viewed.run.id, position, condition, replicate));
  const row = useLoaded(JSON.stringify([viewed.run.id, position, reading.value]), () =>
    rows().row(viewed.run.id, position),
  );
  useLayoutEffect(() => {
    const before = document.activeElement;
    const shown = dialog.current;
    shown?.showModal();
    body.current?.focus();
    return () => {
      // Beside an open dialog nothing can have the focus.
      shown?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
      else focusWanted.value += 1;
    };
  }, []);
  useEffect(() => {
    body.current?.scrollTo(0, 0);
  }, [key]);
  const title = viewed.conditions[condition]?.condition ?? view.value?.condition ?? "";
  return (
    <dialog
      ref={dialog}
      class="cell-dialog"
      role="dialog"
      aria-labelledby="cell-title"
      onCancel={(event) => {
        event.preventDefault();
        closeCell();
      }}
      onClick={(event) => {
        if (event.target === dialog.current) closeCell();
      }}
    >
      <header>
        <h2 id="cell-title">
          Input {number(position)} · <Name text={title} />
          {viewed.replicates > 1 && ` · replicate ${replicate}`}
        </h2>
        <nav aria-label="Other cells">
          {MOVES.map(({ name, arrow, letter, by }) => (
            <button key={letter} type="button" title={name} onClick={() => moveCell(viewed, cell, ...by)}>
              <span aria-hidden="true">
                {arrow} <kbd>{letter}</kbd>
              </span>
              <span class="hidden">{name}</span>
            </button>
          ))}
          {viewed.replicates > 1 && <Replicates viewed={viewed} cell={cell} />}
          <button type="button" onClick={closeCell}>
            Close <kbd>Esc</kbd>
          </button>
        </nav>
      </header>
      <div class="body" tabIndex={0} role="group" aria-labelledby="cell-title" ref={body}>
        {view.error && <Failure error={view.error} />}
        {view.value === null && view.error === null && <p class="notice">Loading…</p>}
        {view.value && <Cell view={view.value} row={row.value} />}
      </div>
    </dialog>
  );
}

export function closeCell(): void {
  go({ cell: null });
}

/** Opens the cell of another input or condition. */
export function moveCell(viewed: ViewedRun, cell: CellPlace, inputs: number, conditions: number): void {
  const shown = positions.peek();
  const index = Math.max(0, Math.min(shown.count - 1, shown.indexOf(cell.position) + inputs));
  const condition = Math.max(0, Math.min(viewed.conditions.length - 1, cell.condition + conditions));
  go({ cell: { ...cell, position: inputs === 0 ? cell.position : shown.at(index), condition } }, "replace");
}

function Replicates({ viewed, cell }: { viewed: ViewedRun; cell: CellPlace }) {
  return (
    <select
      aria-label="Replicate"
      value={cell.replicate}
      onChange={({ currentTarget }) => go({ cell: { ...cell, replicate: Number(currentTarget.value) } }, "replace")}
    >
      {Array.from({ length: viewed.replicates }, (_, at) => (
        <option key={at} value={at + 1}>
          replicate {at + 1}
        </option>
      ))}
    </select>
  );
}

function Cell({ view, row }: { view: CellView; row: WholeRow | null }) {
  const answer = view.steps.find(({ step }) => step === "strategy");
  const notes = view.steps.find(({ step }) => step === "reading");
  return (
    <>
      <Summary steps={view.steps} />
      <div class="parts-of-cell">
        <div>
          {answer && <Answer step={answer} title="Answer" />}
          {notes && <Answer step={notes} title="Notes" />}
          {row && (
            <>
              <section>
                <h3>Input</h3>
                <Text class="whole" text={row.input.text} />
                {row.input.isCut && <Beginning />}
              </section>
              {row.reference && (
                <section>
                  <h3>Reference</h3>
                  <Text class="whole" text={row.reference.text} />
                </section>
              )}
            </>
          )}
        </div>
        <div>
          {notes && <Prompt step={notes} title="Prompt of the notes" />}
          {answer && <Prompt step={answer} title={notes ? "Prompt of the answer" : "Prompt"} />}
        </div>
      </div>
      {[notes, answer].map((step) => step && <Details key={step.step} step={step} isAlone={!notes} />)}
    </>
  );
}

/** What the cell cost, at a glance. */
function Summary({ steps }: { steps: readonly StepView[] }) {
  const cost = steps.reduce<number | null>(
    (sum, { costUsd }) => (sum === null || costUsd === null ? null : sum + costUsd),
    0,
  );
  const tokens = (name: "prompt" | "completion") => steps.reduce((sum, step) => sum + (step.tokens?.[name] ?? 0), 0);
  const isEstimated = steps.some((step) => step.tokens?.estimated);
  const latency = steps.flatMap(({ attempts }) => attempts.filter(({ outcome }) => outcome === "succeeded"));
  const ms = latency.filter(({ isBatched }) => !isBatched).reduce((sum, { durationMs }) => sum + durationMs, 0);
  const last = steps.at(-1);
  const isReused = last?.text != null && last.attempts.length === 0 && last.origin !== "imported";
  return (
    <dl class="summary">
      <Fact name="Cost" value={`${money(cost)}${isReused ? ", because the answer is reused" : ""}`} />
      <Fact
        name="Tokens"
        value={`${number(tokens("prompt"))} prompt + ${number(tokens("completion"))} completion${isEstimated ? ", counted by datagen" : ""}`}
      />
      {ms > 0 && <Fact name="Latency" value={duration(ms)} />}
      <Fact name="Requests" value={number(steps.reduce((sum, { attempts }) => sum + attempts.length, 0))} />
      {last?.finishReason && (
        <Fact
          name="Finish reason"
          value={last.finishReason === "length" ? "length: the token limit cut it" : last.finishReason}
        />
      )}
    </dl>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <Name text={value} />
      </dd>
    </div>
  );
}

function Answer({ step, title }: { step: StepView; title: string }) {
  return (
    <section>
      <h3>
        {title} {step.text && <small>{counted(step.text.length, "character")}</small>}
      </h3>
      {step.text && <Text class="whole answer-text" text={step.text.text} />}
      {step.text?.isCut && <Beginning />}
      {step.state === "failed" && (
        <p class="mark bad">
          failed: <Name text={step.failure ?? "unknown"} />
        </p>
      )}
      {step.state === "pending" && <p class="faint">Not answered yet</p>}
    </section>
  );
}

function Prompt({ step, title }: { step: StepView; title: string }) {
  return (
    <section>
      <h3>{title}</h3>
      {step.messages === null && <p class="faint">Not known: there are no notes to work on.</p>}
      {step.isAsSent === false && (
        <p class="mark warn">These messages follow from the config. The answer was asked with others.</p>
      )}
      {step.messages?.map(({ role, content }, at) => (
        <div key={at} class="message">
          <h4>
            <Name text={role} />
          </h4>
          <Text class="whole" text={content.text} />
          {content.isCut && <Beginning />}
        </div>
      ))}
    </section>
  );
}

function Details({ step, isAlone }: { step: StepView; isAlone: boolean }) {
  const what = isAlone ? "" : step.step === "reading" ? " of the notes" : " of the answer";
  return (
    <section class="details">
      <h3>Requests{what}</h3>
      <Attempts attempts={step.attempts} origin={step.origin} />
      <dl class="facts">
        <Fact name="Cost in this run" value={money(step.costUsd)} />
        {step.origin && <Fact name="Came" value={ORIGINS[step.origin]} />}
        {step.servedModel !== null && <Fact name="Answered by" value={step.servedModel} />}
        {step.tokens?.cached != null && <Fact name="Cached prompt tokens" value={number(step.tokens.cached)} />}
        {step.tokens?.reasoning != null && <Fact name="Reasoning tokens" value={number(step.tokens.reasoning)} />}
        {step.fromRun !== null && <RunLinks name="From run" ids={[step.fromRun]} />}
        {step.otherRuns.length > 0 && <RunLinks name="Also in" ids={step.otherRuns} />}
      </dl>
      {step.parameters && (
        <>
          <h4>Parameters{what}</h4>
          <dl class="facts">
            {Object.entries(step.parameters).map(([name, value]) => (
              <Fact key={name} name={visible(name)} value={typeof value === "string" ? value : JSON.stringify(value)} />
            ))}
          </dl>
        </>
      )}
    </section>
  );
}

const ORIGINS = { live: "by a live request", batch: "in a batch", imported: "with an imported dataset" };

function RunLinks({ name, ids }: { name: string; ids: readonly string[] }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {isFile && ids.map(visible).join(" ")}
        {!isFile &&
          ids.map((id) => (
            <a key={id} href={linkToRun(id)}>
              {visible(id)}
            </a>
          ))}
      </dd>
    </div>
  );
}
