import type { RunEvent } from "../../app/events.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { usd } from "../../models/cost.ts";
import { renderEstimate } from "./estimate.ts";
import { counted, duration, money, number, oneLine, printable } from "./text.ts";

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
const BAR_WIDTH = 24;

/** What calls wait for, in a few words. */
const WAITS: Record<Extract<RunEvent, { type: "waiting" }>["for"], string> = {
  configured_limit: "the config's limit",
  stated_limit: "the provider's limit",
  refused_requests: "the provider to take requests",
};

interface State {
  total: number;
  succeeded: number;
  failed: number;
  tokens: number;
  /** In US dollars; null where it is unknown. */
  cost: number | null;
  retries: number;
  /** Why the last retry was needed. */
  reason: string;
  /** What calls wait for, and until when, in milliseconds since 1970. */
  waiting: { for: string; untilMs: number } | null;
}

/** Shows a run's events: as a bar on a terminal, elsewhere as a line from time to time. */
export function createProgress(stream: ProgressStream): { onEvent: (event: RunEvent) => void; end: () => void } {
  const lines = createLines(stream);
  let state: State | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isNew = false;
  const speed = createSpeed();

  function draw(): void {
    if (!state || !lines.isDue()) return;
    speed.add(state.succeeded + state.failed);
    lines.show(renderProgress(state, speed.rates(), lines.barWidth));
  }

  function onEvent(event: RunEvent): void {
    switch (event.type) {
      case "counting":
        if (lines.isDue()) lines.show(`Counting tokens: ${counted(event.inputs, "input")}`);
        break;
      case "created":
        isNew = true;
        lines.write(renderCreated(event));
        break;
      case "warning":
        lines.write(`Warning: ${oneLine(event.message)}`);
        break;
      case "started":
        if (!isNew) lines.write(renderResumed(event.run, event.baseUrl));
        state = stateOf(event.run);
        // The timer redraws even while no answer arrives.
        timer ??= setInterval(draw, lines.everyMs).unref();
        speed.add(state.succeeded + state.failed);
        break;
      case "batch":
        lines.write(renderBatch(event));
        break;
      case "lost":
        lines.write(
          `Warning: ${counted(event.results, "result")} arrived but could not be stored; \`datagen resume\` asks again.`,
        );
        break;
      case "outage":
        lines.write(
          `The provider answers nothing (${event.reason}: ${oneLine(event.message)}). Probing until it does.`,
        );
        break;
      case "recovered":
        lines.write("The provider answers again.");
        break;
      case "waiting":
        if (!state) break;
        state.waiting = { for: WAITS[event.for], untilMs: event.untilMs };
        speed.hasWaits = true;
        draw();
        break;
      case "retrying":
        if (state) {
          state.retries += 1;
          state.reason = event.reason;
        }
        break;
      case "stored":
        if (state) {
          state.succeeded += event.delta.callsSucceeded;
          state.failed += event.delta.callsFailed;
          state.cost = event.delta.attemptsUnpriced > 0 ? null : add(state.cost, usd(event.delta.costNanoUsd));
          state.tokens += event.delta.promptTokens + event.delta.completionTokens;
        }
        draw();
        break;
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
    barWidth: isTerminal ? BAR_WIDTH : 0,
    clear,
    write(line: string): void {
      clear();
      stream.write(`${printable(line)}\n`);
    },
    show(line: string): void {
      const shown = printable(line);
      if (isTerminal) stream.write(`\r\u001b[2K${shown.slice(0, (stream.columns ?? 80) - 1)}`);
      else stream.write(`${shown}\n`);
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

function renderBatch({ name, requests, status, completed, failed }: Extract<RunEvent, { type: "batch" }>): string {
  const counts = completed + failed > 0 ? `: ${number(completed)} done, ${number(failed)} failed` : "";
  return `Batch ${oneLine(name)} of ${counted(requests, "request")} ${oneLine(status)}${counts}`;
}

function renderCreated({ id, provider, model, baseUrl, estimate }: Extract<RunEvent, { type: "created" }>): string {
  const whom = baseUrl === null ? `${provider} provider (no model is asked)` : `${oneLine(model)} at ${baseUrl}`;
  return `Run ${id}: ${whom}\n${renderEstimate(estimate)}`;
}

function renderResumed({ id, provider, model, calls }: RunSummary, baseUrl: string | null): string {
  const whom = baseUrl === null ? `${provider} provider` : `${oneLine(model)} at ${baseUrl}`;
  return `Run ${id}: ${whom}, ${number(calls.pending)} of ${counted(calls.total, "call")} pending`;
}

function add(cost: number | null, more: number): number | null {
  return cost === null ? null : cost + more;
}

function stateOf({ calls, tokens, cost_usd: cost }: RunSummary): State {
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
    rates(): { rate: number; lasting: number } {
      const rate = rateOf(samples[0], samples.at(-1));
      return { rate, lasting: this.hasWaits ? rateOf(first, samples.at(-1)) : rate };
    },
  };
}

function rateOf(from: Sample | undefined, to: Sample | undefined): number {
  return from && to && to.at > from.at ? ((to.done - from.done) * 1_000) / (to.at - from.at) : 0;
}

/** The time of day here. */
function clockTime(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}

function renderProgress(
  { total, succeeded, failed, tokens, cost, retries, reason, waiting }: State,
  { rate, lasting }: { rate: number; lasting: number },
  width: number,
): string {
  const done = succeeded + failed;
  const share = total === 0 ? 1 : done / total;
  const filled = Math.floor(share * width);
  const bar = width > 0 ? `${"█".repeat(filled)}${"░".repeat(width - filled)} ` : "";
  const left = lasting > 0 ? `, ${duration((total - done) / lasting)} left` : "";
  const isWaiting = waiting !== null && waiting.untilMs > Date.now();
  const parts = [
    `${number(done)}/${number(total)} calls (${Math.floor(share * 100)}%)`,
    ...(isWaiting ? [`waiting for ${waiting.for} until ${clockTime(waiting.untilMs)}`] : []),
    counted(failed, "failed", "failed"),
    ...(retries > 0 ? [`${counted(retries, "retry", "retries")} (${reason})`] : []),
    `${number(tokens)} tokens`,
    ...(cost === null ? [] : [money(cost)]),
    `${rate >= 10 ? Math.round(rate) : rate.toFixed(1)}/s${left}`,
  ];
  return `${bar}${parts.join(", ")}`;
}
