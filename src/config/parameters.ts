import { z } from "zod";
import { between, text, wholeFrom } from "./rules.ts";
import { MOST_TOKENS } from "./token-limits.ts";

/** Keys of a request that datagen sets itself, or that would change the shape of an answer. */
const RESERVED_BODY_KEYS =
  "model messages prompt contents systemInstruction stream stream_options n best_of echo".split(" ");

const tokens = wholeFrom(1).max(MOST_TOKENS, `at most ${MOST_TOKENS} tokens`);

const STOP = "a non-empty string, or an array of 1 to 4 of them";

/** The keys of `model_config` that are parameters of a request. Each is part of every key of a call. */
export const parameterFields = {
  max_tokens: tokens.optional().describe("The longest answer, in tokens."),
  max_completion_tokens: tokens
    .optional()
    .describe("The longest answer in tokens, reasoning included, for models that use this name for the limit."),
  temperature: between(0, 2).optional(),
  top_p: between(0, 1).optional(),
  seed: z.int("a whole number").optional(),
  stop: z
    .union([text(STOP), z.array(text(STOP), STOP).min(1, STOP).max(4, STOP)], STOP)
    .optional()
    .describe("Texts that end an answer when the model writes them."),
  frequency_penalty: between(-2, 2).optional(),
  presence_penalty: between(-2, 2).optional(),
  reasoning_effort: z
    .enum(
      ["none", "minimal", "low", "medium", "high", "xhigh"],
      'one of "none", "minimal", "low", "medium", "high", "xhigh"',
    )
    .optional(),
  extra_body: z
    .record(z.string(), z.json(), "an object")
    .refine(
      (body) => RESERVED_BODY_KEYS.every((key) => !(key in body)),
      `an object without ${RESERVED_BODY_KEYS.join(", ")}, which datagen sets itself`,
    )
    .optional()
    .describe("More members of the request's body, sent as they are."),
};

/** The parameters of a request besides its model and messages. */
export type Parameters = z.output<z.ZodObject<typeof parameterFields>>;

type Nullable<Shape extends z.ZodRawShape> = { [Name in keyof Shape]: z.ZodNullable<Shape[Name]> };

/** The parameters of a perspective, each of which may be null. */
export const ownParameters = z.strictObject(
  Object.fromEntries(
    Object.entries(parameterFields).map(([name, field]) => [name, z.nullable(field)]),
  ) as unknown as Nullable<typeof parameterFields>,
  "an object",
);
export type OwnParameters = z.output<typeof ownParameters>;

/**
 * The parameters that a perspective is asked with: those of the run, and over them its own. There, null removes a
 * parameter, and `extra_body` replaces that of the run.
 */
export function withOwn(parameters: Parameters, own: OwnParameters | undefined): Parameters {
  const members = Object.entries({ ...parameters, ...own });
  return Object.fromEntries(members.filter(([, value]) => value !== null && value !== undefined));
}
