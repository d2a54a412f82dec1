import type { AttemptView, StepView } from "../rows.ts";
import { duration, money, moment, number } from "./number.ts";
import { Frame } from "./table-parts.tsx";
import { piecesOf } from "./text.tsx";

const COLUMNS = [
  { name: "Started" },
  { name: "Latency", isFigure: true },
  { name: "Outcome" },
  { name: "Then" },
  { name: "HTTP", isFigure: true },
  { name: "Tokens", isFigure: true },
  { name: "Cost", isFigure: true },
  { name: "Request id" },
  { name: "What was said" },
] as { name: string; isFigure?: boolean }[];

/** Each request of a call. */
export function Attempts({ attempts, origin }: { attempts: readonly AttemptView[]; origin: StepView["origin"] }) {
  if (attempts.length === 0) {
    return (
      <p class="faint">
        {origin === null ? "No request was sent." : "This run sent no request: it had the answer already."}
      </p>
    );
  }
  return (
    <Frame label="Requests">
      <table class="fit">
        <thead>
          <tr>
            {COLUMNS.map(({ name, isFigure }) => (
              <th key={name} scope="col" class={isFigure ? "figure" : ""}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {attempts.map((attempt, at) => (
            <tr key={at}>
              <td class="when">{moment(attempt.startedAt)}</td>
              <td class="figure">{attempt.isBatched ? "in a batch" : duration(attempt.durationMs)}</td>
              <td>{piecesOf(attempt.outcome)}</td>
              <td>{piecesOf(attempt.decision)}</td>
              <td class="figure">{attempt.httpStatus ?? ""}</td>
              <td class="figure">{tokensOf(attempt)}</td>
              <td class="figure">{money(attempt.costUsd)}</td>
              <td class="code">
                <bdi>{piecesOf(attempt.requestId ?? "")}</bdi>
              </td>
              <td dir="auto">{piecesOf(saidBy(attempt))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Frame>
  );
}

function tokensOf({ promptTokens, completionTokens }: AttemptView): string {
  if (promptTokens === null && completionTokens === null) return "";
  return `${number(promptTokens ?? 0)} + ${number(completionTokens ?? 0)}`;
}

function saidBy({ errorCode, message, refusal, server }: AttemptView): string {
  return [errorCode, message, refusal, server].filter((part) => part !== null && part !== "").join(" · ");
}
