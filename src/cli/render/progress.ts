import type { RunEvent } from "../../app/events.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { usd } from "../../models/cost.ts";
import { renderEstimate } from "./estimate.ts";
import { clockTime, progressLine, type RunState } from "./progress-line.ts";
import { createLines, createSpeed, type ProgressStream } from "./progress-stream.ts";
import { counted, number, oneLine } from "./text.ts";
import { widthOf } from "./width.ts";

/** The share of a terminal's width that the label of a run may have. In the place of a longer one there is the run's id. */
const WIDEST_LABEL = 0.5;

/** The progress of a run. */
interface Shown {
  label: string;
  state: RunState;
  speed: ReturnType<typeof createSpeed>;
}

/** Shows the events of a run, or of several. */
interface Progress {
  /** @param run the run that the event is about, if there are several */
  onEvent: (event: RunEvent, run?: string) => void;
  /** Says how the lines of several runs begin. */
  label: (labels: ReadonlyMap<string, string>) => void;
  end: () => void;
}

/** Shows the events of runs: as bars on a terminal, elsewhere as lines from time to time. */
export function createProgress(stream: ProgressStream): Progress {
  const lines = createLines(stream);
  const runs = new Map<string, Shown>();
  const said = new Set<string>();
  let labels: ReadonlyMap<string, string> = new Map();
  let timer: NodeJS.Timeout | undefined;
  let isNew = false;

  function draw(): void {
    if (runs.size === 0 || !lines.isDue()) return;
    const { width, height } = lines;
    const widest = width === null ? Number.POSITIVE_INFINITY : width * WIDEST_LABEL;
    const all = (labels.size === 0 ? [...runs.keys()] : [...labels.keys()]).flatMap((run) => {
      const shown = runs.get(run);
      return shown === undefined ? [] : [{ ...shown, label: widthOf(shown.label) > widest ? run : shown.label }];
    });
    const indent = Math.max(0, ...all.map(({ label }) => widthOf(label)));
    const drawn = all.map(({ label, state, speed }) => {
      speed.add(state.succeeded + state.failed);
      if (indent === 0) return progressLine(state, speed.rates(), width);
      const name = `${label}${" ".repeat(indent - widthOf(label))}  `;
      return name + progressLine(state, speed.rates(), width && Math.max(1, width - indent - 2));
    });
    // Lines above the top of a terminal cannot be replaced.
    const first = drawn.slice(0, Math.max(1, height - 2));
    const more = drawn.length - first.length;
    lines.show(...first, ...(more > 0 ? [`and ${counted(more, "more run")}`] : []));
  }

  /** What an event of one of several runs says. A warning that several runs give in the same words is said once. */
  function labelled(text: string, run: string, isWarning: boolean): string | null {
    if (labels.size === 0) return text;
    if (isWarning && said.size === said.add(text).size) return null;
    return `${labels.get(run) ?? run}: ${text}`;
  }

  function onEvent(event: RunEvent, run = ""): void {
    const text = sayingOf(event, isNew);
    const isOfAll = event.type === "created" || event.type === "started";
    const line = text === null || isOfAll ? text : labelled(text, run, event.type === "warning");
    if (line !== null) lines.write(line);
    const shown = runs.get(run);
    switch (event.type) {
      case "counting":
        if (lines.isDue()) lines.show(`Counting tokens: ${counted(event.inputs, "input")}`);
        break;
      case "created":
        isNew = true;
        break;
      case "started": {
        const state = stateOf(event.run);
        const started = { label: labels.get(run) ?? "", state, speed: createSpeed() };
        runs.set(run, started);
        // The timer redraws even while no answer arrives.
        timer ??= setInterval(draw, lines.everyMs).unref();
        started.speed.add(state.succeeded + state.failed);
        break;
      }
      default:
        if (!shown) break;
        if (event.type === "waiting") shown.speed.hasWaits = true;
        if (advance(shown.state, event)) draw();
    }
  }

  function end(): void {
    clearInterval(timer);
    lines.clear();
  }

  return {
    onEvent,
    label(given) {
      labels = given;
    },
    end,
  };
}

/** What an event says in a line of its own; null if it only changes the progress. @param isNew whether the run was just planned */
function sayingOf(event: RunEvent, isNew: boolean): string | null {
  switch (event.type) {
    case "created":
      return renderCreated(event);
    case "warning":
      return `Warning: ${oneLine(event.message)}`;
    case "started":
      return isNew ? null : renderResumed(event.run, event.baseUrls);
    case "batch":
      return renderBatch(event);
    case "lost":
      return `Warning: ${counted(event.results, "result")} arrived but could not be stored; \`datagen resume\` asks again.`;
    case "outage":
      return (
        `The provider answers nothing (${event.reason}: ${oneLine(event.message)}). ` +
        `Trying again until ${clockTime(event.untilMs)}; Ctrl-C stops the run, and it can be resumed.`
      );
    case "recovered":
      return "The provider answers again.";
    case "server":
      return event.isAway
        ? `${event.server} does not answer (${oneLine(event.message)}). It is probed, and gets no other requests until it answers.`
        : `${event.server} answers again.`;
    default:
      return null;
  }
}

/** Changes the state of a run by an event. @returns whether it should be shown soon */
function advance(state: RunState, event: RunEvent): boolean {
  switch (event.type) {
    case "outage":
      state.waiting = { for: "outage", untilMs: event.untilMs };
      return false;
    case "recovered":
      state.waiting = null;
      return false;
    case "waiting":
      state.waiting = { for: event.for, untilMs: event.untilMs };
      return true;
    case "retrying":
      state.retries += 1;
      state.reason = event.reason;
      return false;
    case "stored":
      state.succeeded += event.delta.callsSucceeded;
      state.failed += event.delta.callsFailed;
      state.cost = event.delta.attemptsUnpriced > 0 ? null : add(state.cost, usd(event.delta.costNanoUsd));
      state.tokens += event.delta.promptTokens + event.delta.completionTokens;
      return true;
    default:
      return false;
  }
}

function renderBatch({ name, requests, status, completed, failed }: Extract<RunEvent, { type: "batch" }>): string {
  const counts = completed + failed > 0 ? `: ${number(completed)} done, ${number(failed)} failed` : "";
  return `Batch ${oneLine(name)} of ${counted(requests, "request")} ${oneLine(status)}${counts}`;
}

function renderCreated({ id, provider, model, baseUrls, estimate }: Extract<RunEvent, { type: "created" }>): string {
  const whom = whomOf(model, baseUrls) ?? `${provider} provider (no model is asked)`;
  return `Run ${id}: ${whom}\n${renderEstimate(estimate)}`;
}

function renderResumed({ id, provider, model, calls }: RunSummary, baseUrls: readonly string[]): string {
  const whom = whomOf(model, baseUrls) ?? `${provider} provider`;
  return `Run ${id}: ${whom}, ${number(calls.pending)} of ${counted(calls.total, "call")} pending`;
}

/** Which model is asked where; null if there is no server. */
function whomOf(model: string, baseUrls: readonly string[]): string | null {
  return baseUrls.length === 0 ? null : `${oneLine(model)} at ${baseUrls.join(", ")}`;
}

function add(cost: number | null, more: number): number | null {
  return cost === null ? null : cost + more;
}

function stateOf({ calls, tokens, cost_usd: cost }: RunSummary): RunState {
  return {
    total: calls.total,
    succeeded: calls.succeeded,
    failed: calls.failed,
    tokens: tokens.total,
    cost,
    retries: 0,
    reason: "",
    waiting: null,
  };
}
