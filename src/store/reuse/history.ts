import { and, desc, eq, gt, inArray, isNotNull, type SQL } from "drizzle-orm";
import type { Config } from "../../config/schema.ts";
import type { ProviderName } from "../../config/providers.ts";
import type { Step } from "../../plan/calls.ts";
import { type Instructions, instructionsOf } from "../../plan/prompt.ts";
import { type Settings, settingsByPerspective } from "../../plan/settings.ts";
import { type Part, positionIn } from "../../plan/shard.ts";
import type { Store } from "../file/store.ts";
import { getSettings } from "../runs/plan.ts";
import { perspectives, runs, settings } from "../schema.ts";
import { getText } from "../texts.ts";
import { callsAt, type EarlierCall } from "./earlier-calls.ts";

/*
 * Reads earlier calls, to predict later ones. A database may have many millions of calls, so only a sample is read: of the
 * newest runs, and of tasks at certain positions.
 */

/** How many of the newest runs to read. */
const MOST_RUNS = 40;

/** An earlier run that has answers. */
export interface EarlierRun {
  id: number;
  publicId: string;
  provider: ProviderName;
  model: string;
  taskType: string;
  /** How many inputs, from the first, have answers; approximate if the run was stopped. */
  answeredInputs: number;
  /** The part of the inputs that it has; null if it has all. */
  shard: Part | null;
  perspectives: EarlierPerspective[];
}

export interface EarlierPerspective extends Instructions {
  id: number;
  condition: string;
  /** The `reasoning_effort` of its calls. */
  effort: string | null;
}

/** Earlier runs and their calls. */
export interface History {
  /** The newest runs with answers of a model, or of any model for null. */
  runs(model: string | null): EarlierRun[];
  /** The answered calls of one step of a perspective, for at most this many inputs, spread over those of the run. */
  calls(run: EarlierRun, perspectiveId: number, step: Step, inputs: number): EarlierCall[];
  settings(id: number): Settings;
  /** The text of an input. */
  text(inputId: number): string;
}

/**
 * The history of what a provider was asked.
 * @param alike the providers whose answers are looked at where those of any model are wanted
 */
export function historyOf(store: Store, provider: ProviderName, alike: readonly ProviderName[]): History {
  return {
    runs: (model) =>
      earlierRuns(
        store,
        model === null ? inArray(runs.provider, alike) : and(eq(runs.provider, provider), eq(runs.model, model)),
      ),
    calls: (run, perspectiveId, step, inputs) => earlierCalls(store, run, perspectiveId, step, inputs),
    settings: (id) => getSettings(store, id),
    text: (inputId) => getText(store, inputId),
  };
}

/** The newest runs with answers among those that fit. */
function earlierRuns(store: Store, asked: SQL | undefined): EarlierRun[] {
  return store.db
    .select({
      id: runs.id,
      publicId: runs.publicId,
      provider: runs.provider,
      model: runs.model,
      taskType: runs.taskType,
      tasks: runs.tasks,
      total: runs.callsTotal,
      succeeded: runs.callsSucceeded,
      shard: runs.shard,
      config: runs.config,
      settings: settings.value,
    })
    .from(runs)
    .innerJoin(settings, eq(settings.id, runs.settingsId))
    .where(and(asked, isNotNull(runs.plannedAt), gt(runs.callsSucceeded, 0)))
    .orderBy(desc(runs.id))
    .limit(MOST_RUNS)
    .all()
    .map(({ tasks, total, succeeded, config, settings: used, ...run }) => ({
      ...run,
      answeredInputs: Math.ceil((tasks * succeeded) / total),
      perspectives: perspectivesOf(store, run.id, config, used),
    }));
}

function perspectivesOf(store: Store, runId: number, config: Config, used: Settings): EarlierPerspective[] {
  const given = instructionsOf(config);
  const asked = settingsByPerspective(used, config.agent_perspectives);
  const { id, condition, position } = perspectives;
  return store.db
    .select({ id, condition, position })
    .from(perspectives)
    .where(eq(perspectives.runId, runId))
    .orderBy(position)
    .all()
    .flatMap(({ position: at, ...row }) =>
      given[at] ? [{ ...row, ...given[at], effort: asked[at]?.parameters.reasoning_effort ?? null }] : [],
    );
}

function earlierCalls(
  store: Store,
  { id, answeredInputs, shard }: EarlierRun,
  perspectiveId: number,
  step: Step,
  inputs: number,
): EarlierCall[] {
  const count = Math.min(inputs, answeredInputs);
  const positions = Array.from({ length: count }, (_, at) => {
    const nth = Math.floor((at * answeredInputs) / count);
    return shard === null ? nth : positionIn(shard, nth);
  });
  return callsAt(store, id, positions, perspectiveId, step);
}
