import type { Store } from "../../src/store/file/store.ts";
import { answerText, type Cell, type Entry, isSameCell, type Ledger } from "./ledger.ts";
import type { Simulated, Watch } from "./live-provider.ts";
import type { Plan } from "./plan.ts";

/** An answer is stored within so many milliseconds after it came. */
const STORED_WITHIN_MS = 50;

/** One call of the run as the database has it. */
interface StoredCall {
  input: string;
  perspective: number;
  step: Cell["step"];
  replicate: number;
  state: "pending" | "succeeded" | "failed";
  failure: string | null;
  text: string | null;
}

/** Checks each request as it arrives at the provider. */
export function createWatch(
  store: Store,
  { ledger, plan, world }: Pick<Simulated, "ledger" | "plan" | "world">,
  capNanoUsd: number | null,
): Watch {
  return {
    batched(callId) {
      const state = store.sqlite.prepare("select state from calls where id = ?").pluck().get(callId);
      if (state === "succeeded") throw new Error(`call ${callId} is in a batch, and has an answer`);
    },
    arrived(entry) {
      const { cell } = entry;
      const flying = ledger.inFlight();
      if (flying.length > plan.concurrency && plan.executor === "live") {
        throw new Error(`${flying.length} requests are in flight, and ${plan.concurrency} may be`);
      }
      // What lost power made it forget, it asks again.
      if (plan.executor === "queue" && world.hasLostPower) return;
      const same = flying.filter((other) => isSameCell(other.cell, cell)).length;
      const answered = callsOf(store).filter((call) => isOf(call, cell) && call.state === "succeeded").length;
      if (same + answered > plan.replicates) {
        throw new Error(`${JSON.stringify(cell)} is asked ${same} times at once, with ${answered} answers stored`);
      }
      if (cell.notes !== null) checkNotes(store, cell);
      checkCap(ledger, world.hasLostPower ? null : capNanoUsd);
    },
  };
}

function checkNotes(store: Store, cell: Cell): void {
  const has = callsOf(store).some(
    ({ step, input, perspective, text }) =>
      step === "reading" && isOf({ step: "strategy", input, perspective }, cell) && text?.includes(`v${cell.notes} `),
  );
  if (!has) throw new Error(`a strategy works on notes ${cell.notes}, which are not stored`);
}

/** All that the provider has charged is within the cap. */
export function checkCap(ledger: Ledger, capNanoUsd: number | null): void {
  if (capNanoUsd !== null && ledger.costNanoUsd > capNanoUsd) {
    throw new Error(`${ledger.costNanoUsd} were charged, and the cap is ${capNanoUsd}`);
  }
}

/** No answer of an execution is lost that came back before it had time to be stored. */
export function checkLost({ sqlite }: Store, ledger: Ledger, execution: number, endedAt: number): void {
  const texts = new Set(sqlite.prepare<[], string>("select text from answers").pluck().all());
  for (const entry of ledger.entries) {
    if (entry.execution !== execution || entry.state !== "answered") continue;
    if (entry.answeredAt > endedAt - STORED_WITHIN_MS) continue;
    if (!texts.has(answerText(entry))) throw new Error(`the answer ${entry.version} came back and is not stored`);
  }
}

/** The run is done: every call is answered or has failed for a reason, by the answer that was given to it. */
export function checkEnd(store: Store, runId: number, ledger: Ledger, plan: Plan): void {
  const calls = callsOf(store);
  const expected = plan.readings.reduce((sum, has) => sum + (has ? 2 : 1), 0) * plan.inputs * plan.replicates;
  if (calls.length !== expected) throw new Error(`run ${runId} has ${calls.length} calls, expected ${expected}`);
  const used = new Set<string>();
  for (const call of calls) {
    if (call.state === "pending") throw new Error(`a call is pending: ${JSON.stringify(call)}`);
    if (call.text === null) {
      if (call.failure === null) throw new Error(`a call has neither an answer nor a reason: ${JSON.stringify(call)}`);
      continue;
    }
    const entry = ledger.entries.find((one) => answerText(one) === call.text);
    if (!entry || !isOf(call, entry.cell)) throw new Error(`an answer of another call: ${JSON.stringify(call)}`);
    if (used.has(call.text)) throw new Error(`an answer is used twice: ${call.text}`);
    used.add(call.text);
    if (call.step === "strategy") checkChain(call, entry, calls);
  }
}

/** A strategy has worked on the notes of its own chain, or on the input where those were empty. */
function checkChain(call: StoredCall, { cell }: Entry, calls: readonly StoredCall[]): void {
  const reading = calls.find(
    (other) =>
      other.step === "reading" &&
      other.input === call.input &&
      other.perspective === call.perspective &&
      other.replicate === call.replicate,
  );
  const version = /v(\d+) /.exec(reading?.text ?? "")?.[1];
  const notes = version === undefined ? null : Number(version);
  if (notes !== cell.notes) throw new Error(`a strategy worked on notes ${cell.notes}, and its reading has ${notes}`);
}

function isOf(call: Pick<StoredCall, "input" | "perspective" | "step">, cell: Cell): boolean {
  return (
    call.step === cell.step && call.perspective === cell.perspective && call.input.startsWith(`INPUT ${cell.input} `)
  );
}

function callsOf({ sqlite }: Store): StoredCall[] {
  return sqlite
    .prepare<[], StoredCall>(
      `select i.text input, p.position perspective, c.step, c.replicate, c.state, c.failure, a.text
       from calls c join tasks t on t.id = c.task_id join texts i on i.id = t.input_id
         join perspectives p on p.id = c.perspective_id left join answers a on a.id = c.answer_id
       order by c.id`,
    )
    .all();
}

/** All that a process which has lost a run must leave as it is. */
export function untouched({ sqlite }: Store): string {
  return JSON.stringify([
    sqlite.prepare("select * from runs").all(),
    sqlite.prepare("select count(*), sum(outcome <> 'unanswered') from attempts").all(),
    sqlite.prepare("select count(*) from answers").all(),
    sqlite.prepare("select id, state, answer_id, batch_id from calls").all(),
  ]);
}
