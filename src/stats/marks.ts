/**
 * Words that often mark a refusal, or an assistant that talks about its task instead of doing it. This is a heuristic: the
 * list is not complete, and a text may have such words for another reason. Each expression is looked for at the beginning
 * of an answer, or at its end, where these words stand; letters match in either case.
 */
interface Mark {
  name: "refusal" | "chatter";
  /** Where the words must stand. */
  place: "start" | "end";
  words: RegExp;
}

/** How many characters of the beginning and of the end are searched. */
const SEARCHED = 200;

const MARKS: readonly Mark[] = [
  // English
  {
    name: "refusal",
    place: "start",
    words: /\bI(?:'m| am) (?:very |really )?sorry,? (?:but )?I (?:can(?:no|')t|am unable|won't)/i,
  },
  {
    name: "refusal",
    place: "start",
    words:
      /\bI (?:can(?:not|'t|’t)|won't|will not|am (?:not able|unable) to) (?:help|assist|comply|provide|create|write|produce|generate|fulfil|do that|support|translate|summari[sz]e)/i,
  },
  { name: "refusal", place: "start", words: /\bI must (?:decline|refuse)\b/i },
  { name: "refusal", place: "start", words: /\bas an AI(?: language)? (?:model|assistant)\b/i },
  {
    name: "refusal",
    place: "start",
    words: /\b(?:against|violates?) (?:my|our|the) (?:guidelines|policy|policies|programming)\b/i,
  },
  { name: "chatter", place: "start", words: /^\W*(?:sure|certainly|of course|absolutely|great question)\b[!,.:]/i },
  { name: "chatter", place: "start", words: /^\W*(?:here(?:'s| is| are|’s)) (?:the|a|an|my|your)\b[^.\n]{0,80}:/i },
  { name: "chatter", place: "start", words: /^\W*(?:I'd be happy to|I’d be happy to|I am happy to|I'm happy to)\b/i },
  {
    name: "chatter",
    place: "end",
    words: /\b(?:let me know if|feel free to ask|I hope this helps|is there anything else)\b/i,
  },
  { name: "chatter", place: "end", words: /\bwould you like me to\b/i },
  // German
  {
    name: "refusal",
    place: "start",
    words: /\b(?:es )?tut mir leid,? (?:aber )?(?:ich kann|dabei kann ich|das kann ich|ich darf)/i,
  },
  {
    name: "refusal",
    place: "start",
    words:
      /\bich kann (?:dir|Ihnen|das|diese[rsn]?|dabei|hierbei)?\b[^.\n]{0,60}\bnicht (?:helfen|erfüllen|weiterhelfen|nachkommen|erstellen|schreiben|übersetzen)/i,
  },
  {
    name: "refusal",
    place: "start",
    words: /\bals (?:KI|künstliche Intelligenz)(?:-Sprachmodell|-Modell|-Assistent)?\b/i,
  },
  {
    name: "refusal",
    place: "start",
    words: /\b(?:verstößt|verstoßen) gegen (?:meine|unsere|die) (?:Richtlinien|Regeln)/i,
  },
  { name: "chatter", place: "start", words: /^\W*(?:gerne?|natürlich|selbstverständlich|klar)\b[!,.:]/i },
  {
    name: "chatter",
    place: "start",
    words: /^\W*hier (?:ist|sind) (?:die|der|das|eine?|Ihre?|deine?)\b[^.\n]{0,80}:/i,
  },
  {
    name: "chatter",
    place: "end",
    words:
      /\b(?:ich hoffe,? das hilft|lass(?:en Sie)? (?:es )?mich wissen|wenn (?:du|Sie) (?:noch )?(?:weitere )?Fragen)/i,
  },
  // French and Spanish
  { name: "refusal", place: "start", words: /\bje (?:suis )?(?:désolée?|regrette),? (?:mais )?je ne (?:peux|puis)/i },
  { name: "refusal", place: "start", words: /\blo siento,? (?:pero )?no puedo/i },
  { name: "chatter", place: "start", words: /^\W*(?:bien sûr|certainement|claro|por supuesto)\b[!,.:]/i },
];

/** The marks that an answer has, each name once. */
export function marksOf(answer: string): Mark["name"][] {
  const ends = { start: answer.trimStart().slice(0, SEARCHED), end: answer.trimEnd().slice(-SEARCHED) };
  return [...new Set(MARKS.filter(({ place, words }) => words.test(ends[place])).map(({ name }) => name))];
}
