/** What the end of an answer says about it. */
type Ending =
  /** The answer is whole. */
  | "finished"
  /** A limit cut it off, so it counts as truncated. */
  | "cut"
  /** A safety filter ended it, and would do so again. */
  | "filtered"
  /** The server reports an error, so the attempt has failed. */
  | "broken"
  /** The word is unknown. The answer is kept. */
  | "unknown";

/** How an answer ended. */
export interface AnswerEnding {
  ending: Ending;
  /** The normalised word, such as `stop` or `length`; null where the server gave none. */
  word: string | null;
  /** The server's own word; null if it is the normalised one. */
  raw: string | null;
}

/** Words by their letters and digits in lower case, because servers differ in case, hyphens and underscores. */
const named = (ending: Ending, word: string | null, names: string): [string, Known][] =>
  names.split(/\s+/).map((name) => [name, { ending, word }]);

type Known = Pick<AnswerEnding, "ending" | "word">;

/** The words that servers and gateways are known to send. */
const KNOWN = new Map<string, Known>([
  ...named("finished", null, "null none unspecified"),
  ...named(
    "finished",
    "stop",
    `stop stopped stopsequence stopsequences stopcriteriamet stoptoken stopword stoptrigger endturn endoftext endofturn
     endofsequence eos eostoken eog eogtoken eot complete completed completion done finish finished normal success`,
  ),
  ...named("finished", "tool_calls", "toolcalls toolcall tooluse functioncall functioncalls"),
  ...named(
    "cut",
    "length",
    `length limit tokenlimit errorlimit incomplete truncated truncation
     maxtokens modelcontextwindowexceeded pauseturn continuation`,
  ),
  ...named(
    "filtered",
    "content_filter",
    `contentfilter contentfiltered errortoxic recitation imagerecitation prohibitedcontent spii language modelarmor
     guardrailintervened sensitive refusal escalation`,
  ),
  ...named(
    "broken",
    "error",
    "error failed failure servererror networkerror timelimit notfinished rejected missingthoughtsignature",
  ),
  ...named("broken", "abort", "abort aborted cancel canceled cancelled usercancel usercancelled interrupted"),
]);

/** The meaning of an unknown word, by parts of it. The first match decides. */
const SPEAKS_OF: [RegExp, Known][] = [
  [
    /safe|filter|moderat|toxic|harm|prohibit|policy|guardrail|block|sensitiv|copyright|refus|violat|censor|flagged/,
    { ending: "filtered", word: "content_filter" },
  ],
  [
    /error|fail|abort|cancel|timeout|timedout|interrupt|malformed|invalid|unexpected|exception|crash|disconnect|resource|overload|unavailable|insufficient|outofmemory|ratelimit|quota|toomany/,
    { ending: "broken", word: "error" },
  ],
  [/max|length|window|context|limit|truncat|toolong/, { ending: "cut", word: "length" }],
];

/** Longer words are cut; no server sends such words. */
const LONGEST_WORD = 100;

const FINISHED: AnswerEnding = { ending: "finished", word: "stop", raw: null };

/** The results for words that were read before; there are few words. */
const read = new Map<string, AnswerEnding>();
const MOST_READ = 100;

/**
 * How an answer ended, by its `finish_reason`. All endpoints use this table, live and in batches.
 * @param reason as the server sent it; null if it sent none
 */
export function readEnding(reason: string | null): AnswerEnding {
  if (reason === "stop") return FINISHED;
  if (reason === null) return { ending: "finished", word: null, raw: null };
  const before = read.get(reason);
  if (before) return before;
  // Each becomes a space: removing it would put together a key that was split by it.
  // oxlint-disable-next-line no-control-regex -- these are the characters to replace
  const raw = reason.slice(0, 4 * LONGEST_WORD).replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  const own = raw.trim().slice(0, LONGEST_WORD);
  const { ending, word } = meaningOf(own);
  const answer = { ending, word, raw: own === (word ?? "") ? null : own };
  if (read.size >= MOST_READ) read.clear();
  if (reason.length <= LONGEST_WORD) read.set(reason, answer);
  return answer;
}

function meaningOf(word: string): Known {
  const letters = word
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, "")
    // Such as `FinishReason.STOP`, `REASON_MAX_LEN`, or `<FinishReason.MAX_TOKENS: 2>`.
    .replace(/^(?:finish|stop)?reason(?=.)/, "")
    .replace(/(?<=\D)\d+$/, "");
  if (letters === "") return { ending: "finished", word: word === "" ? null : word };
  const known = KNOWN.get(letters) ?? SPEAKS_OF.find(([pattern]) => pattern.test(letters))?.[1];
  return known ?? { ending: "unknown", word };
}
