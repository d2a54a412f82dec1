import { excessOf } from "../files/text-file.ts";
import { isObject, member } from "./members.ts";
import type { Path, Problem } from "./problems.ts";
import { parseTemplate } from "./template.ts";

/** A config or one of its perspectives, before it is validated, with its place. */
interface Level {
  place: Path;
  members: Record<string, unknown>;
}

/** The problems of system prompts, messages and templates that concern more than one value. */
export function promptProblems(value: unknown): Problem[] {
  const { top, perspectives } = levelsOf(value);
  const endpoint = member(top.members["model_config"])["endpoint"];
  return [
    ...[top, ...perspectives].flatMap(problemsAt),
    ...doubleSystem(top, perspectives),
    ...(endpoint === "completions" ? chatOnly(value).map((path) => ({ path, text: NO_CHAT })) : []),
  ];
}

const NO_CHAT = "the endpoint completions takes one text, without a system prompt or messages before it";

/** Where a config has system prompts and messages, which only the chat endpoint takes. */
export function chatOnly(value: unknown): Path[] {
  const { top, perspectives } = levelsOf(value);
  return ["system_prompt", "messages"].flatMap((name) => {
    const isInherited = perspectives.some(({ members }) => members[name] === undefined);
    return [...(isInherited ? [top] : []), ...perspectives]
      .filter(({ members }) => (members[name] ?? null) !== null)
      .map(({ place }) => [...place, name]);
  });
}

function levelsOf(value: unknown): { top: Level; perspectives: Level[] } {
  const members = member(value);
  const listed = members["agent_perspectives"];
  const perspectives = (Array.isArray(listed) ? listed : []).map((perspective, at) => ({
    place: ["agent_perspectives", at],
    members: member(perspective),
  }));
  return { top: { place: [], members }, perspectives };
}

function problemsAt({ place, members }: Level): Problem[] {
  const { system_prompt: system, prompt_template: template } = members;
  const messages = messagesOf(members);
  const long = [
    { path: ["system_prompt"], content: system },
    ...messages.map(({ content }, at) => ({ path: ["messages", at, "content"], content })),
  ].flatMap(({ path, content }) => excessAt([...place, ...path], content));
  const late = messages.flatMap(({ role }, at): Problem[] => {
    const path = [...place, "messages", at, "role"];
    const text = 'expected "user" or "assistant", because only the first message may be "system"';
    return role === "system" && at > 0 ? [{ path, text }] : [];
  });
  const templates =
    typeof template === "string"
      ? templateProblems([...place, "prompt_template"], template)
      : Object.entries(member(template)).flatMap(([step, text]) =>
          templateProblems([...place, "prompt_template", step], text),
        );
  return [...long, ...late, ...templates, ...needless({ place, members })];
}

/** An object without a template, and a template of a perspective for a step that it does not have. */
function needless({ place, members }: Level): Problem[] {
  const { prompt_template: template } = members;
  if (isObject(template) && Object.keys(template).length === 0) {
    return [{ path: [...place, "prompt_template"], text: "expected a template for reading or strategy, found {}" }];
  }
  if (place.length === 0 || (members["reading"] ?? null) !== null) return [];
  if (member(template)["reading"] === undefined) return [];
  return [
    { path: [...place, "prompt_template", "reading"], text: "expected none, because the perspective has no reading" },
  ];
}

function templateProblems(path: Path, template: unknown): Problem[] {
  if (typeof template !== "string") return [];
  return [...excessAt(path, template), ...parseTemplate(template).problems.map((text) => ({ path, text }))];
}

function excessAt(path: Path, value: unknown): Problem[] {
  const excess = typeof value === "string" ? excessOf(value) : null;
  return excess === null ? [] : [{ path, text: `has ${excess}` }];
}

function messagesOf({ messages }: Level["members"]): Record<string, unknown>[] {
  return Array.isArray(messages) ? messages.map(member) : [];
}

/** The levels whose prompts would have two system messages. */
function doubleSystem(top: Level, perspectives: readonly Level[]): Problem[] {
  const text = (other: string) => `expected one system message, but ${other} has another; null removes one of them`;
  const hasSystem = ({ members }: Level) => (members["system_prompt"] ?? null) !== null;
  const beginsWithSystem = ({ members }: Level) => messagesOf(members)[0]?.["role"] === "system";
  const isDouble = hasSystem(top) && beginsWithSystem(top);
  const place = (level: Level, name: string) => [...level.place, name];
  return [
    ...(isDouble ? [{ path: place(top, "messages"), text: text("system_prompt") }] : []),
    ...perspectives.flatMap((level): Problem[] => {
      const [ownSystem, ownMessages] = ["system_prompt", "messages"].map((name) => level.members[name] !== undefined);
      if (!ownSystem && !ownMessages) return [];
      const [system, messages] = [ownSystem ? level : top, ownMessages ? level : top];
      if (!hasSystem(system) || !beginsWithSystem(messages)) return [];
      return ownSystem
        ? [{ path: place(level, "system_prompt"), text: text(ownMessages ? "messages" : "messages of the config") }]
        : [{ path: place(level, "messages"), text: text("system_prompt of the config") }];
    }),
  ];
}
