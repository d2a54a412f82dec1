import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { StoppedError, UsageError } from "../../errors.ts";
import { patiently } from "./engine.ts";
import type { Roster } from "./roster.ts";
import type { QueueUrl } from "../url.ts";

/** How often a coordinator renews its claim. */
const BEAT_MS = 1_000;
/** How long a new coordinator watches the claim of another one. If it does not change, the other one is gone. */
const WATCH_MS = 3_500;
const LOOK_MS = 500;
/** So many changes in a row are those of a process that lives. */
const CHANGES_OF_LIVING = 2;
/** How often a claim is written, if it is not there afterwards. */
const MOST_TRIES = 5;
/** Two coordinators that start at the same moment both write; the one whose claim is there after this time has it. */
const SETTLE_MS = 200;

/** The claim of a coordinator on the results of a run. */
export interface Claim {
  /** Aborted, with a StoppedError, when another coordinator has taken the claim. */
  lost: AbortSignal;
  /** Gives it back. @returns false if another coordinator has taken it */
  release(): Promise<boolean>;
  /** Renews it no more. */
  stop(): void;
}

/**
 * Claims the results of a run. The lease in the database keeps two processes from executing a run; this keeps out the
 * holder of a copy of the database.
 * @throws UsageError when another coordinator has the claim
 */
export async function claimResults(
  roster: Roster,
  runId: string,
  { url, results, patienceMs }: { url: QueueUrl; results: string; patienceMs: number },
): Promise<Claim> {
  const id = claimOf(results);
  const nonce = randomBytes(16).toString("hex");
  const patient = <T>(work: () => Promise<T>) => patiently(url, patienceMs, work);
  const read = () => patient(() => readClaim(roster, id));
  const taken = () =>
    new UsageError(
      `run ${runId} is executed by another process through the queue ${url.shown}, from a copy of this database`,
      "Stop that process first, or use another queue.",
    );
  const isMine = (claim: string | undefined) => holderOf(claim) === nonce;
  /** The last claim of somebody who was gone. */
  let gone: string | undefined;
  let beat = 0;
  const write = () => roster.write(id, `${nonce} ${(beat += 1)}`);
  for (let tries = 1; ; tries += 1) {
    gone = await watch(read, taken);
    await patient(write);
    await sleep(SETTLE_MS);
    if (isMine(await read())) break;
    // Somebody else has claimed it at the same moment, or the engine has lost what was written.
    if (tries === MOST_TRIES) throw taken();
  }

  const lost = new AbortController();
  let renewing = Promise.resolve();
  const renew = async () => {
    const claim = await readClaim(roster, id);
    // An engine that has lost what was written last may have the claim of somebody who was gone.
    if (claim !== undefined && !isMine(claim) && holderOf(claim) !== holderOf(gone)) {
      clearInterval(timer);
      lost.abort(new StoppedError(`another process has taken over run ${runId} on the queue ${url.shown}`));
      return;
    }
    await write();
  };
  let isRenewing = false;
  const timer = setInterval(() => {
    if (isRenewing) return;
    isRenewing = true;
    // While the engine is away, nobody else can claim.
    renewing = renew()
      .catch(() => {})
      .finally(() => (isRenewing = false));
  }, BEAT_MS);
  return {
    lost: lost.signal,
    stop: () => clearInterval(timer),
    async release() {
      clearInterval(timer);
      await renewing;
      const isHeld = !lost.signal.aborted && isMine(await readClaim(roster, id));
      if (isHeld) await roster.remove(id);
      return isHeld;
    },
  };
}

/**
 * Waits until nobody renews a claim any more.
 * @returns the claim that is there, or was
 * @throws what `taken` makes, when somebody does
 */
async function watch(read: () => Promise<string | undefined>, taken: () => UsageError): Promise<string | undefined> {
  let last = await read();
  let changes = 0;
  for (let watched = 0; last !== undefined && watched < WATCH_MS; watched += LOOK_MS) {
    await sleep(LOOK_MS);
    const now = await read();
    // It was given back, or the engine has lost it.
    if (now === undefined) break;
    if (now === last) continue;
    // One change may be the last write of a process that was killed, or that which an engine has lost.
    changes += 1;
    if (changes === CHANGES_OF_LIVING) throw taken();
    last = now;
    watched = 0;
  }
  return last;
}

/** Who made it, and how often it was renewed. */
const CLAIM = /^[0-9a-f]{32} \d{1,15}$/;

/** The claim in a row; undefined if there is none, also where somebody has written something else. */
async function readClaim(roster: Roster, id: string): Promise<string | undefined> {
  const data = await roster.read(id);
  return typeof data === "string" && CLAIM.test(data) ? data : undefined;
}

/** Which process made a claim; undefined if there is none. */
function holderOf(claim: string | undefined): string | undefined {
  return claim?.split(" ", 1)[0];
}

/** The row with the claim on a queue of results. */
function claimOf(results: string): string {
  return results.replace("datagen-results-", "r-");
}
