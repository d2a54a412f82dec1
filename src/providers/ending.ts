/** What the way in which an answer ended says about it. */
type Ending =
  /** It is whole. */
  | "finished"
  /** A limit cut it off: it counts as truncated. */
  | "cut"
  /** A filter for safety ended it, and would end it again. */
  | "filtered"
  /** The server says itself that something went wrong: the attempt has failed. */
  | "broken"
  /** Nothing is known of the word. The answer is kept. */
  | "unknown";

/** How an answer ended. */
export interface AnswerEnding {
  ending: Ending;
  /** The normalised word, such as `stop` or `length`; null where the server gave none. */
  word: string | null;
  /** The server's own word, where it is not the normalised one. */
  raw: string | null;
}

/** Names of words by their letters and digits in lower case: servers differ in case, hyphens and underscores. */
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
  ...named("cut", "length", "length limit tokenlimit errorlimit incomplete truncated truncation"),
  ...named(
    "filtered",
    "content_filter",
    `contentfilter contentfiltered errortoxic recitation imagerecitation prohibitedcontent spii language modelarmor
     guardrailintervened sensitive refusal`,
  ),
  ...named("broken", "error", "error failed failure servererror networkerror timelimit notfinished rejected"),
  ...named("broken", "abort", "abort aborted cancel canceled cancelled usercancel usercancelled interrupted"),
]);

/** What a word that is not known speaks of, by its letters. The first that fits decides. */
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

/** Longer words are cut: no server has them. */
const LONGEST_WORD = 100;

const FINISHED: AnswerEnding = { ending: "finished", word: "stop", raw: null };

/** What was read before; words are few. */
const read = new Map<string, AnswerEnding>();
const MOST_READ = 100;

/**
 * How an answer with a `finish_reason` ended. This is the one table of it, for all endpoints, live and in batches.
 * @param reason as the server sent it; null where it sent none
 */
export function readEnding(reason: string | null): AnswerEnding {
  if (reason === "stop") return FINISHED;
  if (reason === null) return { ending: "finished", word: null, raw: null };
  const before = read.get(reason);
  if (before) return before;
  // A space stays in their place: without it, a key that they stand in would be whole again.
  // oxlint-disable-next-line no-control-regex -- they are what is taken out
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
