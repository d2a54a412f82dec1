import { and, asc, eq, type SQL, sql } from "drizzle-orm";
import type { Prompt } from "../../models/prompt.ts";
import { callKeys, canonicalJson, type Settings, sha256, tokenLimit, withoutTokenLimit } from "../../plan/settings.ts";
import { answerText, hasKey } from "../runs/calls.ts";
import type { Store } from "../file/store.ts";
import { answers, calls, settings as settingsTable } from "../schema.ts";
import type { ReasoningTags } from "../../config/schema.ts";
import { usedText } from "../../plan/reasoning.ts";
import type { ReusePolicy } from "./reuse-policy.ts";
import { createTaken } from "./taken.ts";

/** An answer of an earlier call that can be reused. */
export interface EarlierAnswer {
  id: number;
  settingsId: number;
  finishReason: string | null;
}

/** Hands out answers of earlier calls. Those with the same key come in the order in which they arrived, each only once. */
export interface Reuse extends Disposable {
  /** Whether there is surely no answer to reuse. */
  readonly isEmpty: boolean;
  /** Takes the next earlier answer to a prompt. @param settings one of those that the plan asks with */
  take(settings: Settings, prompt: Prompt): EarlierAnswer | null;
  textOf(answer: EarlierAnswer): string;
}

/**
 * Earlier answers for a run that is being planned. Taken answers are recorded in a temporary table, which needs little
 * memory, until this is disposed of. Several plans of one store do not affect each other.
 * @param asked the settings that the plan asks with; equal settings are the same object
 * @param tags what to do with the reasoning at the start of an answer
 */
export function createReuse(
  store: Store,
  asked: readonly Settings[],
  policy: ReusePolicy,
  tags: ReasoningTags | null,
): Reuse {
  const taken = createTaken(store);
  const isFree = sql`not exists (select 1 from temp.taken where taken.reuse = ${taken.reuse} and taken.id = ${answers.id})`;
  const find = finder(store, asked, { policy, tags }, isFree);
  return {
    isEmpty: find === null,
    take(settings, prompt) {
      const found = find?.(settings, prompt) ?? null;
      if (found) taken.add(found.id);
      return found;
    },
    textOf: ({ id }) => usedText(answerText(store, id), tags),
    [Symbol.dispose]: () => taken.clear(),
  };
}

/** Earlier answers for a run that is executed: those that none of its calls has. The caller stores each at once. */
export function createRunReuse(
  store: Store,
  runId: number,
  asked: readonly Settings[],
  policy: ReusePolicy,
  tags: ReasoningTags | null,
): Reuse["take"] {
  const isFree = sql`not exists (select 1 from ${calls} where ${calls.answerId} = ${answers.id}
    and ${calls.runId} = ${runId})`;
  const find = finder(store, asked, { policy, tags }, isFree);
  return (settings, prompt) => find?.(settings, prompt) ?? null;
}

/** How many answers to one prompt to search for one that has more than reasoning. */
const MOST_LOOKED_AT = 1_000;

/** The keys that a prompt may have, with some settings. */
interface Keys {
  /** Null if these settings were never used, so that there is no such key. */
  own: ReturnType<typeof callKeys> | null;
  /** With other token limits. */
  others: ReturnType<typeof callKeys>[];
  limit: number;
}

/** Finds earlier answers to prompts; null if there cannot be any. */
function finder(
  store: Store,
  asked: readonly Settings[],
  { policy, tags }: { policy: ReusePolicy; tags: ReasoningTags | null },
  isFree: SQL,
): ((settings: Settings, prompt: Prompt) => EarlierAnswer | null) | null {
  if (policy === "none") return null;
  const { db } = store;
  const query = (isFit: SQL | undefined) =>
    db
      .select({
        id: answers.id,
        settingsId: answers.settingsId,
        finishReason: answers.finishReason,
      })
      .from(answers)
      .where(and(hasKey(sql.placeholder("key")), isFit, isFree))
      .orderBy(asc(answers.id))
      .limit(tags === "strip" ? MOST_LOOKED_AT : 1)
      .prepare();
  // An answer with only reasoning would be empty without it.
  const isUsable = ({ id }: EarlierAnswer) => tags !== "strip" || usedText(answerText(store, id), tags).trim() !== "";
  const same = query(undefined);
  const uncut = query(
    sql`${answers.finishReason} <> 'length' and ${answers.completionTokens} <= ${sql.placeholder("limit")}`,
  );
  const keys = new Map<Settings, Keys>();
  for (const settings of new Set(asked)) {
    const own = isKnown(db, settings) ? callKeys(settings) : null;
    const others = policy === "unless_truncated" ? otherLimits(db, settings).map(callKeys) : [];
    const limit = tokenLimit(settings) ?? Number.MAX_SAFE_INTEGER;
    if (own !== null || others.length > 0) keys.set(settings, { own, others, limit });
  }
  if (keys.size === 0) return null;
  return (settings, prompt) => {
    const { own = null, others = [], limit } = keys.get(settings) ?? {};
    const found = own && same.all({ key: own(prompt) }).find(isUsable);
    if (found) return found;
    for (const otherKey of others) {
      const other = uncut.all({ key: otherKey(prompt), limit }).find(isUsable);
      if (other) return other;
    }
    return null;
  };
}

/** Whether these settings were ever used. If not, no key with them exists. */
function isKnown(db: Store["db"], settings: Settings): boolean {
  const hash = sha256(canonicalJson(settings));
  return (
    db.select({ id: settingsTable.id }).from(settingsTable).where(eq(settingsTable.hash, hash)).get() !== undefined
  );
}

/** Stored settings that differ from these only in the token limit. */
function otherLimits(db: Store["db"], settings: Settings): Settings[] {
  const own = canonicalJson(settings);
  const wanted = canonicalJson(withoutTokenLimit(settings));
  return db
    .select({ value: settingsTable.value })
    .from(settingsTable)
    .all()
    .map(({ value }) => value)
    .filter((value) => canonicalJson(value) !== own && canonicalJson(withoutTokenLimit(value)) === wanted);
}
