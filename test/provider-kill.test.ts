import { describe, expect, test } from "vitest";
import { batchLab, type BatchLab, PLAIN } from "./support/batch-lab.ts";
import { BATCHING, modelOf, REMOTE, type RemoteName } from "./support/providers/index.ts";
import { rounds } from "./support/rounds.ts";
import { type BatchFault, type Fault, promptHashOf } from "./support/server.ts";
import { type Random, randomOf } from "./simulation/random.ts";

/*
 * Runs that are killed while their provider fails one request in five, for the providers with a protocol of their own.
 * What is random follows from the number of the round.
 */

const ROUNDS = Array.from({ length: rounds(1, 20) }, (_, round) => round + 1);
const INPUTS = 8;
const FAULT_RATE = 0.2;
const KILLS = 2;

/** Each of the providers that do not speak OpenAI's protocol, in each round. */
const casesOf = (names: readonly RemoteName[]) =>
  names
    .filter((name) => name !== "openai" && name !== "together")
    .flatMap((name) => ROUNDS.map((round) => [name, round] as const));

const FAULTS: Fault[] = [
  { kind: "status", status: 500 },
  { kind: "status", status: 529 },
  { kind: "status", status: 429, headers: { "retry-after-ms": "5" } },
  { kind: "reset" },
  { kind: "half" },
  { kind: "malformed" },
  { kind: "noChoices" },
];

const API_FAULTS: BatchFault[] = [
  { kind: "status", status: 500 },
  { kind: "status", status: 503, isTaken: true },
  { kind: "reset" },
  { kind: "close", isTaken: true },
  { kind: "half" },
];

const NOTES = { condition: "From notes", reading: "Take notes of the text.", strategy: "Say it in English." };

const setUp = (name: RemoteName) =>
  batchLab({ ...modelOf(name), agent_perspectives: [PLAIN, NOTES], concurrency: 4 }, INPUTS);

/** Runs a config, and resumes the run until it ends. @returns the calls that were finished at each kill, and when that was */
async function untilDone(lab: BatchLab, args: string[]): Promise<{ at: number; finished: Set<string> }[]> {
  const kills: { at: number; finished: Set<string> }[] = [];
  for (;;) {
    const { code, signal, stderr } = await lab.start(...(kills.length === 0 ? args : ["resume", "latest"])).done;
    lab.expectSound();
    if (signal === null) {
      expect(code, stderr).toBe(0);
      expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
      return kills;
    }
    kills.push({ at: lab.server.requests.length, finished: finishedIn(lab) });
  }
}

/** The prompts, by their hashes, of the calls that have an answer. */
function finishedIn({ query, expected }: BatchLab): Set<string> {
  const done = query<{ task: number; perspective: number; step: string }>(
    `select t.position task, p.position perspective, c.step from calls c
      join tasks t on t.id = c.task_id join perspectives p on p.id = c.perspective_id where c.state = 'succeeded'`,
  );
  const cells = new Set(done.map(({ task, perspective, step }) => `${task}/${perspective}/${step}`));
  const { calls } = expected();
  return new Set(
    calls
      .filter(({ task, perspective, step }) => cells.has(`${task}/${perspective}/${step}`))
      .map(({ asked }) => promptHashOf(asked.prompt)),
  );
}

/** Whether to kill at a request: after so many more since the last time, and a few times only. */
function killer(random: Random, most: number) {
  let left = random.whole(2, most);
  let kills = 0;
  return () => {
    left -= 1;
    if (left > 0 || kills === KILLS) return false;
    kills += 1;
    left = random.whole(2, most);
    return true;
  };
}

describe.concurrent("a run that is killed while one request in five fails", () => {
  test.for(casesOf(REMOTE))("asks %s for no finished call again (round %i)", async ([name, round]) => {
    await using lab = await setUp(name);
    const random = randomOf(round);
    const isKill = killer(random, 3 * INPUTS);
    lab.server.behave = ({ nth }) => {
      if (isKill()) lab.kill();
      return nth <= 2 && random.chance(FAULT_RATE) ? random.pick(FAULTS) : undefined;
    };
    const kills = await untilDone(lab, ["run", "config.json"]);
    expect(kills.length).toBeGreaterThan(0);
    for (const { at, finished } of kills) {
      expect(lab.server.requests.slice(at).filter(({ promptHash }) => finished.has(promptHash))).toEqual([]);
    }
  });

  test.for(casesOf(BATCHING))("pays %s for no request of a batch twice (round %i)", async ([name, round]) => {
    await using lab = await setUp(name);
    const random = randomOf(round);
    const isKill = killer(random, 6);
    lab.server.behaveApi = () => {
      // Until a server has said that it takes batches, there is no run that could go on.
      const isPlanned = lab.server.batchRequests.some(({ operation }) => operation !== "listBatches");
      if (!isPlanned || !isKill()) return random.chance(FAULT_RATE) ? random.pick(API_FAULTS) : undefined;
      lab.kill();
      return { kind: "hang", isTaken: random.chance(0.5) };
    };
    lab.server.behaveLine = ({ nth }) =>
      nth <= 2 && random.chance(FAULT_RATE) ? { kind: "status", status: 500 } : undefined;
    const kills = await untilDone(lab, ["run", "config.json", "--batch"]);
    expect(kills.length).toBeGreaterThan(0);
    expect(lab.server.requests).toEqual([]);
    expect(Math.max(...lab.server.charged().values())).toBe(1);
  });
});
