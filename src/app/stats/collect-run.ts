import { Collector, type CollectorOptions } from "../../stats/collector.ts";
import { hashOf, mixed } from "../../stats/hash.ts";
import { PARTS } from "../../stats/parts.ts";
import { Positions } from "../../stats/positions.ts";
import type { StatTask } from "../../stats/stream.ts";
import type { Store } from "../../store/file/store.ts";
import type { RunRow } from "../../store/runs/runs.ts";
import { taskMarks } from "../../store/runs/task-marks.ts";
import type { KnownStatistics } from "./known-statistics.ts";
import { statTasks } from "./stat-tasks.ts";
import type { Turn } from "./turns.ts";

/** Of which tasks something was collected, and what they were then. */
interface Kept {
  options: string;
  settled: Uint8Array;
  mark: number;
}

/**
 * Reads a run. Of a large one, what was collected of the tasks whose calls all have an answer is kept beside the database:
 * the next time, if these tasks are the same, only the others are read.
 * @param onInput is called after each input that was read
 */
export async function collectRun(
  store: Store,
  row: RunRow,
  conditions: number,
  { turn, ...options }: Omit<CollectorOptions, "known" | "conditions"> & { known: KnownStatistics; turn: Turn },
  onInput: () => void = () => {},
): Promise<Collector> {
  let collector = new Collector({ conditions, ...options });
  const add = async (task: StatTask) => {
    collector.add(task);
    onInput();
    await turn();
  };
  const { groups, known, parts, sample, similar } = options;
  // With few inputs, reading all takes no time. Their groups are numbered as they come.
  const isKept = groups.isHashed && row.imported === null && parts.size === PARTS.length;
  if (!isKept) {
    for (const task of statTasks(store, row)) await add(task);
    return collector;
  }
  const name = `run ${row.publicId}`;
  const { reasoning_tags: tags = null } = row.config.model_config;
  const described = JSON.stringify([conditions, groups.count, String(sample), String(similar), tags]);
  const pieces = known.collected(name);
  const before = keptHead(pieces.next().value);
  const isSameWay = before?.options === described;
  let read = new Positions(isSameWay ? before.settled : undefined);
  const now = markTasks(store, row.id, read);
  if (!isSameWay || before.mark !== now.markOfRead || !collector.restore(pieces)) {
    read = new Positions();
    collector = new Collector({ conditions, ...options });
  }
  const isNew = (position: number) => now.settled.has(position) && !read.has(position);
  if ((await readTasks(store, row, add, now, isNew)) > 0) {
    const kept: Kept = { options: described, settled: now.settled.stored, mark: now.markOfSettled };
    known.keepCollected(name, withHead(kept, collector));
  }
  await readTasks(store, row, add, now, (position) => !now.settled.has(position));
  return collector;
}

/** @returns null if it is something else */
function keptHead(value: unknown): Kept | null {
  const { options, settled, mark } = (value ?? {}) as Partial<Kept>;
  const isKept = typeof options === "string" && settled instanceof Uint8Array && typeof mark === "number";
  return isKept ? { options, settled, mark } : null;
}

function* withHead(kept: Kept, collector: Collector): Generator {
  yield kept;
  yield* collector.stored();
}

interface Marked {
  all: Positions;
  /** The highest position. */
  last: number;
  /** The tasks whose calls all have their answers. */
  settled: Positions;
  /** A hash of what they are. */
  markOfSettled: number;
  /** A hash of what the tasks are that were read before. */
  markOfRead: number;
}

function markTasks(store: Store, runId: number, read: Positions): Marked {
  const [all, settled] = [new Positions(), new Positions()];
  let [markOfSettled, markOfRead, last] = [0, 0, -1];
  for (const { position, isSettled, mark } of taskMarks(store, runId)) {
    all.add(position);
    last = position;
    const own = hashOf(`${position} ${isSettled} ${mark}`);
    if (isSettled) {
      settled.add(position);
      markOfSettled = mixed(markOfSettled, own);
    }
    if (read.has(position)) markOfRead = mixed(markOfRead, own);
  }
  return { all, last, settled, markOfSettled, markOfRead };
}

/** Reads the tasks at some positions. @returns how many there are */
async function readTasks(
  store: Store,
  row: RunRow,
  add: (task: StatTask) => Promise<void>,
  { all, last }: Marked,
  isWanted: (position: number) => boolean,
): Promise<number> {
  let count = 0;
  for (let from = 0; from <= last; from += 1) {
    if (!all.has(from) || !isWanted(from)) continue;
    for (const task of statTasks(store, row, from)) {
      from = task.position;
      if (!isWanted(from)) break;
      await add(task);
      count += 1;
    }
  }
  return count;
}
