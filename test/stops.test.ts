import { describe, expect, test } from "vitest";
import { openLab, PLAIN } from "./support/lab.ts";
import { rows } from "./support/harness.ts";

const DB = "other folder/runs.db";

/** The words of the command that a message ends with. */
function commandIn(stderr: string): string[] {
  const [, words = ""] = /^Go on with: datagen (.+)$/m.exec(stderr) ?? [];
  return (words.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll("'", ""));
}

describe.concurrent("a stop that is normal is no error, and the command that it prints goes on,", () => {
  test("where the cap is reached", async () => {
    const config = { agent_perspectives: [PLAIN], concurrency: 1 };
    await using lab = await openLab({ config, data: rows(6) });
    const stopped = await lab.datagen("run", "config.json", "--max-cost", "0.0003", "--no-export", "--db", DB);
    expect([stopped.code, stopped.stdout]).toEqual([3, ""]);
    expect(stopped.stderr).toMatch(/^The cap of \$0\.000300 is reached: .+\.$/m);
    expect(stopped.stderr).not.toContain("Error");
    const command = commandIn(stopped.stderr);
    expect(command).toEqual([
      "resume",
      expect.any(String),
      "--max-cost",
      expect.any(String),
      "--no-export",
      "--db",
      DB,
    ]);
    expect(stopped.stderr).toMatch(/^Export the answers so far with: datagen export \w+ --allow-partial --db '.+'$/m);
    const before = lab.server.requests.length;
    const more = await lab.datagen(...command);
    expect(more.stderr).not.toContain("Error");
    expect(lab.server.requests.length).toBeGreaterThan(before);
  });

  test("where batches are open", async () => {
    const server = { behaveBatch: () => ({ states: ["in_progress" as const] }) };
    await using lab = await openLab({ config: { agent_perspectives: [PLAIN] }, data: rows(3), server });
    const looked = await lab.datagen("run", "config.json", "--batch", "--no-wait", "--output", "out.json");
    expect([looked.code, looked.stdout]).toEqual([3, ""]);
    expect(looked.stderr).toMatch(/^1 batch is open at the provider, with 3 requests\.\nThe provider works on/m);
    expect(looked.stderr).not.toContain("Error");
    const done = await lab.datagen(...commandIn(looked.stderr));
    expect([done.code, done.stdout], done.stderr).toEqual([0, "out.json\n"]);
  });

  test("where it was interrupted", async () => {
    await using lab = await openLab({ config: { agent_perspectives: [PLAIN], concurrency: 1 }, data: rows(4) });
    lab.server.latency = 100;
    const planned = lab.start("run", "config.json", "--output", "out.json");
    await expect.poll(() => lab.server.requests.length, { timeout: 20_000 }).toBe(2);
    planned.kill("SIGINT");
    const stopped = await planned.done;
    expect([stopped.code, stopped.stdout]).toEqual([130, ""]);
    expect(stopped.stderr).toMatch(/^Run \w+ was stopped; every answer that came back is stored\.$/m);
    expect(stopped.stderr).not.toContain("Error");
    const done = await lab.datagen(...commandIn(stopped.stderr));
    expect([done.code, done.stdout], done.stderr).toEqual([0, "out.json\n"]);
    expect(lab.server.requests).toHaveLength(4);
  });
});

test("a stop for a wrong model is an error, and says that the config must be mended", async () => {
  const behave = () => ({ kind: "status", status: 404 }) as const;
  await using lab = await openLab({ config: { agent_perspectives: [PLAIN] }, data: rows(1), server: { behave } });
  const { code, stderr } = await lab.datagen("run", "config.json");
  expect(code).toBe(3);
  expect(stderr).toMatch(
    /^Error: \S+ does not know the model or the address: .+\nCorrect model_name or base_url in the config and `datagen run` it again, since a run keeps what it was planned with\.\nIf the server was at fault, go on with: datagen resume \w+\n$/m,
  );
  expect(stderr).not.toMatch(/^Go on/m);
});
