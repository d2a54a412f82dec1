import type { Run, Server } from "./lab.ts";
import { PERSPECTIVES } from "./workload.ts";

/** Inputs of a shorter and of a longer run: CPU time per call is the slope between the two. */
export interface Inputs {
  few: number;
  many: number;
}

/** What a client did with so many calls. */
export interface Measured {
  /** From the first request to the last commit, or, of who commits nothing, to the last answer. */
  spanMs: number;
  cpuMs: number;
  calls: number;
}

/** The CPU time of a call, without what a run takes however short it is. */
export function cpuPerCall(few: Measured, many: Measured): number {
  return (many.cpuMs - few.cpuMs) / (many.calls - few.calls);
}

export function callsPerSecond({ calls, spanMs }: Measured): number {
  return calls / (spanMs / 1_000);
}

/** What the server saw of a client that commits nothing. */
export async function measured(server: Server, { cpuMs }: Run, inputs: number): Promise<Measured> {
  const { requests, firstAt, lastAt } = await server.seen();
  return { spanMs: lastAt - firstAt, cpuMs, calls: expected(requests, inputs) };
}

export function expected(requests: number, inputs: number): number {
  if (requests === inputs * PERSPECTIVES) return requests;
  throw new Error(`the server saw ${requests} requests, and not ${inputs * PERSPECTIVES}`);
}
