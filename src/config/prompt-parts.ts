import type { promptFields } from "./prompt-fields.ts";
import type { Config, Perspective } from "./schema.ts";
import { parseTemplate } from "./template.ts";

type Steps = "reading" | "strategy";

/** What stands around the instructions of a perspective. */
export interface PromptParts {
  systemPrompt: string | null;
  messages: readonly { role: "system" | "user" | "assistant"; content: string }[];
  /** Null for the usual prompt. */
  templates: Record<Steps, string | null>;
}

/** The parts of a perspective's prompts: its own, else those of the config. */
export function promptPartsOf(config: Config, perspective: Perspective): PromptParts {
  const partOf = <Name extends keyof typeof promptFields>(name: Name) =>
    (perspective[name] === undefined ? config[name] : perspective[name]) ?? null;
  const given = partOf("prompt_template");
  const templates = typeof given === "string" ? { reading: given, strategy: given } : given;
  return {
    systemPrompt: partOf("system_prompt"),
    messages: partOf("messages") ?? [],
    templates: { reading: templates?.reading ?? null, strategy: templates?.strategy ?? null },
  };
}

/** The values of a row, besides its input, that the templates of a config use. */
export interface RowUse {
  columns: string[];
  reference: boolean;
}

export function rowUseOf(config: Config): RowUse {
  const templates = config.agent_perspectives.flatMap((perspective) => {
    const { reading, strategy } = promptPartsOf(config, perspective).templates;
    return [...(perspective.reading === null ? [] : [reading]), strategy];
  });
  const columns = new Set<string>();
  let reference = false;
  for (const template of new Set(templates)) {
    for (const part of template === null ? [] : parseTemplate(template).parts) {
      if (typeof part === "string") continue;
      if ("column" in part) columns.add(part.column);
      else if (part.value === "reference") reference = true;
    }
  }
  return { columns: [...columns], reference };
}
