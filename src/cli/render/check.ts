import type { CheckEvent, ConfigCheck, ModelCheck, ServerCheck } from "../../app/check/check-config.ts";
import { counted, latency, money, number, oneLine } from "./text.ts";

/** What a check says while it goes on. */
export function renderCheckEvent(event: CheckEvent): string {
  const { server } = event;
  const model = oneLine(event.model);
  if (event.type === "asking") {
    return `Sending a short request to ${server} for ${model}, which may cost a little, and asking whether it takes batches.`;
  }
  return `${model} refuses the request: ${oneLine(event.message)}\nSending another one.`;
}

/** What a check found, with the lines to put into the config. */
export function renderCheck({ ok, requests, cost_usd: cost, models }: ConfigCheck): string {
  const sections = models.flatMap((model) => [
    ...model.servers.map((server) => renderServer(model, server)),
    ...renderLines(model),
  ]);
  const sent = `${counted(requests, "request")} sent, for ${money(cost)}${cost === null ? " cost" : ""}. Nothing was stored.`;
  const verdict = ok ? "A run would work." : "A run would not work as the config is.";
  return [...sections, `${sent}\n${verdict}`].join("\n\n");
}

function renderServer({ model, provider, not_sent: notSent }: ModelCheck, server: ServerCheck): string {
  const { base_url: baseUrl, latency_ms: ms, served_model: served, usage, reasoning_tags: tags, batches } = server;
  const facts = [
    ...(ms === null ? [] : [`answered in ${latency(ms)}${served === null ? "" : ` as ${oneLine(served)}`}`]),
    ...(usage === null ? [] : [usage ? "reports usage" : "reports no usage: tokens will be estimated"]),
    ...(tags === true ? ["the answer begins with reasoning between tags: set reasoning_tags"] : []),
    batches === null ? "does not say whether it takes batches" : batches ? "takes batches" : "takes no batches",
    ...limitsOf(server),
    ...(notSent.length > 0 ? [`not sent, because the model does not take them: ${notSent.join(", ")}`] : []),
    ...server.problems.map((problem) => `problem: ${oneLine(problem)}`),
  ];
  const title = `${server.ok ? "✓" : "✗"} ${oneLine(model)} at ${baseUrl ?? provider}`;
  return [title, ...facts.map((fact) => `  ${fact}`)].join("\n");
}

function limitsOf({ limits }: ServerCheck): string[] {
  if (limits === null) return [];
  const names = {
    requests: "requests",
    tokens: "tokens",
    inputTokens: "tokens of prompts",
    outputTokens: "tokens of answers",
  } as const;
  const stated = (Object.keys(names) as (keyof typeof names)[]).flatMap((name) => {
    const limit = limits[name];
    return limit ? [`${number(limit.limit)} ${names[name]} (${number(limit.remaining)} left)`] : [];
  });
  return stated.length === 0 ? [] : [`states its limits: ${stated.join(", ")}`];
}

function renderLines({ lines }: ModelCheck): string[] {
  return lines.map(
    ({ replaces, json }) => `Put this into the config, in the place of ${oneLine(replaces)}:\n\n${json}`,
  );
}
