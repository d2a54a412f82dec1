/** One message of a prompt. */
export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** What a model is sent, beside its settings. Made in plan/prompt.ts alone. */
export interface Prompt {
  readonly messages: readonly Message[];
  /**
   * The text of all messages, in pieces. A piece, such as an instruction or an input, stands in many prompts: whoever
   * measures prompts can measure each piece once.
   */
  readonly pieces: readonly string[];
}

/** A prompt as one text: what the completions endpoint is sent. */
export function promptText({ messages }: Pick<Prompt, "messages">): string {
  return messages.map(({ content }) => content).join("\n\n");
}

/** The length of a prompt in UTF-16 code units. */
export function promptLength({ pieces }: Pick<Prompt, "pieces">): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/** The length of a prompt in bytes of UTF-8. */
export function promptBytes({ pieces }: Pick<Prompt, "pieces">): number {
  return pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0);
}
