import { z } from "zod";
import { pullFirst } from "./hub-dataset.ts";
import { FORMATS } from "./formats.ts";
import { text, wholeFrom } from "./rules.ts";
import { unused } from "./unused-keys.ts";

export const sampleSize = wholeFrom(1);

const PATH = "the path of the input file, a non-empty string, or an array of paths";
const inputPath = text(PATH);
const MOST_PATHS = 10_000;

const COLUMN = "the name of a column, a non-empty string";
const column = text(COLUMN);
const columnOrNone = z.union([column, z.null()], `${COLUMN}, or null for none`).optional();

const VALUE = "a text, a number, true, false or null, or an array of these";
const value = z.union([z.string(), z.number(), z.boolean(), z.null()], VALUE);
const MOST_VALUES = 10_000;
const LOST_DIGITS = "a text, because a number cannot hold all digits of so large a whole number";

function hasLostDigits(given: unknown): boolean {
  return typeof given === "number" && Number.isInteger(given) && !Number.isSafeInteger(given);
}

const MOST_CHARACTERS = 2_000;
const fact = (what: string) =>
  text(`${what}, a non-empty string`).max(MOST_CHARACTERS, `at most ${MOST_CHARACTERS} characters`).optional();

export const dataConfig = z.strictObject(
  {
    input_data_path: z
      .union([inputPath, z.array(inputPath, PATH).min(1, PATH).max(MOST_PATHS, `at most ${MOST_PATHS} paths`)], PATH)
      .superRefine((given, context) => {
        for (const [at, path] of [given].flat().entries()) {
          const message = pullFirst(path);
          const place = typeof given === "string" ? [] : [at];
          if (message !== null) context.addIssue({ code: "custom", message, path: place });
        }
      })
      .describe(
        "The file of the inputs: a path, a pattern such as data/train-*.parquet, or a list of either. Relative to the current folder or, if it is not there, to the folder of the config.",
      ),
    format: z
      .enum(FORMATS, `one of ${FORMATS.map((name) => `"${name}"`).join(", ")}`)
      .optional()
      .describe("The format of the file. Default: by the ending of its name."),
    fields: z
      .strictObject(
        {
          input: column.optional().describe("The column of the inputs. Default: input."),
          reference: columnOrNone.describe("The column of the references. Default: reference, if there is one."),
          id: columnOrNone.describe("The column of the ids. Default: id, if there is one and no id repeats."),
        },
        "an object with input, reference and id",
      )
      .optional()
      .describe("Which columns to read. A dotted name leads into an object: translation.de."),
    where: z
      .record(
        z.string(),
        z.union([value, z.array(value, VALUE).min(1, VALUE).max(MOST_VALUES, VALUE)], VALUE),
        "an object",
      )
      .superRefine((given, context) => {
        for (const [name, values] of Object.entries(given)) {
          if (![values].flat().some(hasLostDigits)) continue;
          context.addIssue({ code: "custom", message: LOST_DIGITS, path: [name] });
        }
      })
      .optional()
      .describe('Uses only rows whose columns have one of these values: {"language": "de", "split": ["test", "dev"]}.'),
    shuffle: z.boolean("true or false").optional().describe("Draws a random sample. Default: false, the first rows."),
    seed: z
      .int("a whole number")
      .optional()
      .describe("Which random sample to draw. A larger sample of the same seed contains the smaller one. Default: 0."),
    offset: wholeFrom(0)
      .optional()
      .describe("How many rows to leave out first, in the order of the sample. Default: 0."),
    sample_size: sampleSize.default(100).describe("How many inputs to use."),
    source: fact("where the inputs come from").describe(
      "Where the inputs come from: a name, a citation or an address. The card of `export --format hf` states it.",
    ),
    license: fact("the licence of the inputs").describe(
      "The licence of the inputs, such as cc-by-4.0. The card of `export --format hf` states it. Default: the licence of the dataset that they were pulled from.",
    ),
    ...unused,
  },
  "an object",
);
