import type { Pull, PullEvent } from "../../../app/data/pull-dataset.ts";
import { createLines, createSpeed, type ProgressStream } from "../progress-stream.ts";
import { counted, duration, megabytes, number, oneLine } from "../text.ts";

const SAMPLE_MS = 100;

/** Shows a pull's events: as a line that changes on a terminal, elsewhere as a line from time to time. */
export function createPullProgress(stream: ProgressStream): { onEvent: (event: PullEvent) => void; end: () => void } {
  const lines = createLines(stream);
  const speed = createSpeed();
  let sampledAt = -Infinity;
  return {
    onEvent(event) {
      switch (event.type) {
        case "warning":
          lines.write(`Warning: ${oneLine(event.message)}`);
          break;
        case "waiting":
          lines.write(`${capital(oneLine(event.reason))}. Asking again in ${duration(event.ms / 1_000)}.`);
          break;
        case "listed":
          lines.write(
            `${event.dataset} at ${event.endpoint}, commit ${oneLine(event.commit)}, ${licenseOf(event)}, into ${oneLine(event.folder)}`,
          );
          break;
        case "checking":
          if (lines.isDue()) lines.show(`Comparing ${oneLine(event.path)}`);
          break;
        default:
          // There is an event for each piece of a file.
          if (Date.now() - sampledAt >= SAMPLE_MS) {
            sampledAt = Date.now();
            speed.add(event.bytes);
          }
          if (lines.isDue()) lines.show(progressOf(event, speed.rates().rate));
      }
    },
    end: () => lines.clear(),
  };
}

function progressOf(event: Extract<PullEvent, { type: "progress" }>, rate: number): string {
  const { bytes, total, files, done } = event;
  const share = total === null || total === 0 ? "" : ` of ${megabytes(total)} (${Math.floor((bytes / total) * 100)}%)`;
  const left = total === null ? "" : `, ${rate > 0 ? duration((total - bytes) / rate) : "-:--"} left`;
  return `${megabytes(bytes)}${share}, ${megabytes(Math.max(0, rate))}/s${left}, file ${number(Math.min(done + 1, files))} of ${number(files)}`;
}

/** What was pulled, for people; the config is on stdout. */
export function renderPulled({ files, bytes, fetched, splits, config, ...pull }: Pull): string {
  const kept = files.length - fetched;
  const lines = [
    `Pulled ${counted(files.length, "file")} (${megabytes(bytes)}) of ${pull.dataset}${kept > 0 ? `; ${number(kept)} of them were there` : ""}.`,
  ];
  if (splits.length > 1) {
    const { input_data_path: used } = pull.data_config;
    const named = splits.find((each) => each.input_data_path === used)?.split ?? "";
    lines.push(
      `The config ${oneLine(config)} has ${counted(splits.length, "split")}; data_config names ${oneLine(named)}:`,
    );
    for (const each of splits) lines.push(`  ${oneLine(each.split)}: ${oneLine(JSON.stringify(each.input_data_path))}`);
  }
  return lines.join("\n");
}

function licenseOf({ license }: { license: string | null }): string {
  return license === null ? "no licence stated" : `licence ${oneLine(license)}`;
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
