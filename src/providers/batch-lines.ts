import type { BatchResult } from "./batch.ts";
import { asObject, asText, type Json, parseJson } from "./json.ts";
import { CallError, type Completion } from "./provider.ts";
import { toCallError } from "./refusal.ts";

interface LineRules {
  /** The member with the id of the request. */
  idMember: string;
  /** The id of ours in that member; null if there is none. By default the whole of it. */
  ownId?: (id: string) => string | null;
  secret: string | undefined;
}

/**
 * The result in a line of a file of results.
 * @param read the completion in the line; throws a CallError if there is none
 */
export function readLine(
  text: string,
  { idMember, ownId = (id) => id, secret }: LineRules,
  read: (line: Json) => Completion,
): BatchResult {
  const line = asObject(parseJson(text));
  const id = line ? asText(line[idMember]) : idInPart(text, idMember);
  const customId = id === null ? null : ownId(id);
  try {
    if (!line) throw new CallError("malformed", `a line of the results is not a JSON object, or too long: ${text}`);
    if (customId === null)
      throw new CallError("malformed", `a line of the results has no ${idMember} of ours: ${text}`);
    return { customId, completion: read(line) };
  } catch (error) {
    return { customId, error: toCallError(error, secret) };
  }
}

/** The id in a line, of which only a part may be there. In texts, quotes are escaped. */
export function idInPart(text: string, idMember: string): string | null {
  const id = new RegExp(`"${idMember}":\\s*("(?:[^"\\\\]|\\\\.)*")`).exec(text)?.[1];
  return id === undefined ? null : asText(parseJson(id));
}
