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

/** An answer of an earlier call that asked the same. */
export interface EarlierAnswer {
  id: number;
  settingsId: number;
  finishReason: string | null;
}

/** Hands out the answers of earlier calls: those with one key in the order in which they came, each once. */
export interface Reuse extends Disposable {
  /** Whether there can be none. */
  readonly isEmpty: boolean;
  /** Takes the next answer that was given to a prompt. */
  take(prompt: Prompt): EarlierAnswer | null;
  textOf(answer: EarlierAnswer): string;
}

/**
 * The answers that are there for a run that is planned. What was taken is remembered in a temporary table, in little
 * memory, until this is disposed of. Each hands out all answers, whatever others of the same store have taken.
 * @param tags what is done with the reasoning at the start of an answer
 */
export function createReuse(store: Store, settings: Settings, policy: ReusePolicy, tags: ReasoningTags | null): Reuse {
  const taken = createTaken(store);
  const isFree = sql`not exists (select 1 from temp.taken where taken.reuse = ${taken.reuse} and taken.id = ${answers.id})`;
  const find = finder(store, settings, { policy, tags }, isFree);
  return {
    isEmpty: find === null,
    take(prompt) {
      const found = find?.(prompt) ?? null;
      if (found) taken.add(found.id);
      return found;
    },
    textOf: ({ id }) => usedText(answerText(store, id), tags),
    [Symbol.dispose]: () => taken.clear(),
  };
}

/** The same for a run that is executed: answers that none of its calls has. What is taken becomes a call's at once. */
export function createRunReuse(
  store: Store,
  runId: number,
  settings: Settings,
  policy: ReusePolicy,
  tags: ReasoningTags | null,
): Reuse["take"] {
  const isFree = sql`not exists (select 1 from ${calls} where ${calls.answerId} = ${answers.id}
    and ${calls.runId} = ${runId})`;
  const find = finder(store, settings, { policy, tags }, isFree);
  return (prompt) => find?.(prompt) ?? null;
}

/** How many answers to one prompt are looked at for one with a text beside its reasoning. */
const MOST_LOOKED_AT = 1_000;

/** Finds the earlier answers to prompts; null where there can be none. */
function finder(
  store: Store,
  settings: Settings,
  { policy, tags }: { policy: ReusePolicy; tags: ReasoningTags | null },
  isFree: SQL,
): ((prompt: Prompt) => EarlierAnswer | null) | null {
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
  // Of an answer that is nothing but reasoning, nothing is left to use.
  const isUsable = ({ id }: EarlierAnswer) => tags !== "strip" || usedText(answerText(store, id), tags).trim() !== "";
  const same = query(undefined);
  const ownKey = isKnown(db, settings) ? callKeys(settings) : null;
  const limit = tokenLimit(settings) ?? Number.MAX_SAFE_INTEGER;
  const uncut = query(sql`${answers.finishReason} <> 'length' and ${answers.completionTokens} <= ${limit}`);
  const otherKeys = policy === "unless_truncated" ? otherLimits(db, settings).map(callKeys) : [];
  if (ownKey === null && otherKeys.length === 0) return null;
  return (prompt) => {
    const found = ownKey && same.all({ key: ownKey(prompt) }).find(isUsable);
    if (found) return found;
    for (const otherKey of otherKeys) {
      const other = uncut.all({ key: otherKey(prompt) }).find(isUsable);
      if (other) return other;
    }
    return null;
  };
}

/** Whether anything was ever asked with these settings: otherwise there is no key to look for. */
function isKnown(db: Store["db"], settings: Settings): boolean {
  const hash = sha256(canonicalJson(settings));
  return (
    db.select({ id: settingsTable.id }).from(settingsTable).where(eq(settingsTable.hash, hash)).get() !== undefined
  );
}

/** Settings that differ from these in the token limit alone. */
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
