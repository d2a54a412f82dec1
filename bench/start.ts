import { DATAGEN, Folder, median, run } from "./lab.ts";
import { milliseconds, type Row } from "./table.ts";

const ROUNDS = 15;

/** Measures the time of `datagen --version`, which is the time of a start. */
export async function measureStart(): Promise<Row[]> {
  using folder = new Folder();
  const options = { cwd: folder.path };
  const [version, node]: [number[], number[]] = [[], []];
  // The first start fills the compile cache for the later ones.
  await run([DATAGEN, "--version"], options);
  for (let round = 0; round < ROUNDS; round += 1) {
    version.push((await run([DATAGEN, "--version"], options)).wallMs);
    node.push((await run(["-e", "0"], options)).wallMs);
  }
  return [
    {
      what: "datagen --version",
      datagen: milliseconds(median(version)),
      other: `node -e 0: ${milliseconds(median(node))}`,
      ratio: { value: median(version) / median(node), atMost: 2 },
    },
  ];
}
