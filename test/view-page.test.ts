import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import Database from "better-sqlite3";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Figure, RunStatistics } from "../src/index.ts";
import { expectAccessible, openBrowser, type Watched, watchedPage } from "./support/browser.ts";
import { startDatagen } from "./support/harness.ts";
import { DATABASE, openLab } from "./support/lab.ts";
import { HOSTILE, shownLetters, viewLab } from "./support/view-lab.ts";
import { openView, type View } from "./support/view.ts";

type Lab = Awaited<ReturnType<typeof openLab>>;

let browser: Browser;
let lab: Lab;
let runs: { first: string; second: string };
let view: View;
let watched: Watched;
let page: Page;
let origin: string;

beforeAll(async () => {
  browser = await openBrowser();
  ({ lab, runs } = await viewLab());
  view = await openView(startDatagen(["view", "--json"], { ...lab.spawned, timeoutMs: 300_000 }));
  ({ origin } = new URL(view.url));
  watched = await watchedPage(browser, origin);
  ({ page } = watched);
  await page.goto(view.url);
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await view?.[Symbol.asyncDispose]();
  await lab?.[Symbol.asyncDispose]();
});

/** Opens a place of the page, as from a link. */
async function open(words: string, to = page): Promise<void> {
  await to.goto("about:blank");
  await to.goto(`${origin}/#${words}`);
  await to.locator("main :is(h1, [role=alert])").first().waitFor();
}

/** A server of somebody else on this machine. */
async function startOther(onRequest: (request: IncomingMessage) => void) {
  const server = createServer((request, response) => {
    onRequest(request);
    response.end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const end = async () => {
    server.closeAllConnections();
    await once(server.close(), "close");
  };
  return { url: `http://127.0.0.1:${port}/`, [Symbol.asyncDispose]: end };
}

const address = (of = page) => new URLSearchParams(new URL(of.url()).hash.slice(1));
const rowOf = (position: number) =>
  page.locator(`[role=row]:has([role=rowheader] .number span:text-is("${position}"))`);
const dialog = () => page.getByRole("dialog");

describe("the address", () => {
  test("lets a browser in once, and loses its token at once; nobody else is let in", async () => {
    expect(page.url()).not.toContain("token");
    await page.getByRole("heading", { name: "Runs" }).waitFor();
    await page.reload();
    await page.getByRole("link", { name: runs.second }).waitFor();
    // Opened again in the same tab, as after a new start of the server.
    await page.goto(view.url);
    await page.getByRole("link", { name: runs.second }).waitFor();
    await page.waitForURL((url) => !url.hash.includes("token"));
    const stranger = await watchedPage(browser, origin);
    await stranger.page.goto(`${origin}/#run=${runs.first}`);
    await stranger.page.getByText("This browser has not been let in.").waitFor();
    await stranger.page.context().close();
  });

  test("gives no server on another port of this machine what lets in", async () => {
    const sent: string[] = [];
    await using other = await startOther((request) => {
      sent.push(`${request.url} ${request.headers.cookie ?? "without a cookie"}`);
    });
    const visitor = await page.context().newPage();
    await visitor.goto(other.url);
    await visitor.goto(`${other.url}api/runs`);
    await visitor.close();
    expect(sent).toEqual(expect.arrayContaining(["/ without a cookie", "/api/runs without a cookie"]));
  });

  test("of a run leads to its grid", async () => {
    const other = await openView(lab.start("view", runs.second, "--json"));
    const visitor = await watchedPage(browser, new URL(other.url).origin);
    await visitor.page.goto(other.url);
    await visitor.page.getByRole("grid").waitFor();
    expect(address(visitor.page).get("run")).toBe(runs.second);
    await visitor.page.context().close();
    await other[Symbol.asyncDispose]();
  });
});

describe("the grid", () => {
  test("has what the model said for an input under each condition", async () => {
    await open(`run=${runs.first}`);
    const headers = page.getByRole("columnheader");
    await headers.filter({ hasText: "plain" }).waitFor();
    expect(await headers.allInnerTexts()).toEqual(
      expect.arrayContaining(["Faithful", "Input", "Reference", "plain", "noted with notes"]),
    );
    await page.getByLabel("Go to input").fill("7");
    await page.getByLabel("Go to input").press("Enter");
    const row = rowOf(7);
    await row.getByText("plain answer to input 7", { exact: false }).waitFor();
    await row.getByText("short 7", { exact: false }).waitFor();
    expect(await row.getAttribute("aria-rowindex")).toBe("10");
    expect(await page.getByRole("grid").getAttribute("aria-rowcount")).toBe("22");
  });

  test("marks answers that failed, were cut and were reused, in words", async () => {
    await open(`run=${runs.first}`);
    await rowOf(1)
      .getByText(/^failed: \w+$/)
      .waitFor();
    await open(`run=${runs.first}&input=4`);
    await rowOf(4).getByText("cut", { exact: true }).waitFor();
    await open(`run=${runs.second}`);
    await page.getByText("reused").first().waitFor();
  });

  test("opens long texts in place, and a cell with its prompt and its cost; focus comes back", async () => {
    await open(`run=${runs.first}&input=2`);
    const row = rowOf(2);
    await row.getByRole("button", { name: "Expand the texts of input 2" }).click();
    await row.getByText("the very end of the input").waitFor();
    const cell = row.getByRole("gridcell").nth(1);
    await cell.focus();
    await page.keyboard.press("Enter");
    await dialog().getByText("Translate the German text into English.").first().waitFor();
    expect(await dialog().locator(".summary").innerText()).toMatch(/Cost\s+\$0\.0\d+/);
    await dialog().getByText("req_").first().waitFor();
    await page.reload();
    await dialog().getByRole("heading", { name: "Input 2 · Faithful: plain" }).waitFor();
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
    expect(address().has("cell")).toBe(false);
  });

  test("moves by keys, which do nothing while somebody types", async () => {
    await open(`run=${runs.first}`);
    await rowOf(0).getByRole("rowheader").focus();
    for (const key of ["ArrowDown", "j", "ArrowRight", "l"]) await page.keyboard.press(key);
    const focused = page.locator(":focus");
    await page.locator('[aria-colindex="3"]:focus').waitFor();
    expect(await focused.locator("..").getAttribute("aria-rowindex")).toBe("5");
    await page.keyboard.press("Enter");
    await dialog().getByRole("heading", { name: "Input 2 · Faithful: plain" }).waitFor();
    await page.keyboard.press("l");
    await dialog().getByRole("heading", { name: "Input 2 · Faithful: noted" }).waitFor();
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
    await page.locator('[aria-colindex="3"]:focus').waitFor();
    await page.keyboard.press("?");
    await dialog().getByText("next input, previous input").waitFor();
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
    await page.keyboard.press("/");
    await page.keyboard.type("jkd?");
    expect(await page.getByLabel("Text", { exact: true }).inputValue()).toBe("jkd?");
    await page.getByText("No answer matches all filters.").waitFor();
    expect(address().get("view")).toBe("grid");
    expect(address().get("text")).toBe("jkd?");
    await page.getByRole("button", { name: "Clear filters" }).click();
    await rowOf(0).waitFor();
  });

  test("filters by what the address says, and names the conditions that match", async () => {
    await open(`run=${runs.first}`);
    await page.getByRole("link", { name: /^\d+ cut$/ }).click();
    await page.getByText("2 answers match, of 2 inputs").waitFor();
    await page.reload();
    await page.getByText("2 answers match, of 2 inputs").waitFor();
    expect(address().get("truncated")).toBe("1");
    expect(await page.locator(".cell.matches").allInnerTexts()).toEqual(["Hasty", "Hasty"]);
    await rowOf(14).getByRole("button", { name: "Hasty" }).click();
    await dialog().getByRole("heading", { name: "Input 14 · Hasty" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("combobox", { name: "Answers" }).selectOption("failed");
    await page.getByText("1 answer matches, of 1 input").waitFor();
    await page.getByRole("combobox", { name: "Condition" }).selectOption({ label: "Hasty" });
    await page.getByText("No answer matches all filters.").waitFor();
    await page.goBack();
    await page.getByText("1 answer matches, of 1 input").waitFor();
  });

  test("has few elements, however many inputs and conditions there are, and reaches the last one", async () => {
    await using space = await openLab({
      config: {
        api_provider: "offline",
        agent_perspectives: Array.from({ length: 80 }, (_, at) => ({
          condition: `C: ${at}`,
          reading: null,
          strategy: "S",
        })),
      },
      data: Array.from({ length: 60 }, (_, at) => ({ input: `This is the text of input ${at}.` })),
    });
    await space.datagen("run", "config.json", "--no-export");
    await using large = await openView(space.start("view", "latest", "--json"));
    const visitor = await watchedPage(browser, new URL(large.url).origin);
    await visitor.page.setViewportSize({ width: 2000, height: 1100 });
    await visitor.page.goto(large.url);
    await visitor.page.getByRole("rowheader").first().focus();
    await visitor.page.keyboard.press("Control+End");
    const last = visitor.page.locator('[role=gridcell][data-active="true"]');
    await last.getByText("input 59").waitFor();
    expect(await last.getAttribute("aria-colindex")).toBe("81");
    const run = address(visitor.page).get("run");
    for (const [shown, element] of [
      ["grid", "[role=gridcell]"],
      ["distributions", "td"],
      ["statistics", "td"],
    ] as const) {
      await visitor.page.goto(`${new URL(large.url).origin}/#run=${run}&view=${shown}`);
      await visitor.page.locator(element).first().waitFor();
      expect(await visitor.page.evaluate<number>('document.querySelectorAll("*").length')).toBeLessThan(3_000);
    }
    expect(visitor.offences).toEqual([]);
    await visitor.page.context().close();
  });
});

describe("side by side", () => {
  test("marks the words that differ, and goes to the next input and condition by keys", async () => {
    await open(`run=${runs.first}&view=side&input=6&sides=0.1,1.1`);
    const columns = page.locator(".column");
    await columns.first().locator("ins").filter({ hasText: "plain" }).first().waitFor();
    await columns.nth(1).locator("ins").filter({ hasText: "noted" }).first().waitFor();
    await page.keyboard.press("j");
    await page.getByRole("heading", { name: /Input 7/ }).waitFor();
    await page.keyboard.press("l");
    await columns.nth(1).getByText("short 7").waitFor();
    expect(address().get("sides")).toBe("0.1,2.1");
    await page.getByRole("button", { name: "Add a column" }).click();
    await page.getByLabel("Run of column 3").selectOption({ value: runs.second });
    await columns.nth(2).getByText("input 7").waitFor();
    await page.reload();
    await columns.nth(2).getByText("input 7").waitFor();
    await page.keyboard.press("d");
    await page.getByRole("grid").waitFor();
  });
});

describe("distributions", () => {
  test("say which condition is shortest, sort, and filter when a bar is chosen", async () => {
    await open(`run=${runs.first}&view=distributions`);
    await page.getByText("On average the shortest: Hasty").waitFor();
    await page.getByRole("button", { name: "Mean length (characters)" }).click();
    const names = page.locator("tbody th");
    expect(await names.first().innerText()).toBe("Hasty");
    await page.getByRole("button", { name: "Mean length (characters)" }).click();
    expect(await names.last().innerText()).toBe("Hasty");
    await page.reload();
    await page
      .getByRole("row", { name: /^Hasty/ })
      .locator("rect")
      .first()
      .focus();
    await page.keyboard.press("Enter");
    await page.getByRole("grid").waitFor();
    expect(address().get("condition")).toBe("Hasty");
    expect(Number(address().get("lengthTo"))).toBeGreaterThan(Number(address().get("lengthFrom")));
    await page.getByText(/answers? match/).waitFor();
  });

  test("are shown also for an address with a column that does not exist", async () => {
    for (const sort of ["__proto__", "-constructor", "nothing"]) {
      await open(`run=${runs.first}&view=distributions&sort=${sort}`);
      await page.getByRole("row", { name: /^Hasty/ }).waitFor();
    }
  });
});

describe("distributions by kind", () => {
  test("add up those of the conditions", async () => {
    await open(`run=${runs.first}&view=distributions`);
    const answered = (name: RegExp) => page.getByRole("row", { name }).locator("td").nth(4).innerText();
    await page.getByText("On average the shortest").waitFor();
    const parts = [await answered(/^Faithful: plain/), await answered(/^Faithful: noted/)].map(Number);
    const bars = page.getByRole("row", { name: /^Faithful: plain/ }).locator("rect");
    expect(await bars.count()).toBeGreaterThan(0);
    await page.getByText("Kinds", { exact: true }).click();
    await page.getByRole("row", { name: /^Faithful (?!:)/ }).waitFor();
    expect(Number(await answered(/^Faithful/))).toBe(parts[0]! + parts[1]!);
    await page.reload();
    await page.getByRole("row", { name: /^Faithful (?!:)/ }).waitFor();
    expect(address().get("by")).toBe("kind");
  });
});

describe("statistics", () => {
  let stats: RunStatistics;
  beforeAll(async () => {
    stats = JSON.parse((await lab.datagen("stats", runs.first, "--json")).stdout) as RunStatistics;
  });
  const table = () => page.getByRole("group", { name: /^Statistics by/ });
  const names = async () => await table().locator("tbody th").allInnerTexts();

  test("have the figures of `datagen stats` with their intervals, and sort by them, also after a reload", async () => {
    await open(`run=${runs.first}&view=statistics&measure=overlap`);
    const row = table().getByRole("row", { name: /^Faithful: noted/ });
    await row.waitFor();
    const { bleu, chrf, chrfpp, rouge1, rouge2, rougeL, set_rouge1: set } = stats.conditions[1]!;
    const text = (figure: Figure | null, digits: number) => {
      const [value, low, high] = [figure!.value, figure!.low!, figure!.high!].map((each) => each.toFixed(digits));
      return `${value} ${low}–${high}`;
    };
    const cells = (await row.locator("td").allTextContents()).map((cell) => cell.trim());
    expect(cells).toEqual([
      ...[bleu, chrf, chrfpp].map((figure) => text(figure, 1)),
      ...[rouge1, rouge2, rougeL, set].map((figure) => text(figure, 3)),
    ]);
    await page.getByRole("button", { name: "chrF", exact: true }).click();
    const byChrf = stats.conditions.toSorted((a, b) => a.chrf!.value - b.chrf!.value).map(({ condition }) => condition);
    const order = [...new Set(byChrf.map((name) => shownLetters(name!)))];
    await expect.poll(names).toEqual(order);
    await page.reload();
    await expect.poll(names).toEqual(order);
    await page.getByRole("button", { name: "chrF", exact: true }).click();
    await expect.poll(names).toEqual(order.toReversed());
    await page.getByText("Kinds", { exact: true }).click();
    await expect.poll(async () => (await names()).toSorted()).toEqual(["Faithful", "Hasty", "Hostile"]);
  });

  test("say what a figure is and how it was made", async () => {
    await open(`run=${runs.first}&view=statistics`);
    await page.getByRole("button", { name: "What is Self-BLEU?" }).click();
    await dialog().getByText("Higher: more alike").waitFor();
    await dialog().getByText(stats.conditions[0]!.self_bleu!.signature).waitFor();
    await page.reload();
    await dialog().getByText(stats.conditions[0]!.self_bleu!.signature).waitFor();
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
  });

  test("have a heat map whose cells have their numbers, the largest differences, and links to suspects", async () => {
    await open(`run=${runs.first}&view=statistics`);
    const map = page.getByRole("region", { name: "Similarity of conditions" });
    await map.waitFor();
    const cells = await map.locator("tbody tr").allInnerTexts();
    const { chrf } = stats.similarity;
    const shown = chrf.map((row, at) => row.map((value, other) => (at === other ? "–" : value!.toFixed(0))));
    expect(cells.map((row) => row.split("\t").slice(1))).toEqual(shown);
    // The stronger colour belongs to the larger number.
    const stepAt = async (row: number, column: number) =>
      Number(
        /step-(\d)/.exec((await map.locator("tbody tr").nth(row).locator("td").nth(column).getAttribute("class"))!)![1],
      );
    const [lower, higher] = chrf[0]![1]! < chrf[0]![2]! ? [1, 2] : [2, 1];
    expect(await stepAt(0, lower)).toBeLessThan(await stepAt(0, higher));
    const differences = page.getByRole("region", { name: "Largest differences" });
    await differences.getByLabel("Figure").selectOption({ label: "chrF" });
    const own = stats.differences.filter(({ figure }) => figure === "chrf").map(({ d }) => d!);
    const largest = own.toSorted((a, b) => Math.abs(b) - Math.abs(a))[0]!;
    await differences.locator("tbody tr").first().getByText(largest.toFixed(2).replace("-", "−")).waitFor();
    expect(address().get("differing")).toBe("chrf");
    const suspects = page.getByRole("region", { name: "Answers that may be wrong" });
    await suspects.getByRole("link").first().click();
    await dialog().waitFor();
    expect(address().get("view")).toBe("grid");
  });
});

describe("differences", () => {
  test("show where two runs differ most, side by side", async () => {
    await open(`run=${runs.first}&view=differences`);
    await page.getByLabel("Compare this run with").selectOption({ value: runs.second });
    const first = page.locator("tbody tr").first();
    await first.getByText("nothing in common at all").waitFor();
    await first.getByRole("link", { name: "Input 5" }).click();
    await page.locator(".column").nth(1).locator("ins").filter({ hasText: "nothing in common at all" }).waitFor();
    expect(address().get("sides")).toBe(`0.1,${runs.second}:0.1`);
  });
});

describe("a run that goes on", () => {
  test("is followed only by pages in sight, so that any number of them can be open", async () => {
    const context = await browser.newContext();
    const visitor = await context.newPage();
    await visitor.goto(view.url);
    await visitor.getByRole("heading", { name: "Runs" }).waitFor();
    await context.addInitScript(
      "Object.defineProperty(document, 'visibilityState', { get: () => globalThis.seen ?? 'hidden' })",
    );
    for (let opened = 0; opened < 8; opened += 1) {
      const tab = await context.newPage();
      await tab.goto(`${origin}/#run=${runs.first}`);
      await tab.getByRole("grid").waitFor();
      if (opened < 7) continue;
      const isAsked = tab.waitForRequest((request) => request.url().endsWith("/events"));
      await tab.evaluate("seen = 'visible'; document.dispatchEvent(new Event('visibilitychange'))");
      await isAsked;
    }
    await context.close();
  });

  test("says how many answers are new, and shows them when it is asked to", async () => {
    let isAway = true;
    await using space = await openLab({
      config: { agent_perspectives: [{ condition: "Live", reading: null, strategy: "Wait." }], concurrency: 1 },
      data: Array.from({ length: 12 }, (_, at) => ({ input: `Text of input ${at}.` })),
      server: { behave: ({ index }) => (isAway && index >= 4 ? { kind: "status", status: 401 } : undefined) },
    });
    await space.datagen("run", "config.json", "--no-export");
    await using live = await openView(space.start("view", "latest", "--json"));
    const visitor = await watchedPage(browser, new URL(live.url).origin);
    await visitor.page.goto(`${live.url}&input=3`);
    const pending = visitor.page.locator(".words", { hasText: "Not answered yet" });
    await pending.first().waitFor();
    isAway = false;
    await space.datagen("resume", "latest", "--no-export");
    await visitor.page.getByText("12 of 12 calls done").waitFor();
    expect(await pending.count()).toBeGreaterThan(0);
    await visitor.page.getByRole("button", { name: "8 new answers: show" }).click();
    await pending.first().waitFor({ state: "detached" });
    expect(await visitor.page.getByRole("button", { name: /new answer/ }).count()).toBe(0);
    expect(address(visitor.page).get("input")).toBe("3");
    expect(visitor.offences).toEqual([]);
    await visitor.page.context().close();
  });
});

describe("hostile texts", () => {
  test("are letters in every view: nothing runs, and nothing is asked elsewhere", async () => {
    const letters = shownLetters(HOSTILE);
    const places = [
      "view=runs",
      `run=${runs.first}`,
      `run=${runs.first}&cell=0.3.1`,
      `run=${runs.first}&cell=1.0.1`,
      `run=${runs.first}&view=side&input=0&sides=0.1,3.1`,
      `run=${runs.first}&view=distributions`,
      `run=${runs.first}&view=statistics`,
      `run=${runs.first}&view=differences&with=${runs.second}`,
    ];
    for (const words of places) {
      await open(words);
      await page.getByText(letters.slice(0, 60)).first().waitFor();
    }
    await open(`run=${runs.first}&view=distributions`);
    await page
      .getByRole("row", { name: /^Hostile/ })
      .locator("rect")
      .first()
      .focus();
    await page.locator(".pointed").getByText(letters).waitFor();
    await open(`run=${runs.first}&cell=0.3.1`);
    await dialog().locator(".message").nth(1).waitFor();
    await dialog().getByText("Reference", { exact: true }).waitFor();
    const shown = await dialog().innerText();
    // Condition, answer, notes, input, reference and prompts.
    expect(shown.split(letters).length).toBeGreaterThan(6);
    await open(`run=${runs.first}&cell=1.0.1`);
    await dialog().locator(".message").first().waitFor();
    // The terminal's marks and the tags of an error are taken out before it is stored.
    expect(await dialog().innerText()).toContain(
      "javascript:alert(6) {{constructor.constructor('alert(7)')()}} [U+202E]gnp",
    );
    expect(await page.evaluate("globalThis.ran")).toBeUndefined();
    expect(await page.locator("img, iframe, object, embed, a[href^=javascript], script:not([src])").count()).toBe(0);
    expect(watched.offences).toEqual([]);
  });
});

test("a run that cannot be shown says so, and others are shown", async () => {
  await using damaged = await openLab({ config: { api_provider: "offline" } });
  await damaged.datagen("run", "config.json", "--no-export");
  await damaged.datagen("run", "config.json", "--no-export", "--name", "whole");
  const database = new Database(damaged.space.at(DATABASE));
  database.exec("update runs set name = x'ff00' where id = 1");
  database.close();
  await using other = await openView(damaged.start("view", "--json"));
  const visitor = await browser.newPage();
  await visitor.goto(other.url);
  await visitor.getByRole("alert").getByText("This cannot be shown: ").waitFor();
  const { body } = await other.get<{ id: string }[]>("runs");
  await visitor.goto(`${new URL(other.url).origin}/#run=${body[1]?.id}`);
  await visitor.getByRole("alert").getByText("This cannot be shown: ").waitFor();
  await visitor.goto(`${new URL(other.url).origin}/#run=${body[0]?.id}`);
  await visitor.getByRole("grid").waitFor();
  await visitor.context().close();
});

test("axe finds nothing in any view, light and dark", async () => {
  const places = [
    "view=runs",
    `run=${runs.first}`,
    `run=${runs.first}&state=failed`,
    `run=${runs.first}&cell=0.1.1`,
    `run=${runs.first}&view=side&input=3&sides=0.1,1.1,2.1`,
    `run=${runs.first}&view=distributions`,
    `run=${runs.first}&view=distributions&measure=completionTokens&by=kind`,
    `run=${runs.first}&view=statistics`,
    `run=${runs.first}&view=statistics&measure=variety&about=self_bleu`,
    `run=${runs.first}&view=differences&with=${runs.second}`,
    "run=zzzzzzzz",
  ];
  for (const isDark of [false, true]) {
    const visitor = await watchedPage(browser, origin, { isDark });
    await visitor.page.goto(view.url);
    await visitor.page.locator("td").first().waitFor();
    for (const words of places) {
      await open(words, visitor.page);
      await visitor.page.locator("td, [role=gridcell], .summary, .whole, [role=alert]").first().waitFor();
      await expectAccessible(visitor.page, `${words} ${isDark ? "dark" : "light"}`, isDark);
    }
    await visitor.page.context().close();
  }
});

test("all that the browser loads is at most 60 kB, packed as servers pack it", async () => {
  const folder = resolve(import.meta.dirname, "../dist/view");
  const files = await Promise.all(["app.js", "app.css", "index.html"].map((name) => readFile(join(folder, name))));
  expect(files.reduce((sum, file) => sum + gzipSync(file).length, 0)).toBeLessThan(60_000);
  expect(files.join("")).not.toContain("sourceMappingURL");
});
