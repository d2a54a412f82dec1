import type { RunEvent } from "../../app/events.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { usd } from "../../models/cost.ts";
import { renderEstimate } from "./estimate.ts";
import { clockTime, progressLine, type Rates, type RunState } from "./progress-line.ts";
import { cut } from "./table.ts";
import { counted, number, oneLine, printable } from "./text.ts";

/** The stream that progress is written to: a terminal or a file. */
export interface ProgressStream {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 100;
const LINE_EVERY_MS = 10_000;
/** The rate covers the last seconds only, so that it follows a change. */
const RATE_WINDOW_MS = 15_000;
/** Shows a run's events: as a bar on a terminal, elsewhere as a line from time to time. */
export function createProgress(stream: ProgressStream): { onEvent: (event: RunEvent) => void; end: () => void } {
  const lines = createLines(stream);
  let state: RunState | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isNew = false;
  const speed = createSpeed();

  function draw(): void {
    if (!state || !lines.isDue()) return;
    speed.add(state.succeeded + state.failed);
    lines.show(progressLine(state, speed.rates(), lines.width));
  }

  function onEvent(event: RunEvent): void {
    const said = sayingOf(event, isNew);
    if (said !== null) lines.write(said);
    switch (event.type) {
      case "counting":
        if (lines.isDue()) lines.show(`Counting tokens: ${counted(event.inputs, "input")}`);
        break;
      case "created":
        isNew = true;
        break;
      case "started":
        state = stateOf(event.run);
        // The timer redraws even while no answer arrives.
        timer ??= setInterval(draw, lines.everyMs).unref();
        speed.add(state.succeeded + state.failed);
        break;
      default:
        if (!state) break;
        if (event.type === "waiting") speed.hasWaits = true;
        if (advance(state, event)) draw();
    }
  }

  function end(): void {
    clearInterval(timer);
    lines.clear();
  }

  return { onEvent, end };
}

/** Writes lines. On a terminal, a progress line is replaced by the next line. */
function createLines(stream: ProgressStream) {
  const isTerminal = stream.isTTY === true;
  const everyMs = isTerminal ? REDRAW_MS : LINE_EVERY_MS;
  let shownAt = Date.now();
  let isBarShown = false;

  function clear(): void {
    if (isBarShown) stream.write("\r\u001b[2K");
    isBarShown = false;
  }

  return {
    everyMs,
    /** The width of a progress line: a terminal would break a full line. Null where there is no terminal. */
    get width(): number | null {
      return isTerminal ? (stream.columns ?? 80) - 1 : null;
    },
    clear,
    write(line: string): void {
      clear();
      stream.write(`${printable(line)}\n`);
    },
    show(line: string): void {
      const shown = printable(line);
      const { width } = this;
      stream.write(width === null ? `${shown}\n` : `\r\u001b[2K${cut(shown, width)}`);
      isBarShown = isTerminal;
    },
    /** Whether it is time for the next line. */
    isDue(): boolean {
      const now = Date.now();
      if (now - shownAt < everyMs) return false;
      shownAt = now;
      return true;
    },
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
        `Probing until it does, at most until ${clockTime(event.untilMs)}.`
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

interface Sample {
  at: number;
  done: number;
}

/** Measures how many calls end in a second. */
function createSpeed() {
  const samples: Sample[] = [];
  let first: Sample | undefined;
  return {
    /** Whether calls had to wait. Then the last seconds say little about the time that is left. */
    hasWaits: false,
    add(done: number): void {
      const sample = { at: Date.now(), done };
      first ??= sample;
      samples.push(sample);
      while (samples.length > 2 && sample.at - (samples[0]?.at ?? sample.at) > RATE_WINDOW_MS) samples.shift();
    },
    /** The rate of the last seconds, and the one that lasts. */
    rates(): Rates {
      const rate = rateOf(samples[0], samples.at(-1));
      return { rate, lasting: this.hasWaits ? rateOf(first, samples.at(-1)) : rate };
    },
  };
}

function rateOf(from: Sample | undefined, to: Sample | undefined): number {
  return from && to && to.at > from.at ? ((to.done - from.done) * 1_000) / (to.at - from.at) : 0;
}
