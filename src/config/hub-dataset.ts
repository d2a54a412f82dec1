/**
 * What to write in place of a dataset of the Hugging Face Hub; null for any other path. Runs never go online for their
 * inputs, so that two of them read the same ones.
 */
export function pullFirst(path: string): string | null {
  if (!/^hf:/i.test(path)) return null;
  const [, id = "OWNER/NAME", revision = ""] =
    /^hf:\/\/(?:datasets\/)?([\w.-]+(?:\/[\w.-]+)?)(@[^\s"'`/]+)?/i.exec(path) ?? [];
  return (
    `the path of a file: pull the dataset with \`datagen data pull hf://${id}${revision}\`, and write the ` +
    `input_data_path that it prints, which is in data/${id}/`
  );
}
