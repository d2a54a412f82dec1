import type { Parameters } from "../../config/parameters.ts";
import { UsageError } from "../../errors.ts";
import type { Settings } from "../../plan/settings.ts";
import { reopenFailed, reopenTruncated } from "../../store/runs/calls.ts";
import type { Store } from "../../store/file/store.ts";
import { keepSettings, settingsOfRun } from "../../store/runs/plan.ts";
import type { RunRow } from "../../store/runs/runs.ts";

export interface ReopenOptions {
  /** Sends the failed calls again. */
  retryFailed?: boolean | undefined;
  /** Asks again, with this token limit, for answers that were cut off. Each stays until the longer one arrives. */
  retryTruncated?: { maxTokens: number } | undefined;
}

/**
 * Whether {@link reopen} can find calls to send again.
 * @internal
 */
export function mayReopen(
  { callsFailed, callsTruncated }: RunRow,
  { retryFailed, retryTruncated }: ReopenOptions,
): boolean {
  return (
    (retryFailed === true && callsFailed > 0) || (retryTruncated !== undefined && callsFailed + callsTruncated > 0)
  );
}

/**
 * Makes calls pending that are to be sent again.
 * @throws UsageError when the token limit of the truncated answers cannot be raised
 * @internal
 */
export function reopen(store: Store, run: RunRow, { retryFailed, retryTruncated }: ReopenOptions): void {
  if (retryFailed) reopenFailed(store, run.id);
  if (!retryTruncated) return;
  const { maxTokens } = retryTruncated;
  const perspectives = [...settingsOfRun(store, run)].map(([id, { settings }]) => ({ id, settings }));
  if (perspectives.some(({ settings }) => isLimitExtra(settings))) {
    throw new UsageError(
      `the token limit of run ${run.publicId} is in extra_body, which datagen cannot change`,
      "Raise it in the config, and run the config again. If the limit is max_tokens instead, --reuse-unless-truncated keeps the answers that were not cut off.",
    );
  }
  const limits = perspectives.map(({ settings: { parameters } }) => parameters[limitName(parameters)] ?? 0);
  const lowest = Math.min(...limits);
  if (maxTokens <= lowest) {
    throw new UsageError(
      `${maxTokens} tokens are not more than the limit of ${lowest} that the answers of run ${run.publicId} had`,
      "Give a larger number, with --max-tokens.",
    );
  }
  const raised = perspectives.filter((_, at) => (limits[at] ?? 0) < maxTokens);
  for (const [settings, same] of Map.groupBy(raised, (perspective) => perspective.settings)) {
    const wanted = keepSettings(store, withLimit(settings, maxTokens));
    reopenTruncated(store, run.id, { settingsId: wanted, limit: maxTokens, perspectiveIds: same.map(({ id }) => id) });
  }
}

function isLimitExtra({ parameters: { extra_body: extra = {} } }: Settings): boolean {
  return "max_tokens" in extra || "max_completion_tokens" in extra;
}

function withLimit(settings: Settings, maxTokens: number): Settings {
  const { parameters } = settings;
  return { ...settings, parameters: { ...parameters, [limitName(parameters)]: maxTokens } };
}

function limitName({ max_completion_tokens: limit }: Parameters): "max_tokens" | "max_completion_tokens" {
  return limit === undefined ? "max_tokens" : "max_completion_tokens";
}
