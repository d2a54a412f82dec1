/** What is known of a Claude model by its name. */
interface Claude {
  line: "opus" | "sonnet" | "haiku" | "fable" | "mythos";
  /** Such as 4.7. */
  version: number;
}

/** `claude-LINE-VERSION`, or `claude-VERSION-LINE` as the models up to 3.7 are called; a date or `latest` may follow. */
const NAME =
  /^claude-(?:(?<line>opus|sonnet|haiku|fable|mythos)-(?<major>\d)(?:-(?<minor>\d{1,2}))?|(?<oldMajor>\d)(?:-(?<oldMinor>\d))?-(?<oldLine>opus|sonnet|haiku))(?:-\d{8}|-latest)?$/;

/** The line and the version in the name of a model; null for other names. */
function claudeIn(model: string): Claude | null {
  if (model === "claude-mythos-preview") return { line: "mythos", version: 4.6 };
  const { line, major, minor, oldLine, oldMajor, oldMinor } = NAME.exec(model)?.groups ?? {};
  const name = line ?? oldLine;
  if (name === undefined) return null;
  return { line: name as Claude["line"], version: Number(`${major ?? oldMajor}.${minor ?? oldMinor ?? 0}`) };
}

/** Whether a model of this name is Anthropic's. */
export function isClaude(model: string): boolean {
  return model.startsWith("claude-");
}

/** How a model samples. */
export interface Sampling {
  /** Whether it takes `temperature` and `top_p`: models since 4.7 refuse both. */
  takesSampling: boolean;
  /** Whether it takes only one of the two: models since 4.1 refuse both together. */
  takesOne: boolean;
}

/** How a model thinks (Anthropic's documentation of thinking and of effort, November 2026). */
export interface Thinking {
  /** The levels of effort that it takes; none if it takes no effort. */
  efforts: readonly Effort[];
  /** What makes it think, where an effort alone does not. */
  on: object | null;
  /** What keeps it from thinking: nothing if it thinks only when it is told to, null if it always thinks. */
  off: object | null;
}

export type Effort = "low" | "medium" | "high" | "xhigh";

const EFFORTS = ["low", "medium", "high"] as const;
const ADAPTIVE = { type: "adaptive" };
const DISABLED = { type: "disabled" };
const NOTHING = {};

export function samplingOf(model: string): Sampling {
  const version = claudeIn(model)?.version;
  if (version === undefined) return { takesSampling: true, takesOne: false };
  const takesSampling = version < 4.7;
  return { takesSampling, takesOne: takesSampling && version >= 4.1 };
}

/** How a model thinks; null for a name that is not known. */
export function thinkingOf(model: string): Thinking | null {
  const claude = claudeIn(model);
  if (!claude) return null;
  const { line, version } = claude;
  if (line === "mythos" && version < 5) return { efforts: EFFORTS, on: null, off: null };
  if (line === "fable" || line === "mythos") return { efforts: [...EFFORTS, "xhigh"], on: null, off: null };
  if (version >= 5) return { efforts: [...EFFORTS, "xhigh"], on: null, off: offOf(line, version) };
  if (version >= 4.7) return { efforts: [...EFFORTS, "xhigh"], on: ADAPTIVE, off: NOTHING };
  if (version >= 4.6) return { efforts: EFFORTS, on: ADAPTIVE, off: NOTHING };
  // Opus 4.5 takes an effort for its answers, and thinks only with a budget.
  if (line === "opus" && version >= 4.5) return { efforts: EFFORTS, on: null, off: NOTHING };
  return { efforts: [], on: null, off: NOTHING };
}

/** Models since 5 think unless they are told not to. */
function offOf(line: Claude["line"], version: number): object | null {
  if (version < 5.5 || line === "haiku") return DISABLED;
  return line === "sonnet" ? { type: "between_tools" } : null;
}
