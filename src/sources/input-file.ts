import type { FileWords } from "../files/text-file.ts";

/** The words for an input file in errors. */
export const INPUT_FILE: FileWords = {
  name: "input file",
  missing:
    "A path is relative to the current folder; that of a config may also be relative to the folder of the config.",
  irregular: "Name a file with rows, such as JSON Lines of {input, reference?}, or a pattern such as data/*.csv.",
  holdsRows: true,
};
