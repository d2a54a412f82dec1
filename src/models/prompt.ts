/** One message of a prompt. */
export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** The prompt of a call. Only plan/prompt.ts makes one. */
export interface Prompt {
  /** All but the last are the same objects in all prompts of a perspective, so that each needs to be measured only once. */
  readonly messages: readonly Message[];
  /**
   * The text of the last message, in pieces. A piece, such as an instruction or an input, occurs in many prompts, so that
   * each piece needs to be measured only once.
   */
  readonly pieces: readonly string[];
}

/** A prompt as one text, for the completions endpoint. */
export function promptText({ messages }: Pick<Prompt, "messages">): string {
  return messages.map(({ content }) => content).join("\n\n");
}

/** The length of a prompt in UTF-16 code units. */
export function promptLength({ messages }: Pick<Prompt, "messages">): number {
  return messages.reduce((sum, { content }) => sum + content.length, 0);
}

/** The length of a prompt in bytes of UTF-8. */
export function promptBytes({ messages }: Pick<Prompt, "messages">): number {
  return messages.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
}
