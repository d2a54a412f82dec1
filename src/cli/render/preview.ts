import type { Preview, PreviewedCall } from "../../app/estimate/preview-run.ts";
import { widthOfTexts, wrap } from "./columns.ts";
import { renderMessages, titled } from "./show.ts";
import { counted, oneLine } from "./text.ts";

/** The messages that a config would send, no wider than `width`. */
export function renderPreview(preview: Preview, width: number): string {
  const { provider, model, endpoint, encoding, is_exact: isExact, replicates, inputs } = preview;
  const textWidth = widthOfTexts(width);
  const facts = [
    `${oneLine(model)} of ${provider} (${endpoint}); tokens counted with ${encoding}${isExact ? "" : ", which this model may not use"}.`,
    ...(replicates > 1 ? [`Each prompt is sent ${replicates} times.`] : []),
    "Nothing was sent.",
  ];
  const sections = [
    facts.flatMap((fact) => wrap(fact, textWidth)),
    ...inputs.flatMap(({ task, calls }) => calls.map((call) => renderCall(task, call, isExact, textWidth))),
  ];
  return sections.map((lines) => lines.join("\n").trimEnd()).join("\n\n");
}

function renderCall(task: number, call: PreviewedCall, isExact: boolean, width: number): string[] {
  const { condition, step, reused, waits_for_notes: waits, messages, parameters, tokens } = call;
  const facts = [
    `${isExact ? "" : "about "}${counted(tokens, "token")}${waits ? " without the notes" : ""}`,
    ...(waits ? ["[notes] stands for what the reading will answer"] : []),
    ...(parameters === undefined ? [] : [`asked with ${oneLine(JSON.stringify(parameters))}`]),
    ...(reused ? ["not sent, because an earlier answer is reused"] : []),
  ];
  return [
    ...titled(`Input ${task}, ${oneLine(condition)}`, width),
    ...renderMessages(step, messages, width),
    ...wrap(`(${facts.join("; ")})`, width),
  ];
}
