import { useEffect, useState } from "preact/hooks";
import { effect } from "@preact/signals";
import type { Computing, Figures, Statistics, ViewedRun } from "../rows.ts";
import { place } from "./address.ts";
import { HeatMap } from "./heat-map.tsx";
import { asError, reading, rows } from "./loading.ts";
import { Failure } from "./notices.tsx";
import { counted, number } from "./number.ts";
import { columnGroups } from "./statistics-columns.ts";
import { LargestDifferences, Suspects } from "./statistics-lists.tsx";
import { Definition, StatisticsTable } from "./statistics-table.tsx";
import { Toolbar } from "./table-parts.tsx";

/** How often the server is asked whether it has computed them. */
const EVERY_MS = 1_000;

/** The figures of `datagen stats`. */
export function StatisticsView({ viewed }: { viewed: ViewedRun }) {
  const [found, setFound] = useState<Statistics | Error | null>(null);
  useEffect(() => {
    setFound(null);
    return follow(viewed.run.id, setFound);
  }, [viewed.run.id]);
  return (
    <section class="distributions" aria-label="Statistics">
      {found instanceof Error ? (
        <Failure error={found} />
      ) : found?.state === "ready" ? (
        <Measured viewed={viewed} figures={found.figures} />
      ) : (
        <p class="notice" role="status">
          {found === null ? "Loading…" : found.state === "none" ? found.why : progressText(found)}
        </p>
      )}
    </section>
  );
}

/** Asks until the figures are there, and again when new answers are shown. @returns what ends it */
function follow(run: string, say: (found: Statistics | Error) => void): () => void {
  let round = 0;
  const ask = async (own: number) => {
    try {
      for (;;) {
        const found = await rows().statistics(run);
        if (own !== round) return;
        say(found);
        if (found.state !== "computing") return;
        await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
        if (own !== round) return;
      }
    } catch (error) {
      if (own === round) say(asError(error));
    }
  };
  const end = effect(() => {
    void reading.value;
    round += 1;
    void ask(round);
  });
  return () => {
    round += 1;
    end();
  };
}

function progressText({ step, done, total }: Computing): string {
  switch (step) {
    case "waiting":
      return "Waiting: the statistics of another run are computed first.";
    case "reading":
      return `Computing: ${number(done)} of ${counted(total, "input")} read`;
    case "measuring":
      return `Computing: ${number(done)} of ${counted(total, "group")} of answers measured`;
    default:
      return "Computing: looking for answers that may be wrong";
  }
}

function Measured({ viewed, figures }: { viewed: ViewedRun; figures: Figures }) {
  const { by, measure } = place.value;
  const groups = by === "kind" ? figures.kinds : figures.conditions;
  const { signatures } = figures;
  const choices = columnGroups(groups);
  const chosen = choices.find(({ key }) => key === measure) ?? choices[0]!;
  // Figures that no group has, such as those against references that are not there.
  const columns = chosen.columns.filter((column) =>
    groups.some((group) => column.of(group, signatures).value !== null),
  );
  const answers = figures.conditions.reduce((sum, { n }) => sum + n, 0);
  return (
    <>
      <Toolbar
        viewed={viewed}
        legend="Figures"
        name="figures"
        options={choices}
        chosen={chosen.key}
        found={`Of ${counted(answers, "answer")}. Small: 95% intervals`}
      />
      {columns.length === 0 ? (
        <p class="notice">There is nothing to compute these figures from.</p>
      ) : (
        <StatisticsTable key={by} groups={groups} columns={columns} signatures={signatures} />
      )}
      <HeatMap {...figures.similarity} />
      <LargestDifferences differences={figures.differences} />
      <Suspects {...figures} />
      <Definition groups={groups} columns={choices.flatMap((choice) => choice.columns)} signatures={signatures} />
    </>
  );
}
