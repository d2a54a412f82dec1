import type { FileWords } from "../files/text-file.ts";

/** The words for an input file in errors. */
export const INPUT_FILE: FileWords = {
  name: "input file",
  missing: "data_config.input_data_path is relative to the current folder, or to the folder of the config.",
  irregular: "data_config.input_data_path names a file with rows, such as JSON Lines of {input, reference?}.",
  holdsRows: true,
};
