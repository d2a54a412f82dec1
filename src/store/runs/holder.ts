import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { isProcessAlive } from "../file/temporary.ts";
import type { leases } from "../schema.ts";

/** Without a sign of life for so long, a process is taken for dead that cannot be looked at. */
export const LAPSE_MS = 30_000;

/** No plan takes so long, and no clock is so wrong. */
const DAY_MS = 24 * 60 * 60 * 1_000;

export type LeaseRow = typeof leases.$inferSelect;

/** The process of a lease, as its row has it. */
export type Holder = Pick<
  LeaseRow,
  "host" | "pid" | "heartbeatAt" | "boot" | "pidNamespace" | "pidStarted" | "heartbeatMonotonic"
>;

/**
 * What can be said of a holder at once: that it lives, that it is gone, or how long it has been silent; null where no
 * clock that both processes share says so.
 */
export type Sign = "lives" | "gone" | { silentMs: number | null };

let marks: Pick<Holder, "host" | "pid" | "boot" | "pidNamespace" | "pidStarted"> | undefined;

/** What tells this process from all others, on this machine and elsewhere. */
export function marksOfProcess(): NonNullable<typeof marks> {
  marks ??= {
    host: hostname(),
    pid: process.pid,
    boot: bootOfMachine(),
    // Where Linux does not tell the namespace, no other process is known to be of it.
    pidNamespace: link("/proc/self/ns/pid") ?? (process.platform === "linux" ? randomUUID() : null),
    pidStarted: statOf("self")?.started ?? null,
  };
  return marks;
}

/** Whether a holder is this process. */
export function isThisProcess(holder: Holder): boolean {
  const here = marksOfProcess();
  const names = ["host", "pid", "boot", "pidNamespace", "pidStarted"] as const;
  return names.every((name) => holder[name] === here[name]);
}

/** A clock of the machine that no one sets. On Linux it is the same in all containers of a boot. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** What can be said of the process of a lease from here, without waiting. */
export function signOf(holder: Holder): Sign {
  const here = marksOfProcess();
  // Of an older version: it knows processes by host and id, and clocks by the wall.
  if (holder.boot === null) {
    const isOver = Date.now() - holder.heartbeatAt > LAPSE_MS;
    return isOver || (holder.host === here.host && !isProcessAlive(holder.pid)) ? "gone" : { silentMs: null };
  }
  if (holder.boot !== here.boot) return { silentMs: null };
  if (holder.pidNamespace !== here.pidNamespace) return { silentMs: silenceOf(holder) };
  if (!isProcessAlive(holder.pid)) return "gone";
  const found = statAsSeenHere(holder.pid);
  // Something has its id; whether it is the same process, only its heartbeat tells.
  if (holder.pidStarted === null || found === null) return { silentMs: null };
  return found.started === holder.pidStarted && !found.isOver ? "lives" : "gone";
}

/** Whether a run is free at once: its holder is gone, or silent for too long by a clock that both share. */
export function isGone(holder: Holder): boolean {
  const sign = signOf(holder);
  return sign === "gone" || (sign !== "lives" && sign.silentMs !== null && sign.silentMs > LAPSE_MS);
}

/** Whether what a holder was planning may be removed, by those who cannot wait for a sign of life. */
export function isLongGone(holder: Holder): boolean {
  const sign = signOf(holder);
  const isUnknown = typeof sign !== "string" && sign.silentMs === null;
  return isGone(holder) || (isUnknown && Math.abs(Date.now() - holder.heartbeatAt) > DAY_MS);
}

/**
 * Whether a process seems to execute its run, for those who only look and cannot wait: where nothing else is known,
 * the wall clock has to do.
 */
export function seemsLive(holder: Holder): boolean {
  const sign = signOf(holder);
  if (typeof sign === "string") return sign === "lives";
  return (sign.silentMs ?? Math.abs(Date.now() - holder.heartbeatAt)) <= LAPSE_MS;
}

/** What is known of a holder, in words. */
export function describeHolder(holder: Holder): string {
  const here = marksOfProcess();
  const isHere = holder.boot === here.boot;
  const sign = signOf(holder);
  const place =
    holder.boot === null
      ? "of an older version of datagen"
      : !isHere
        ? "on another machine, or from before this one was started"
        : holder.pidNamespace === here.pidNamespace
          ? "on this machine"
          : "in another container of this machine";
  const silentMs = isHere ? silenceOf(holder) : null;
  const heartbeat =
    silentMs !== null && silentMs < Infinity
      ? `${Math.round(silentMs / 1_000)} s ago`
      : `at ${timeOf(holder.heartbeatAt)} by its own clock`;
  const state = sign === "lives" ? ", and it still runs" : sign === "gone" ? ", and it has ended" : "";
  return `${place}; last sign of life ${heartbeat}${state}`;
}

/** A time as messages have it; a clock may be so wrong that there is no such date. */
export function timeOf(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? "an unknown time" : date.toISOString();
}

/** By the clock that both share. A heartbeat that is still to come was one of an earlier boot. */
function silenceOf({ heartbeatMonotonic }: Holder): number | null {
  if (heartbeatMonotonic === null) return null;
  const ms = monotonicMs() - heartbeatMonotonic;
  return ms < 0 ? Infinity : ms;
}

/** The same for all processes whose monotonic clocks and process ids can be compared. */
function bootOfMachine(): string {
  // Elsewhere no containers share a host name.
  if (process.platform !== "linux") return hostname();
  const boot = text("/proc/sys/kernel/random/boot_id");
  // Without one, nothing of another process can be compared with this one.
  if (boot === null) return randomUUID();
  // A time namespace shifts the monotonic clock, and the starts of processes with it.
  return `${boot} ${link("/proc/self/ns/time") ?? ""}`.trim();
}

/** Where /proc is that of another namespace, its process ids are other processes. */
function statAsSeenHere(pid: number): Stat | null {
  return link("/proc/self") === String(process.pid) ? statOf(String(pid)) : null;
}

interface Stat {
  /** In ticks since the boot. */
  started: string;
  /** Whether it has ended, and only its parent has not noticed. */
  isOver: boolean;
}

/** As Linux says it (proc_pid_stat(5)): the fields after the name, which may have any character in it. */
function statOf(pid: string): Stat | null {
  const line = text(`/proc/${pid}/stat`);
  const fields = line?.slice(line.lastIndexOf(")") + 2).split(" ");
  const [state, started] = [fields?.[0], fields?.[19]];
  return state === undefined || started === undefined ? null : { started, isOver: /[ZX]/.test(state) };
}

function text(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

function link(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
