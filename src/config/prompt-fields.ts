import { z } from "zod";
import { text } from "./rules.ts";

const ROLES = ["system", "user", "assistant"] as const;
const ROLE = 'one of "user", "assistant", or "system" for the first message';

const MESSAGES = "an array of at least one {role, content}, or null";
/** Far more than anybody writes. They are sent with every call. */
const MOST_MESSAGES = 1_000;

const TEMPLATE = 'a template, a non-empty string, or {"reading": …, "strategy": …} with one or two of these, or null';
const template = text("a template, a non-empty string");

const templates = z.strictObject({ reading: template.optional(), strategy: template.optional() });

const message = z.strictObject(
  { role: z.enum(ROLES, ROLE), content: text("the text of the message, a non-empty string") },
  "an object with role and content",
);

/** The keys of a config and of its perspectives that say what stands around the instructions. */
export const promptFields = {
  system_prompt: text("a text for the model, a non-empty string, or null")
    .nullable()
    .optional()
    .describe(
      "A system message before every prompt. In a perspective it replaces that of the config; null removes it.",
    ),
  messages: z
    .array(message, MESSAGES)
    .min(1, MESSAGES)
    .max(MOST_MESSAGES, `at most ${MOST_MESSAGES} messages`)
    .nullable()
    .optional()
    .describe(
      "Messages before every prompt, such as examples. In a perspective they replace those of the config; null removes them.",
    ),
  prompt_template: z
    .union([template, templates], TEMPLATE)
    .nullable()
    .optional()
    .describe(
      "The prompt, with {instruction}, {text}, {input}, {reference} and columns of the row in braces; {{ and }} are braces. Text for both steps, or {reading, strategy}. In a perspective it replaces that of the config; null means the usual prompt.",
    ),
};
