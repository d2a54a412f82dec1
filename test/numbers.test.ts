import { describe, expect, test } from "vitest";
import { isCount, isNumber } from "../src/cli/number.ts";
import { configFor, rows, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

/** What a validator of a flag reads; what it says where the text does not fit. */
function read(validator: ReturnType<typeof isNumber>, text: string): number | string {
  let value: unknown = text;
  const errors: string[] = [];
  const coercions: [string, () => void][] = [];
  const coercion = (found: unknown) => {
    value = found;
    return () => {};
  };
  const fits = validator(text, { errors, coercions: coercions as never, coercion: coercion as never });
  coercions.forEach(([, apply]) => apply());
  return fits ? (value as number) : errors.join();
}

describe("the number of a flag", () => {
  test.each([
    ["5", 5],
    ["5.00", 5],
    ["1.50", 1.5],
    ["0.10", 0.1],
    [".5", 0.5],
    ["5.", 5],
    ["+5", 5],
    ["-1", -1],
    ["1e3", 1_000],
    ["1E-3", 0.001],
    ["007", 7],
  ])("may be written %s", (text, value) => {
    expect(read(isNumber(), text)).toBe(value);
  });

  test.each(["", " ", "5 ", "abc", "1,5", "1_000", "0x10", "1e400", "Infinity", "NaN", "--5", "1e", "."])(
    "is not %j",
    (text) => {
      expect(read(isNumber(), text)).toBe(`.: expected a number, found ${JSON.stringify(text)}`);
    },
  );

  test.each(["0", "-1", "1.5", "9007199254740993", "1e30"])("that counts is not %s", (text) => {
    expect(read(isCount(), text)).toBe(`.: expected a whole number of at least 1, found ${JSON.stringify(text)}`);
  });

  test("is read in every command that takes one", async () => {
    await using ws = await workspace();
    await ws.write("rows.json", rows(2));
    await ws.write("config.json", configFor());
    const options = { cwd: ws.path };
    const offline = ["config.json", "--provider", "offline"];
    for (const args of [
      ["prices", "set", "m", "--input", "0.10", "--output", "1.50", "--cached-input", "1e-1", "--batch-factor", "0.50"],
      ["run", ...offline, "--max-cost", "5.00", "--sample-size", "2.0", "--concurrency", "1e1"],
      ["resume", "latest", "--max-cost", "1e3", "--concurrency", "4.0"],
      ["estimate", ...offline, "--sample-size", "+1", "--pilot", "1.0", "--max-cost", ".50"],
      ["diff", "latest", "latest", "--show", "1.0"],
    ]) {
      const { code, stderr } = await datagenInTurn(args, options);
      expect(code, stderr).toBe(0);
    }
  });

  test("is not mistaken for an option if it is negative", async () => {
    await using ws = await workspace();
    await ws.write("rows.json", rows(1));
    await ws.write("config.json", configFor());
    const flags = ["--sample-size", "-1", "--max-cost", "-0.50"];
    const { code, stderr } = await datagenInTurn(["run", "config.json", ...flags], { cwd: ws.path });
    expect(code).toBe(2);
    expect(stderr).toContain("--sample-size: expected a whole number of at least 1, found -1\n");
    expect(stderr).toContain("--max-cost: expected a number of US dollars above 0, found -0.5\n");
  });
});
