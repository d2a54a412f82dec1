import { type ConfigOverrides, promptOf, type Row } from "./harness.ts";
import { NO_JITTER, openLab, PLAIN } from "./lab.ts";
import { type Api, fakes } from "./providers/index.ts";
import { type Fault, type IncomingCall, promptHashOf } from "./server.ts";

/** A config with one call for each row, which asks one of {@link APIS}. */
export const oneCallEach = ([provider, endpoint]: Api, overrides: ConfigOverrides = {}): ConfigOverrides => ({
  agent_perspectives: [PLAIN],
  ...overrides,
  model_config: { model_name: fakes[provider].model, endpoint },
});

interface Attempt {
  outcome: string;
  decision: string;
  http_status: number | null;
  request_id: string | null;
  error_code: string | null;
  message: string | null;
  prompt_tokens: number;
  completion_tokens: number;
  tokens_estimated: number;
}

/** A server whose faults a test chooses by the row that is asked, and a folder; `await using` removes both. */
export async function failureLab(
  config: ConfigOverrides,
  data: Row[],
  faultOf: (row: number, call: IncomingCall) => Fault | undefined,
) {
  const prompts = new Map(data.map(({ input }, row) => [promptOf(PLAIN.strategy, input), row]));
  const lab = await openLab({
    config,
    data,
    server: { behave: (call) => faultOf(prompts.get(call.prompt) ?? -1, call) },
    env: NO_JITTER,
  });
  return {
    ...lab,
    run: (flags: string[] = []) => lab.runConfig(flags),
    /** The attempts that were stored for a row, in their order. */
    attemptsOf: (row: number) =>
      lab.query<Attempt>(
        `select a.* from attempts a join calls c on c.id = a.call_id join tasks t on t.id = c.task_id
         where t.position = ${row} order by a.id`,
      ),
    /** The requests that the server has seen for a row, in their order. */
    requestsOf: (row: number) =>
      lab.server.requests.filter(
        ({ promptHash }) => promptHash === promptHashOf(promptOf(PLAIN.strategy, data[row]!.input)),
      ),
  };
}

/** What an attempt used that brought nothing. */
export const NOTHING = { prompt_tokens: 0, completion_tokens: 0, tokens_estimated: 0 };
export const outcomes = (attempts: Attempt[]) => attempts.map(({ outcome, decision }) => [outcome, decision]);
