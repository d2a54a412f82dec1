import type { Run, Server } from "./lab.ts";
import { PERSPECTIVES } from "./workload.ts";

/** Inputs of a shorter and of a longer run: CPU time per call is the slope between the two. */
export interface Inputs {
  few: number;
  many: number;
}

/** The measurements of a client for a number of calls. */
export interface Measured {
  /** From the first request to the last commit, or to the last answer for clients that store nothing. */
  spanMs: number;
  cpuMs: number;
  calls: number;
}

/** The CPU time of a call, without the constant time of a run. */
export function cpuPerCall(few: Measured, many: Measured): number {
  return (many.cpuMs - few.cpuMs) / (many.calls - few.calls);
}

export function callsPerSecond({ calls, spanMs }: Measured): number {
  return calls / (spanMs / 1_000);
}

/** The measurements of a client that stores nothing, as the server saw them. */
export async function measured(server: Server, { cpuMs }: Run, inputs: number): Promise<Measured> {
  const { requests, firstAt, lastAt } = await server.seen();
  return { spanMs: lastAt - firstAt, cpuMs, calls: expected(requests, inputs) };
}

export function expected(requests: number, inputs: number): number {
  if (requests === inputs * PERSPECTIVES) return requests;
  throw new Error(`the server saw ${requests} requests, and not ${inputs * PERSPECTIVES}`);
}
