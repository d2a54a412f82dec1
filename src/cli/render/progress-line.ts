import { cut } from "./table.ts";
import { counted, duration, money, number } from "./text.ts";
import { widthOf } from "./width.ts";

/** What a run waits for, in a few words and in one. */
const WAITS = {
  configured_limit: ["waiting for the config's limit", "limit"],
  stated_limit: ["waiting for the provider's limit", "limit"],
  refused_requests: ["waiting for the provider to take requests", "refused"],
  outage: ["waiting for the provider to answer", "no answer"],
  batches: ["waiting for the next look at the batches", "batches"],
  workers: ["waiting for a worker", "no worker"],
} as const;

/** What a run waits for, and until when, in milliseconds since 1970. */
export interface Waiting {
  for: keyof typeof WAITS;
  untilMs: number;
}

/** How far a run is. */
export interface RunState {
  total: number;
  succeeded: number;
  failed: number;
  tokens: number;
  /** In US dollars; null where it is unknown. */
  cost: number | null;
  retries: number;
  /** Why the last retry was needed. */
  reason: string;
  waiting: Waiting | null;
}

/** Calls in a second: in the last seconds, and the rate from which the time that is left follows. */
export interface Rates {
  rate: number;
  lasting: number;
}

const WIDEST_BAR = 24;
/** A narrower bar shows too little. */
const LEAST_BAR = 6;

/**
 * How far a run is, in one line: first the calls that are done, the rate, the time that is left and the cost. Where there
 * is not room for everything, the bar gets narrower, then the last parts are left out, and then the first ones get shorter.
 * @param width of a terminal; null where nobody watches: then there is no bar, and everything is said
 */
export function progressLine(state: RunState, rates: Rates, width: number | null): string {
  const { long, short, more } = partsOf(state, rates);
  if (width === null) return [...long, ...more].join(", ");
  let words = long.join(", ");
  if (widthOf(words) > width) return cut(short.join(", "), width);
  for (const part of more) {
    if (widthOf(`${words}, ${part}`) > width) break;
    words = `${words}, ${part}`;
  }
  const room = Math.min(WIDEST_BAR, width - widthOf(words) - 1);
  return room < LEAST_BAR ? words : `${bar(shareOf(state), room)} ${words}`;
}

function partsOf(state: RunState, { rate, lasting }: Rates): Record<"long" | "short" | "more", string[]> {
  const { total, succeeded, failed, tokens, cost, retries, reason, waiting } = state;
  const done = `${number(succeeded + failed)}/${number(total)}`;
  const speed = `${rate >= 10 ? Math.round(rate) : rate.toFixed(1)}/s`;
  const left = `${lasting > 0 ? duration((total - succeeded - failed) / lasting) : "-:--"} left`;
  const spent = cost === null ? "cost unknown" : money(cost);
  const [long, short] = waiting === null || waiting.untilMs <= Date.now() ? [] : WAITS[waiting.for];
  const until = `until ${clockTime(waiting?.untilMs ?? 0)}`;
  return {
    long: [
      `${done} calls (${Math.floor(shareOf(state) * 100)}%)`,
      speed,
      left,
      spent,
      ...(long === undefined ? [] : [`${long} ${until}`]),
    ],
    short: [done, speed, left, spent, ...(short === undefined ? [] : [`${short} ${until}`])],
    more: [
      ...(failed > 0 ? [counted(failed, "failed", "failed")] : []),
      ...(retries > 0 ? [`${counted(retries, "retry", "retries")} (${reason})`] : []),
      `${number(tokens)} tokens`,
    ],
  };
}

function shareOf({ total, succeeded, failed }: RunState): number {
  return total === 0 ? 1 : (succeeded + failed) / total;
}

function bar(share: number, width: number): string {
  const filled = Math.floor(share * width);
  return `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
}

/** The time of day here. */
export function clockTime(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}
