import { cp, mkdir, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import {
  configFor,
  datagen,
  environmentFor,
  rows,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { startServer } from "./support/server.ts";

const ROOT = resolve(import.meta.dirname, "..");

/** A script that imports a module on a Node that says it has another version. A process that it starts says its own. */
async function under(version: string, space: Workspace, module: string): Promise<string> {
  return await space.write(
    "old.mjs",
    `if (!process.env.STARTED) {
       process.env.STARTED = "yes";
       Object.defineProperty(process, "versions", { value: { ...process.versions, node: ${JSON.stringify(version)} } });
     }
     await import(${JSON.stringify(pathToFileURL(module).href)});`,
  );
}

/** Copies datagen into a folder, with its dependencies beside it. */
async function install(space: Workspace, folder: string): Promise<string> {
  for (const name of ["dist", "migrations", "package.json"]) {
    await cp(join(ROOT, name), space.at(`${folder}/${name}`), { recursive: true });
  }
  return space.at(`${folder}/dist/main.js`);
}

/** Puts a package of Node into a folder: its version is as given, its program is the Node of this test. */
async function installNode(space: Workspace, folder: string, version: string): Promise<void> {
  await space.write(`${folder}/node/package.json`, { name: "node", version });
  await mkdir(space.at(`${folder}/node/bin`));
  await symlink(process.execPath, space.at(`${folder}/node/bin/node`));
}

describe.concurrent("Node", () => {
  test.for(["16.20.2", "18.20.8", "20.20.2", "22.18.0"])("%s is refused with one sentence", async (version) => {
    await using space = await workspace();
    const bin = await under(version, space, await install(space, "datagen"));
    const { code, stdout, stderr } = await datagen(["--version"], { cwd: space.path, bin });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^datagen needs Node 22\.19 or newer, and this is Node [\d.]+; [^\n]+\n$/);
    expect(stderr).toContain(version);
  });

  test.for(["22.19.0", "24.0.0", "100.0.0"])("%s is new enough", async (version) => {
    await using space = await workspace();
    const bin = await under(version, space, join(ROOT, "dist/main.js"));
    expect(await datagen(["--version"], { cwd: space.path, bin })).toMatchObject({ code: 0, stderr: "" });
  });

  test.for([
    ["a clone", "my datagen", 'npm ci --prefix "$PWD/my datagen"'],
    ["a project", "node_modules/datagen", "npm i --prefix $PWD node@24"],
    ["a global folder", "lib/node_modules/datagen", "npm i -g --no-bin-links node@24"],
  ])("that is too old: in %s, the sentence has the line that installs another", async ([, folder = "", line = ""]) => {
    await using space = await workspace();
    if (folder.startsWith("node_modules")) await space.write("package.json", {});
    const bin = await under("20.1.0", space, await install(space, folder));
    const { stderr } = await datagen(["--version"], { cwd: space.path, bin });
    expect(stderr).toContain(`; \`${line.replace("$PWD", space.path)}\` installs one for it.\n`);
  });

  test.for([
    ["a clone", "clone", "clone/node_modules"],
    ["a project", "node_modules/datagen", "node_modules"],
    ["a global folder", "lib/node_modules/datagen", "lib/node_modules"],
  ])("that is too old: the one beside datagen in %s is started", async ([, folder = "", modules = ""]) => {
    await using space = await workspace();
    const bin = await under("20.1.0", space, await install(space, folder));
    await installNode(space, modules, "24.0.0");
    const version = await datagen(["--version"], { cwd: space.path, bin });
    expect(version).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(await datagen(["frobnicate"], { cwd: space.path, bin })).toMatchObject({ code: 2, stdout: "" });
  });

  test("beside datagen that is too old itself is not started", async () => {
    await using space = await workspace();
    const bin = await under("20.1.0", space, await install(space, "lib/node_modules/datagen"));
    await installNode(space, "lib/node_modules", "20.19.0");
    expect(await datagen(["--version"], { cwd: space.path, bin })).toMatchObject({ code: 2, stdout: "" });
  });

  test("that was started beside datagen gets the signals, and the run can be resumed", async () => {
    await using space = await workspace();
    await using server = await startServer({ latency: 100 });
    const main = await install(space, "datagen");
    await symlink(join(ROOT, "node_modules"), space.at("node_modules"));
    await installNode(space, "datagen/node_modules", "24.0.0");
    const bin = await under("20.1.0", space, main);
    await space.write("rows.json", rows(60));
    await space.write("config.json", configFor({ concurrency: 1 }));
    const options = { cwd: space.path, bin, env: environmentFor(server) };
    await using run = startDatagen(["run", "config.json"], options);
    server.behave = ({ index }) => {
      if (index === 2) run.kill("SIGINT");
      return undefined;
    };
    const { code, stderr } = await run.done;
    expect(stderr).toContain("Stopping: ");
    expect(stderr).not.toContain("Ended.");
    expect(code).toBe(130);
  });

  test("that is too old makes the library refuse, with the same sentence", async () => {
    await using space = await workspace();
    const bin = await under("20.1.0", space, join(ROOT, "dist/index.js"));
    const { code, stderr } = await datagen([], { cwd: space.path, bin });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Error: datagen needs Node 22\.19 or newer, and this is Node 20\.1\.0; .+node@24/m);
  });
});
