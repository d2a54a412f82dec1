import { kindOf } from "../config/kinds.ts";

/** Conditions that are looked at together. */
export interface Kind {
  name: string;
  /** The positions of its conditions. */
  conditions: number[];
}

/**
 * The kinds of conditions: those that the config names, then those that the conditions' own names begin with, of the
 * conditions that the config has in none. If both have a kind of the same name, it is one.
 */
export function kindsOf(
  conditions: readonly string[],
  named: Readonly<Record<string, readonly string[]>> = {},
): Kind[] {
  const kinds: Kind[] = Object.entries(named).map(([name, members]) => ({
    name,
    conditions: [...conditions.keys()].filter((at) => {
      const condition = conditions[at] as string;
      return members.includes(condition) || members.includes(kindOf(condition));
    }),
  }));
  const taken = new Set(kinds.flatMap((kind) => kind.conditions));
  const all = new Map(kinds.map((kind) => [kind.name, kind]));
  for (const [at, condition] of conditions.entries()) {
    if (taken.has(at)) continue;
    const name = kindOf(condition);
    const kind = all.get(name) ?? { name, conditions: [] };
    all.set(name, kind);
    kind.conditions.push(at);
  }
  // A run that was made with fewer perspectives than its config has may lack those of a kind.
  return [...all.values()].filter((kind) => kind.conditions.length > 0);
}
