import { readFileSync, statSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { batchLab, type BatchLab, expectChargedOnce, PLAIN, uploaded } from "./support/batch-lab.ts";
import type { ConfigOverrides } from "./support/harness.ts";
import { INLINE } from "./support/files.ts";
import { BATCHING, batchesOf, modelOf } from "./support/providers/index.ts";
import type { BatchFault, ServerOptions } from "./support/server.ts";

type Course = NonNullable<ReturnType<NonNullable<ServerOptions["behaveBatch"]>>>;
type Api = NonNullable<ServerOptions["behaveApi"]>;

/** What was sent, paid and stored, as the server and the run have it. */
interface Account {
  /** The sizes of the batches that were created. */
  batches: number[];
  /** Answers that the server has charged, in batches and live. */
  charged: number;
  stored: number;
  pending: number;
  possiblyBilled: number;
}

function accountOf(lab: BatchLab): Account {
  const { run, possibly_billed: unclear } = lab.show();
  return {
    batches: lab.server.batches.map(({ lines }) => lines.length),
    charged: lab.server.served.answers,
    stored: run.calls.succeeded,
    pending: run.calls.pending,
    possiblyBilled: unclear.requests,
  };
}

/** Four inputs, and a provider that is given up after three seconds. */
async function setUp(course: Course = {}, api?: Api, more: ConfigOverrides = {}): Promise<BatchLab> {
  const config = { agent_perspectives: [PLAIN], give_up_after_s: 3, ...more };
  return await batchLab(config, 4, {
    behaveBatch: ({ index }) => (index === 0 ? { states: [], ...course } : { states: [] }),
    behaveApi: api,
  });
}

/** The run goes on, and ends with the whole dataset. */
async function expectGoesOn(lab: BatchLab, account: Account, ...flags: string[]): Promise<void> {
  const resumed = await lab.run("resume", "latest", ...flags);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(accountOf(lab)).toEqual(account);
  expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
  lab.expectSound();
}

/** Changes the file of answers once, before it is read. */
function changingAnswers(change: (lines: string[]) => string[]): { api: Api; of: (lab: BatchLab) => void } {
  let lab: BatchLab | undefined;
  let isChanged = false;
  const api: Api = ({ operation }) => {
    const file = operation === "content" && !isChanged ? lab?.server.files.at(-1) : undefined;
    if (!file) return undefined;
    isChanged = true;
    writeFileSync(file.path, `${change(readFileSync(file.path, "utf8").trimEnd().split("\n")).join("\n")}\n`);
    Object.assign(file, { bytes: statSync(file.path).size });
    return undefined;
  };
  return { api, of: (one) => (lab = one) };
}

const WHOLE: Account = { batches: [4], charged: 4, stored: 4, pending: 0, possiblyBilled: 0 };
const NOTHING: Account = { batches: [4], charged: 0, stored: 0, pending: 4, possiblyBilled: 0 };

const notFound = (message: string): BatchFault => ({ kind: "status", status: 404, message });

describe.concurrent("what passes is waited for:", () => {
  /** Fails requests of one kind so many times. */
  const failing =
    (wanted: string, times: number, fault: BatchFault): Api =>
    ({ operation, nth }) =>
      operation === wanted && nth <= times ? fault : undefined;
  const away: BatchFault = { kind: "status", status: 503, headers: { "retry-after": "0" } };

  let looks = 0;
  const late = (batch: Record<string, unknown>) =>
    batch["status"] === "completed" && ++looks <= 3 ? { ...batch, output_file_id: null } : batch;

  test.for<[what: string, course: Course, api: Api | undefined]>([
    ["a batch that is completed before its file is there", { shows: late }, undefined],
    ["a file of answers that is not there yet", {}, failing("content", 2, notFound("No such File object"))],
    ["a file of requests that is not there yet", {}, failing("create", 2, notFound("Input file not found"))],
    ["a batch that is not there yet", {}, failing("get", 2, notFound("No batch found"))],
    ["ten looks in a row that fail", {}, failing("get", 10, away)],
    ["an upload that fails ten times", {}, failing("upload", 10, away)],
  ])("%s", async ([, course, api]) => {
    await using lab = await setUp(course, api, { give_up_after_s: 20 });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect(accountOf(lab)).toEqual(WHOLE);
    expect(uploaded(lab)).toBe(1);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    lab.expectSound();
  });

  test.for(["listFiles", "listBatches"] as const)("%s, where it is looked up what has arrived", async (list) => {
    await using lab = await setUp();
    lab.server.behaveApi = ({ operation, nth }) => {
      if (operation === "create" && nth === 1) {
        lab.kill();
        return { kind: "hang", isTaken: true };
      }
      // The first list of batches is asked for before anything is sent.
      const first = list === "listBatches" ? 2 : 1;
      return operation === list && nth === first ? notFound("Try again") : undefined;
    };
    await lab.start("run", "config.json", "--batch").done;
    await expectGoesOn(lab, WHOLE);
    expectChargedOnce(lab);
  });
});

describe.concurrent("what does not pass ends the run, which sends nothing again until it is resumed:", () => {
  const answersLost = changingAnswers((lines) => lines.slice(1));
  const noFile = (batch: Record<string, unknown>) => ({ ...batch, output_file_id: null });
  const noCounts = ({ request_counts: _counts, ...batch }: Record<string, unknown>) => noFile(batch);
  const fails = (code: string, message: string): Course => ({ fails: [{ code, message }] });
  const half = { batches: [4], charged: 2, stored: 2, pending: 2, possiblyBilled: 0 };
  const cancelled = { states: ["cancelling"], doneWhenCancelled: 0.5 } satisfies Course;
  const american = (batch: Record<string, unknown>) =>
    batch["status"] === "cancelled" ? { ...batch, status: "canceled" } : batch;

  test.for<[what: string, Course, Api | undefined, message: RegExp, first: Account, then: Account]>([
    [
      "answers that are counted, without a file",
      { shows: noFile },
      undefined,
      /does not give all results of batch batch_\w+: it counts 4 answers, and gives 0; 4 of its requests are possibly billed/,
      { batches: [4], charged: 4, stored: 0, pending: 4, possiblyBilled: 4 },
      { batches: [4, 4], charged: 8, stored: 4, pending: 0, possiblyBilled: 4 },
    ],
    [
      "a batch that is completed, without counts and a file",
      { shows: noCounts },
      undefined,
      /it is completed, and gives no file; 4 of its requests are possibly billed/,
      { batches: [4], charged: 4, stored: 0, pending: 4, possiblyBilled: 4 },
      { batches: [4, 4], charged: 8, stored: 4, pending: 0, possiblyBilled: 4 },
    ],
    [
      "an answer that is counted, and not in the file",
      {},
      answersLost.api,
      /it counts 4 answers, and gives 3; 1 of its requests are possibly billed/,
      { batches: [4], charged: 4, stored: 3, pending: 1, possiblyBilled: 1 },
      { batches: [4, 1], charged: 5, stored: 4, pending: 0, possiblyBilled: 1 },
    ],
    [
      "a batch that somebody else has cancelled",
      cancelled,
      undefined,
      /batch batch_\w+ was cancelled at \S+, and not by datagen/,
      half,
      { batches: [4, 2], charged: 4, stored: 4, pending: 0, possiblyBilled: 0 },
    ],
    [
      "the same in other words",
      { ...cancelled, shows: american },
      undefined,
      /was cancelled at \S+, and not by datagen/,
      half,
      { batches: [4, 2], charged: 4, stored: 4, pending: 0, possiblyBilled: 0 },
    ],
    [
      "a batch that failed for its bill",
      fails("billing_hard_limit_reached", "Billing hard limit has been reached"),
      undefined,
      /has no quota left for this account: Billing hard limit has been reached/,
      NOTHING,
      { batches: [4, 4], charged: 4, stored: 4, pending: 0, possiblyBilled: 0 },
    ],
    [
      "a batch that failed for its model",
      fails("model_not_found", "The model `gpt-4o-mini` does not exist"),
      undefined,
      /does not know the model or the address: line 1: The model|does not know the model or the address: The model/,
      NOTHING,
      { batches: [4, 4], charged: 4, stored: 4, pending: 0, possiblyBilled: 0 },
    ],
  ])("%s", async ([, course, api, message, first, then]) => {
    await using lab = await setUp(course, api);
    if (api === answersLost.api) answersLost.of(lab);
    if (course.states?.includes("cancelling")) await cancelElsewhere(lab);
    const result = await lab.run(
      ...(lab.server.batches.length > 0 ? ["resume", "latest"] : ["run", "config.json", "--batch"]),
    );
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(message);
    expect(accountOf(lab)).toEqual(first);
    lab.expectSound();
    await expectGoesOn(lab, then);
  });

  /** Somebody ends the batch in the dashboard of the provider. */
  async function cancelElsewhere(lab: BatchLab): Promise<void> {
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    const url = `${lab.server.openaiUrl}/batches/${lab.server.batches[0]?.id}`;
    expect((await fetch(`${url}/cancel`, { method: "POST" })).status).toBe(200);
  }

  test("but for failures whose file is missing, which cost nothing", async () => {
    await using lab = await setUp({}, ({ operation, nth }) =>
      operation === "content" && nth > 1 && lab.server.batches.length === 1
        ? notFound("No such File object")
        : undefined,
    );
    lab.server.behave = ({ nth, index }) => (nth === 1 && index === 0 ? { kind: "status", status: 500 } : undefined);
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect(result.stderr).toMatch(
      /not all of its results are there: the file file-\w+ is not there: No such File object/,
    );
    expect(accountOf(lab)).toEqual({ ...WHOLE, batches: [4, 1] });
    lab.expectSound();
  });

  test("but a batch that datagen has cancelled, of which the rest is sent again though that was cut off", async () => {
    await using lab = await setUp({ states: ["in_progress"] });
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    lab.server.behaveApi = ({ operation, nth }) => {
      if (operation !== "cancel" || nth > 1) return undefined;
      lab.kill();
      return { kind: "hang", isTaken: true };
    };
    expect((await lab.start("runs", "cancel", "latest").done).signal).toBe("SIGKILL");
    await expectGoesOn(lab, { ...WHOLE, batches: [4, 2] });
    expectChargedOnce(lab);
  });

  test("requests about batches that fail for longer than give_up_after_s", async () => {
    await using lab = await setUp({}, ({ operation }) => (operation === "get" ? { kind: "reset" } : undefined));
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/has failed a request about a batch for 3 seconds; the last failure was connection/);
    expect(accountOf(lab)).toEqual(NOTHING);
    lab.server.behaveApi = undefined;
    await expectGoesOn(lab, WHOLE);
  });

  test("a server that has files, and no batches", async () => {
    await using lab = await setUp({}, ({ operation }) => (operation === "create" ? notFound("Not Found") : undefined), {
      give_up_after_s: 60,
    });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/has no batch API/);
    expect(lab.server.files.map(({ isDeleted }) => isDeleted)).toEqual([true]);
    await expectGoesOn(lab, { ...WHOLE, batches: [] }, "--live");
  });

  test("a server that does not know the model for batches", async () => {
    const message = "models/x is not found for API version v1beta, or is not supported for batchGenerateContent.";
    await using lab = await setUp({}, ({ operation }) => (operation === "create" ? notFound(message) : undefined));
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/does not know the model or the address: models\/x is not found/);
    expect(accountOf(lab)).toEqual({ ...NOTHING, batches: [] });
  });

  test("a batch of which it is not known whether it has arrived, at a server that says no more", async () => {
    await using lab = await setUp();
    let isLost = true;
    lab.server.behaveApi = ({ operation, nth }) => {
      if (operation === "create" && nth === 1) return { kind: "reset", isTaken: true };
      const isProbe = operation === "listBatches" && nth === 1;
      return isLost && operation !== "upload" && !isProbe ? notFound("Not Found") : undefined;
    };
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/it is not known whether batch datagen-\w+\.jsonl has arrived/);
    // It was not sent live either.
    isLost = false;
    await expectGoesOn(lab, WHOLE, "--live");
  });
});

describe.concurrent("a batch that never ends", () => {
  const forEver = { shows: (batch: Record<string, unknown>) => ({ ...batch, status: "cancelling" }) };
  const LIVE: Account = { batches: [4], charged: 4, stored: 4, pending: 0, possiblyBilled: 4 };

  async function expectGivenUp(lab: BatchLab): Promise<void> {
    const givenUp = await lab.run("runs", "cancel", "latest", "--give-up");
    expect(givenUp.code, givenUp.stderr).toBe(0);
    expect(givenUp.stderr).toMatch(/was given up .*: 4 of its requests are possibly billed, and pending again/);
    const { run, batches, possibly_billed: unclear } = lab.show();
    expect(run).toMatchObject({ status: "interrupted", calls: { pending: 4, failed: 0 } });
    expect(batches).toMatchObject([{ status: "given up", ended_at: expect.any(String) }]);
    expect(unclear.requests).toBe(4);
    expect(unclear.cost_usd).toBeGreaterThan(0);
    lab.expectSound();
  }

  test("and is not cancelled is offered to be given up, and leaves its calls to others", async () => {
    await using lab = await setUp({ ...forEver, ms: 1e9 }, undefined, { give_up_after_s: 1 });
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    const cancelled = await lab.run("runs", "cancel", "latest");
    expect(cancelled.code, cancelled.stderr).toBe(3);
    expect(cancelled.stderr).toMatch(/was to end \d+ seconds ago, and \S+ still says "cancelling"/);
    expect(cancelled.stderr).toMatch(/`datagen runs cancel \w{8} --give-up`/);
    await expectGivenUp(lab);
    await expectGoesOn(lab, LIVE, "--live");
  });

  test("past its window is no reason to wait, live or not", async () => {
    const withoutEnd = ({ expires_at: _end, ...batch }: Record<string, unknown>) => batch;
    await using lab = await setUp({ ms: 1e9, shows: withoutEnd });
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    lab.change("update batches set created_at = created_at - 26 * 3600000");
    for (const flags of [[], ["--live"], ["--no-wait"]]) {
      const resumed = await lab.run("resume", "latest", ...flags);
      expect(resumed.code, resumed.stderr).toBe(3);
      expect(resumed.stderr).toMatch(/should have ended by 20\S+Z, and \S+ still says "in_progress"/);
      expect(resumed.stderr).toMatch(/`datagen runs cancel \w{8} --give-up`/);
    }
    await expectGivenUp(lab);
    await expectGoesOn(lab, LIVE, "--live");
  });

  test("by a word that is not known, ends the wait after give_up_after_s", async () => {
    await using lab = await setUp({ ms: 1e9, shows: (batch) => ({ ...batch, status: "daydreaming" }) });
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/for \d+ seconds that it is "daydreaming", a state that datagen does not know/);
    expect(accountOf(lab)).toEqual(NOTHING);
    await expectGivenUp(lab);
    await expectGoesOn(lab, LIVE, "--live");
  });

  test("at a server that is gone is given up all the same", async () => {
    await using lab = await setUp({ ms: 1e9 });
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    lab.server.behaveApi = () => ({ kind: "reset" });
    await expectGivenUp(lab);
    lab.server.behaveApi = undefined;
    await expectGoesOn(lab, LIVE, "--live");
  });

  test("that has ended in the end is taken in when it is given up", async () => {
    await using lab = await setUp();
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    await fetch(`${lab.server.openaiUrl}/batches/${lab.server.batches[0]?.id}`);
    const givenUp = await lab.run("runs", "cancel", "latest", "--give-up");
    expect(givenUp.code, givenUp.stderr).toBe(0);
    expect(accountOf(lab)).toEqual(WHOLE);
  });

  test("and what it holds counts for a cap", async () => {
    const config = { max_cost_usd: 0.0003 };
    await using lab = await setUp({ ms: 1e9 }, undefined, config);
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    await expectGivenUp(lab);
    const held = lab.show().possibly_billed.cost_usd ?? 0;
    const capped = await lab.run("resume", "latest", "--max-cost", String(held));
    expect(capped.code, capped.stderr).toBe(3);
    expect(capped.stderr).toMatch(/The cap of \S+ is reached/);
    expect(lab.server.batches).toHaveLength(1);
  });

  test("is said where its run is deleted", async () => {
    await using lab = await setUp({ ms: 1e9 });
    expect((await lab.run("run", "config.json", "--batch", "--no-wait")).code).toBe(3);
    const refused = await lab.run("runs", "delete", "latest");
    expect(refused.code).toBe(2);
    for (const said of [refused, await lab.run("runs", "delete", "latest", "--yes", "--json")]) {
      expect(said.stderr).toMatch(/has 1 open batch\. .*`datagen runs cancel \w{8}` cancels/);
      if (said.stdout) expect(JSON.parse(said.stdout)).toMatchObject({ batches_open: 1 });
    }
  });
});

describe.concurrent("answers", () => {
  test("whose bodies are JSON texts are read", async () => {
    const asText = (line: string) => {
      const { response, ...rest } = JSON.parse(line) as { response: { body: unknown } };
      return JSON.stringify({ ...rest, response: { ...response, body: JSON.stringify(response.body) } });
    };
    const answers = changingAnswers((lines) => lines.map(asText));
    await using lab = await setUp({}, answers.api);
    answers.of(lab);
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect(accountOf(lab)).toEqual(WHOLE);
    expect(lab.show().run.cost_usd).toBeGreaterThan(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
  });

  test("go to the calls that their ids name to the letter", async () => {
    const answers = changingAnswers((lines) =>
      lines.flatMap((line) =>
        ["1e0", " 1", "0x1", "1.0", "01", "1 "]
          .map((id) => line.replace(/"custom_id":"\d+"/, `"custom_id":"${id}"`))
          .concat(line),
      ),
    );
    await using lab = await setUp({}, answers.api);
    answers.of(lab);
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
  });

  test("of which one is longer than max_answer_mb are stored, and it is asked for again", async () => {
    await using lab = await setUp({}, undefined, { max_answer_mb: 0.02 });
    lab.server.behave = ({ nth, index }) =>
      nth <= 2 && (index === 0 || nth === 2) ? { kind: "text", text: "x".repeat(50_000) } : undefined;
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect(accountOf(lab)).toMatchObject({ batches: [4, 1, 1], stored: 4, pending: 0, possiblyBilled: 2 });
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
  });

  test("in a file that is longer than they can be are stored, and the rest is for the user to give up", async () => {
    const answers = changingAnswers((lines) => [...lines.slice(1), "x".repeat(300_000), "y".repeat(300_000)]);
    await using lab = await setUp({}, answers.api, { max_answer_mb: 0.02 });
    answers.of(lab);
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/the file of results has more than \d+ bytes/);
    expect(accountOf(lab)).toMatchObject({ batches: [4], stored: 3, pending: 1 });
    const givenUp = await lab.run("runs", "cancel", "latest", "--give-up");
    expect(givenUp.code, givenUp.stderr).toBe(0);
    await expectGoesOn(lab, { batches: [4, 1], charged: 5, stored: 4, pending: 0, possiblyBilled: 1 });
  });
});

describe.concurrent("files at the provider", () => {
  const left = ({ server }: BatchLab) =>
    server.files.filter(({ isDeleted, purpose }) => !isDeleted && purpose !== INLINE).map(({ purpose }) => purpose);

  test.for(BATCHING)("of %s are deleted once their results are stored", async (provider) => {
    await using lab = await setUp({}, undefined, modelOf(provider));
    lab.server.behave = ({ nth, index }) => (nth === 1 && index === 0 ? { kind: "status", status: 500 } : undefined);
    const result = await lab.run("run", "config.json", "--batch");
    expect(result.code, result.stderr).toBe(0);
    // Requests, answers and errors of the first batch, requests and answers of the second.
    const { hasOneList, hasOneFile } = batchesOf(provider).traits;
    expect(lab.server.files).toHaveLength(hasOneList || hasOneFile ? 4 : 5);
    expect(left(lab)).toEqual([]);
    expect(result.stderr).not.toMatch(/Warning/);
  });

  test("stay with keep_provider_files", async () => {
    await using lab = await setUp({}, undefined, { keep_provider_files: true });
    expect((await lab.run("run", "config.json", "--batch")).code).toBe(0);
    expect(left(lab)).toEqual(["batch", "batch_output"]);
  });

  test.for<BatchFault>([{ kind: "status", status: 500 }, { kind: "status", status: 404 }, { kind: "reset" }])(
    "that cannot be deleted are no failure of the run: %j",
    async (fault) => {
      await using lab = await setUp({}, ({ operation }) => (operation === "delete" ? fault : undefined));
      const result = await lab.run("run", "config.json", "--batch");
      expect(result.code, result.stderr).toBe(0);
      expect(result.stderr.match(/a file of a batch could not be deleted, and stays at the provider/g)).toHaveLength(1);
      expect(left(lab)).toHaveLength(2);
      expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    },
  );

  test.for(["content", "delete"] as const)(
    "are deleted after all is stored, whenever a run is killed: %s",
    async (when) => {
      await using lab = await setUp();
      let isKilled = false;
      lab.server.behaveApi = ({ operation }) => {
        if (operation !== when || isKilled) return undefined;
        isKilled = true;
        lab.kill();
        return { kind: "hang", isTaken: true };
      };
      expect((await lab.start("run", "config.json", "--batch").done).signal).toBe("SIGKILL");
      if (when === "content") expect(left(lab)).toHaveLength(2);
      else expect(accountOf(lab)).toEqual(WHOLE);
      await expectGoesOn(lab, WHOLE);
      expectChargedOnce(lab);
    },
  );

  test("of the offline provider are deleted too", async () => {
    await using lab = await setUp();
    const result = await lab.run("run", "config.json", "--provider", "offline", "--batch");
    expect(result.code, result.stderr).toBe(0);
    expect(lab.filesIn("data/batches")).toEqual([]);
  });
});
