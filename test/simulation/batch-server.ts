import { readFileSync } from "node:fs";
import { attemptCost } from "../../src/models/cost.ts";
import { type BatchProvider, type BatchResult, type BatchState, newBatch } from "../../src/providers/batch.ts";
import { CallError, type Question } from "../../src/providers/provider.ts";
import { cellOf, type Ledger } from "./ledger.ts";
import { completion, type Simulated } from "./live-provider.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";
import { reportedUsage } from "../support/usage.ts";

interface SentFile {
  name: string;
  lines: string[];
}

interface SentBatch {
  name: string;
  fileId: string;
  state: BatchState;
  /** How often it is looked at until it has ended. */
  looksLeft: number;
  /** How it will stand once the files of its results are there, and how often it is looked at until then. */
  late: { state: BatchState; looksLeft: number } | null;
}

/** One line of a file, as {@link BatchServer} writes and reads it. */
interface Line {
  customId: string;
  prompt: Question["prompt"];
}

const USAGE = reportedUsage(10, 5);

/** The provider's side of batches: it goes on while the run's process is gone. */
export class BatchServer {
  readonly #random: Random;
  readonly #world: World;
  readonly #ledger: Ledger;
  readonly #plan: Plan;
  readonly #files = new Map<string, SentFile>();
  /** The execution of the run that must not send a call again. */
  readonly #stops = new Map<string, number>();
  readonly #removed = new Set<string>();
  readonly #batches = new Map<string, SentBatch>();

  constructor(random: Random, world: World, ledger: Ledger, plan: Plan) {
    this.#random = random;
    this.#world = world;
    this.#ledger = ledger;
    this.#plan = plan;
  }

  connect(simulated: Simulated): BatchProvider {
    return {
      limits: { requests: this.#plan.inputs, bytes: 1_000_000 },
      probe: () => Promise.resolve(),
      line: ({ customId, prompt }) => JSON.stringify({ customId, prompt } satisfies Line),
      upload: (path, name) =>
        this.#answer(`upload ${name}`, () => {
          const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
          const id = `file-${this.#files.size + 1}`;
          this.#files.set(id, { name, lines });
          return id;
        }),
      create: (fileId, { name }) =>
        this.#answer(`create ${name}`, () => {
          this.#checkNew(fileId, simulated);
          return this.#create(fileId, name);
        }),
      find: ({ name }) => this.#answer(`find ${name}`, () => this.#find(name)),
      get: (id) => this.#answer(`get ${id}`, () => this.#look(id, simulated)),
      cancel: (id) => this.#answer(`cancel ${id}`, () => this.#look(id, simulated)),
      lines: (fileId) => this.#lines(fileId),
      remove: (fileId) => this.#answer(`remove ${fileId}`, () => this.#remove(fileId)),
      result: (line) => JSON.parse(line, revive) as BatchResult,
    };
  }

  /** Does what a request asks for; the request, or its answer, may be lost. */
  async #answer<T>(what: string, deed: () => T): Promise<T> {
    const { chance, pick } = this.#random;
    if (this.#world.isDead) return await new Promise(() => {});
    const isLost = chance(this.#plan.faultRate / 3);
    const before = isLost && pick([true, false]);
    this.#world.point(`before ${what}`);
    if (this.#world.isDead) return await new Promise(() => {});
    if (before) {
      const httpStatus = pick([503, 503, 404]);
      throw new CallError("server_error", "a simulated fault of a batch request", { httpStatus });
    }
    const done = deed();
    this.#world.point(`after ${what}`);
    if (this.#world.isDead) return await new Promise(() => {});
    if (isLost) throw new CallError("connection", "the answer to a batch request was lost", { code: "ECONNRESET" });
    return done;
  }

  /** What is paid for in one batch must not be in another, nor be answered already. */
  #checkNew(fileId: string, { watch, execution }: Simulated): void {
    const open = [...this.#batches.values()].filter(({ state }) => state.status === "in_progress");
    const waiting = new Set(open.flatMap((batch) => this.#idsIn(batch.fileId)));
    for (const id of this.#idsIn(fileId)) {
      if (this.#stops.get(id) === execution) throw new Error(`call ${id} is sent again, and nobody was told why`);
      if (waiting.has(id) && !this.#world.hasLostPower) throw new Error(`call ${id} is in two batches`);
      watch.batched(Number(id));
    }
  }

  /** The requests of a file are for the user to send again. */
  #stopFor(fileId: string, execution: number): void {
    for (const id of this.#idsIn(fileId)) this.#stops.set(id, execution);
  }

  #idsIn(fileId: string): string[] {
    return (this.#files.get(fileId)?.lines ?? []).map((line) => (JSON.parse(line) as Line).customId);
  }

  #create(fileId: string, name: string): BatchState {
    const state = newBatch(`batch-${this.#batches.size + 1}`);
    this.#batches.set(state.id, { name, fileId, state, looksLeft: this.#random.whole(0, 3), late: null });
    return state;
  }

  #find(name: string): { fileId: string | null; batch: BatchState | null } {
    const batch = [...this.#batches.values()].find((one) => one.name === name);
    const file = [...this.#files].find(([, one]) => one.name === name);
    return { fileId: batch?.fileId ?? file?.[0] ?? null, batch: batch?.state ?? null };
  }

  #look(id: string, simulated: Simulated): BatchState {
    const batch = this.#batches.get(id);
    if (!batch) throw new CallError("bad_request", `there is no batch ${id}`, { httpStatus: 404 });
    if (batch.late && --batch.late.looksLeft < 0) [batch.state, batch.late] = [batch.late.state, null];
    if (batch.state.status !== "in_progress") return batch.state;
    if (batch.looksLeft > 0) {
      batch.looksLeft -= 1;
      return batch.state;
    }
    batch.state = this.#end(batch, simulated);
    return batch.state;
  }

  /** Works on the requests of a batch: each gets an answer, an error, or nothing. */
  #end(batch: SentBatch, { prices, execution }: Simulated): BatchState {
    const { fileId, state } = batch;
    const { chance, pick, whole } = this.#random;
    const { faultRate } = this.#plan;
    if (chance(faultRate / 8)) {
      this.#stopFor(fileId, execution);
      const error = { code: "billing_hard_limit_reached", message: "a simulated end of the credit" };
      return { ...state, status: "failed", error, failure: "no_quota" };
    }
    const output: string[] = [];
    const errors: string[] = [];
    let completed = 0;
    for (const text of this.#files.get(fileId)?.lines ?? []) {
      const { customId, prompt } = JSON.parse(text) as Line;
      if (chance(faultRate / 3)) continue;
      if (chance(faultRate / 3)) {
        errors.push(JSON.stringify({ customId, error: { reason: "server_error", message: "a simulated fault" } }));
        continue;
      }
      const entry = this.#ledger.open(cellOf(prompt), 0);
      entry.state = "abandoned";
      entry.costNanoUsd = attemptCost(prices, USAGE, true) ?? 0;
      completed += 1;
      // It is charged, and never given.
      if (chance(faultRate / 20)) {
        this.#stops.set(customId, execution);
        continue;
      }
      output.push(JSON.stringify({ customId, completion: completion(entry, USAGE, chance(faultRate / 5)) }));
    }
    const [outputFileId, errorFileId] = [output, errors].map((lines) => {
      if (lines.length === 0) return null;
      const id = `file-${this.#files.size + 1}`;
      this.#files.set(id, { name: id, lines: lines.toReversed() });
      return id;
    }) as [string | null, string | null];
    const status = chance(faultRate / 4) ? pick(["expired", "cancelled"] as const) : "completed";
    if (status === "cancelled") this.#stopFor(fileId, execution);
    const total = this.#idsIn(fileId).length;
    const ended: BatchState = { ...state, status, counts: { total, completed, failed: errors.length }, progress: 1 };
    const all: BatchState = { ...ended, outputFileId, errorFileId };
    if (!chance(faultRate / 2)) return all;
    batch.late = { state: all, looksLeft: whole(1, 3) };
    return pick([ended, { ...ended, outputFileId }, { ...ended, errorFileId }]);
  }

  /** What is deleted cannot be read any more: a run that does so fails. */
  #remove(fileId: string): void {
    if (!this.#files.has(fileId)) throw new CallError("bad_request", `there is no ${fileId}`, { httpStatus: 404 });
    this.#removed.add(fileId);
  }

  async *#lines(fileId: string): AsyncGenerator<string> {
    if (this.#removed.has(fileId)) throw new Error(`${fileId} is read, and was deleted`);
    for (const line of this.#files.get(fileId)?.lines ?? []) {
      if (this.#random.chance(this.#plan.faultRate / 10)) {
        throw new CallError("connection", "a file was cut off", { code: "ECONNRESET" });
      }
      yield await Promise.resolve(line);
      this.#world.point(`a line of ${fileId}`);
      if (this.#world.isDead) await new Promise(() => {});
    }
  }
}

/** Makes errors of the errors in a line. */
function revive(key: string, value: unknown): unknown {
  if (key !== "error") return value;
  const { reason, message } = value as { reason: "server_error"; message: string };
  return new CallError(reason, message, { httpStatus: 500 });
}
