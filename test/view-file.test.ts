import { readFile, stat } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import Database from "better-sqlite3";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunStatistics } from "../src/index.ts";
import { expectAccessible, openBrowser, type Watched, watchedPage } from "./support/browser.ts";
import { DATABASE, openLab } from "./support/lab.ts";
import { HOSTILE, shownLetters, viewLab } from "./support/view-lab.ts";

type Lab = Awaited<ReturnType<typeof openLab>>;

let browser: Browser;
let lab: Lab;
let run: string;
let watched: Watched;
let page: Page;
let file: string;

beforeAll(async () => {
  browser = await openBrowser();
  let runs;
  ({ lab, runs } = await viewLab());
  run = runs.first;
  const { code, stdout, stderr } = await lab.datagen("view", run, "--export", "page.html");
  expect([code, stdout, stderr]).toEqual([
    0,
    "page.html\n",
    expect.stringMatching(/^The page is about 0\.\d MB large\.\n$/),
  ]);
  file = pathToFileURL(lab.space.at("page.html")).href;
  watched = await watchedPage(browser, file);
  ({ page } = watched);
  await page.context().setOffline(true);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await lab?.[Symbol.asyncDispose]();
});

async function open(words: string, to = page): Promise<void> {
  await to.goto("about:blank");
  await to.goto(`${file}${words === "" ? "" : `#run=${run}&${words}`}`);
  await to.locator("h1").first().waitFor();
}

const address = () => new URLSearchParams(new URL(page.url()).hash.slice(1));
const dialog = () => page.getByRole("dialog");

describe("an exported page, opened without a network", () => {
  test("has the grid, whole texts and filters, also after a reload", async () => {
    await open("");
    await page.getByRole("columnheader").filter({ hasText: "plain" }).waitFor();
    await page.getByLabel("Go to input").fill("7");
    await page.getByLabel("Go to input").press("Enter");
    await page.getByText("short 7", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Expand the texts of input 7" }).click();
    await page.getByText("the very end of the input").waitFor();
    await page.getByRole("link", { name: /^\d+ cut$/ }).click();
    await page.getByText("2 answers match, of 2 inputs").waitFor();
    await page.reload();
    await page.getByText("2 answers match, of 2 inputs").waitFor();
    for (const [words, found] of [
      ["state=failed", "1 answer matches, of 1 input"],
      ["state=failed&reason=nothing", "No answer matches all filters."],
      ["condition=Hasty&lengthFrom=8&lengthTo=9", "10 answers match, of 10 inputs"],
      ["text=SHORT+13", "1 answer matches, of 1 input"],
      ["equal=reference", "No answer matches all filters."],
      ["costFrom=1", "No answer matches all filters."],
      ["latencyFrom=0&condition=Hasty", "20 answers match, of 20 inputs"],
    ] as const) {
      await open(words);
      await page.getByText(found).waitFor();
    }
  });

  test("has each answer with its prompt, its cost and its requests", async () => {
    await open("cell=2.1.1");
    await dialog().getByText("Write from the notes.").first().waitFor();
    await dialog().getByText("Take notes.").first().waitFor();
    expect(await dialog().locator(".message").first().innerText()).toContain("the very end of the input");
    // The file has no other run to lead to.
    await dialog().getByText("From run").first().waitFor();
    expect(await dialog().getByRole("link").count()).toBe(0);
    expect(await dialog().locator(".summary").innerText()).toMatch(/Cost\s+\$0\.0\d+/);
    expect(await dialog().getByText(/^req_/).count()).toBe(2);
  });

  test("has conditions side by side, and distributions that filter", async () => {
    await open("view=side&input=6&sides=0.1,1.1");
    await page.locator(".column").first().locator("ins").filter({ hasText: "plain" }).first().waitFor();
    await page.keyboard.press("j");
    await page.getByRole("heading", { name: /Input 7/ }).waitFor();
    await open("view=distributions");
    await page.getByText("On average the shortest: Hasty").waitFor();
    await page
      .getByRole("row", { name: /^Hasty/ })
      .locator("rect")
      .first()
      .focus();
    await page.keyboard.press("Enter");
    await page.getByText(/answers? match/).waitFor();
    expect(address().get("condition")).toBe("Hasty");
    expect(await page.getByRole("link", { name: "Differences of runs" }).count()).toBe(0);
  });

  test("has the statistics of the run", async () => {
    const stats = JSON.parse((await lab.datagen("stats", run, "--json")).stdout) as RunStatistics;
    await open("view=statistics&measure=overlap");
    const { value, low, high } = stats.conditions[0]!.chrf!;
    const [shown, from, to] = [value, low!, high!].map((one) => one.toFixed(1));
    await page.getByText(`${shown} ${from}–${to}`).first().waitFor();
    await page.getByRole("region", { name: "Similarity of conditions" }).waitFor();
  });

  test("shows hostile texts as letters: nothing runs, and nothing is asked", async () => {
    const letters = shownLetters(HOSTILE);
    for (const words of [
      "",
      "cell=0.3.1",
      "view=side&input=0&sides=0.1,3.1",
      "view=distributions",
      "view=statistics",
    ]) {
      await open(words);
      await page.getByText(letters.slice(0, 60)).first().waitFor();
    }
    await open("cell=0.3.1");
    await dialog().locator(".message").nth(1).waitFor();
    await dialog().getByText("Reference", { exact: true }).waitFor();
    expect((await dialog().innerText()).split(letters).length).toBeGreaterThan(6);
    expect(await page.evaluate("globalThis.ran")).toBeUndefined();
    expect(watched.offences).toEqual([]);
  });

  test("is accessible: axe finds nothing", async () => {
    const visitor = await watchedPage(browser, file, { isDark: true });
    for (const words of ["", "cell=2.1.1", "view=side&input=6", "view=distributions", "view=statistics"]) {
      await open(words, visitor.page);
      await visitor.page.locator("td, [role=gridcell], .summary, .whole").first().waitFor();
      await expectAccessible(visitor.page, words);
    }
    await visitor.page.context().close();
  });
});

describe("exporting a page", () => {
  test("counts failures by their reasons, whatever these are called", async () => {
    const database = new Database(lab.space.at(DATABASE));
    const reasons = database.prepare("select id, failure from calls where failure is not null").all();
    const rename = database.prepare<[string, number]>("update calls set failure = ? where id = ?");
    for (const reason of ["__proto__", "constructor"]) {
      for (const { id } of reasons as { id: number }[]) rename.run(reason, id);
      expect(await lab.datagen("view", run, "--export", "reasons.html")).toMatchObject({ code: 0 });
      const visitor = await browser.newPage();
      await visitor.goto(`${pathToFileURL(lab.space.at("reasons.html")).href}#run=${run}&view=distributions`);
      await visitor.getByRole("link", { name: `1 ${reason}` }).waitFor();
      await visitor.context().close();
    }
    for (const { id, failure } of reasons as { id: number; failure: string }[]) rename.run(failure, id);
    database.close();
  });

  test("takes some inputs and conditions, and says so in the page", async () => {
    const flags = ["--inputs", "5", "--conditions", "Faithful", "--conditions", "Hasty"];
    expect(await lab.datagen("view", run, "--export", "part.html", ...flags)).toMatchObject({ code: 0 });
    const part = pathToFileURL(lab.space.at("part.html")).href;
    const visitor = await watchedPage(browser, part);
    await visitor.page.goto(part);
    await visitor.page.getByText("This page has 5 of the inputs and 3 of the conditions").waitFor();
    expect(await visitor.page.getByRole("grid").getAttribute("aria-rowcount")).toBe("7");
    await visitor.page.getByRole("link", { name: "Statistics" }).click();
    await visitor.page.getByText("statistics are of a whole run").waitFor();
    expect(await readFile(lab.space.at("part.html"), "utf8")).not.toContain("hostile notes");
    await visitor.page.context().close();
    const none = await lab.datagen("view", run, "--export", "part.html", "--conditions", "Nothing");
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('has no condition "Nothing"') as string });
  });

  test("gives the same bytes each time, also by `export`, to a file and to stdout", async () => {
    const first = await readFile(lab.space.at("page.html"), "utf8");
    const again = await lab.datagen("export", run, "--output", "again.html");
    expect(again).toMatchObject({ code: 0, stdout: "again.html\n" });
    expect(await readFile(lab.space.at("again.html"), "utf8")).toBe(first);
    expect((await lab.datagen("export", run, "--format", "html", "--output", "-")).stdout).toBe(first);
    const named = await lab.datagen("export", run, "--format", "html", "--json");
    const { page: path } = JSON.parse(named.stdout) as { page: string };
    expect(path).toMatch(/^data\/agents\/translation_gpt_4o_mini_\d{8}_\d{6}\.html$/);
    expect(await lab.space.read(path)).toBe(first);
    expect(await lab.datagen("export", run, "--format", "html")).toMatchObject({ stdout: `${path}\n` });
  });

  test("replaces a page or a dataset, and no other file", async () => {
    await lab.space.write("mine.html", "<!doctype html><title>Mine</title>");
    const refused = await lab.datagen("view", run, "--export", "mine.html");
    expect(refused).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("is not a dataset") as string,
    });
    expect(await lab.space.read("mine.html")).toContain("Mine");
    expect(await lab.datagen("view", run, "--export", "rows.json")).toMatchObject({ code: 2 });
    expect(await lab.datagen("view", run, "--export", "data/datagen.db")).toMatchObject({ code: 2 });
    expect(await lab.datagen("view", run, "--export", "page.html")).toMatchObject({ code: 0 });
  });

  test("refuses what does not fit a page", async () => {
    for (const flags of [["--port", "0"], ["--no-open"], ["--public-origin", "http://localhost:1"]]) {
      expect(await lab.datagen("view", run, "--export", "x.html", ...flags)).toMatchObject({
        code: 2,
        stderr: expect.stringContaining("are for the server") as string,
      });
    }
    expect(await lab.datagen("view", "--yes")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("are for --export") as string,
    });
    for (const args of [
      ["export", run, "latest", "--format", "html"],
      ["export", run, "--format", "html", "--ascii"],
      ["view", "--export", "x.html"],
      ["view", run, "--inputs", "3"],
    ]) {
      expect(await lab.datagen(...args), args.join(" ")).toMatchObject({ code: 2, stdout: "" });
    }
  });

  test("of more than 50 MB needs --yes where nobody can be asked", async () => {
    const text = "A long text, of which there are many. ".repeat(26_000);
    await using large = await openLab();
    const perspectives = [{ condition: "One", reading: null, strategy: "S" }];
    await large.space.write("large.json", {
      task_type: "summarization",
      task_description: "Summaries",
      add_references: false,
      agent_perspectives: perspectives,
      tasks: Array.from({ length: 28 }, (_, at) => ({
        context: `${at} ${text}`,
        responses: [`${text} ${at}`],
        preparations: [null],
      })),
      metadata: { model_config: { model_name: "m" }, api_provider: "openai", data_config: {} },
    });
    expect(await large.datagen("import", "large.json")).toMatchObject({ code: 0 });
    const refused = await large.datagen("view", "latest", "--export", "large.html");
    expect(refused).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(/5\d\.\d MB large.*--yes/s) as string,
    });
    const whole = await large.datagen("view", "latest", "--export", "large.html", "--yes");
    expect(whole).toMatchObject({ code: 0, stdout: "large.html\n" });
    const { size } = await stat(large.space.at("large.html"));
    expect(whole.stderr).toBe(`The page is about ${(size / 1024 / 1024).toFixed(1)} MB large.\n`);
  });
});
