import { isDeepStrictEqual } from "node:util";
import { member } from "./members.ts";
import type { Problem } from "./problems.ts";
import { REFERENCE_CONDITION } from "./schema.ts";

/** A perspective with the condition of an earlier one, and its new condition. */
export interface Renamed {
  /** In the file. */
  position: number;
  from: string;
  to: string;
}

/** The perspectives of a dataset as a config has them. */
interface Perspectives {
  /** The first perspective of the file, if it is the one of the references. */
  reference: Record<string, unknown> | null;
  /** Without the references; each occurs once and has a unique condition. */
  perspectives: unknown[];
  /** How often each occurs in the file. */
  replicates: number;
  renamed: Renamed[];
  /** The position in the file of a perspective of the config. */
  positionOf: (position: number) => number;
  problems: Problem[];
}

/** @param members those of a dataset */
export function perspectivesOf(members: Record<string, unknown>): Perspectives {
  const listed = Array.isArray(members["agent_perspectives"]) ? (members["agent_perspectives"] as unknown[]) : [];
  const reference = isReference(listed[0]) ? listed[0] : null;
  const problems: Problem[] = [];
  if (members["add_references"] === true && reference === null) {
    const text = `expected {"condition": "${REFERENCE_CONDITION}", "reading": null, "strategy": null}, as add_references is true`;
    problems.push({ path: ["agent_perspectives", 0], text });
  }
  const offset = reference === null ? 0 : 1;
  const { folded, replicates, problem } = foldReplicates(listed.slice(offset));
  if (problem) problems.push({ path: ["agent_perspectives", offset + problem.position], text: problem.text });
  const reserved = reference === null ? [] : [REFERENCE_CONDITION, reference["condition"]];
  const { perspectives, renamed } = withOwnConditions(folded, reserved);
  const positionOf = (position: number) => offset + position * replicates;
  return {
    reference,
    perspectives,
    replicates,
    renamed: renamed.map(({ position, ...names }) => ({ position: positionOf(position), ...names })),
    positionOf,
    problems,
  };
}

/** Whether a perspective is the one of the references, which `add_references` puts first. */
function isReference(perspective: unknown): perspective is Record<string, unknown> {
  const { condition, reading = null, strategy = null } = member(perspective);
  const isNamed = typeof condition === "string" && condition.toLowerCase() === REFERENCE_CONDITION.toLowerCase();
  return isNamed && reading === null && strategy === null;
}

/**
 * A perspective with replicates is listed once for each, in a row, with `"replicate": 1`, 2 and so on. Folds these into one
 * perspective of the config.
 */
function foldReplicates(listed: readonly unknown[]): {
  folded: readonly unknown[];
  replicates: number;
  problem: { position: number; text: string } | null;
} {
  const numbers = listed.map((perspective) => member(perspective)["replicate"]);
  if (numbers.every((number) => number === undefined)) return { folded: listed, replicates: 1, problem: null };
  const end = numbers.findIndex((number, position) => number !== position + 1);
  const replicates = Math.max(1, end === -1 ? numbers.length : end);
  const rows = Math.ceil(listed.length / replicates) * replicates;
  for (let position = 0; position < rows; position += 1) {
    const [first, number] = [position - (position % replicates), (position % replicates) + 1];
    if (isDeepStrictEqual(listed[position], { ...member(listed[first]), replicate: number })) continue;
    const text = `expected replicate ${number} of the perspective, as each has ${replicates}`;
    return { folded: listed, replicates: 1, problem: { position, text } };
  }
  const folded = listed
    .filter((_, position) => position % replicates === 0)
    .map((perspective) => {
      const { replicate: _, ...rest } = member(perspective);
      return rest;
    });
  return { folded, replicates, problem: null };
}

/** Renames repeated conditions to `NAME #2`, `NAME #3` and so on. */
function withOwnConditions(
  listed: readonly unknown[],
  reserved: readonly unknown[],
): { perspectives: unknown[]; renamed: Renamed[] } {
  const given = new Set(listed.map((perspective) => member(perspective)["condition"]));
  const taken = new Set<unknown>(reserved);
  const renamed: Renamed[] = [];
  /** The next number to try, for each condition. */
  const next = new Map<string, number>();
  const perspectives = listed.map((perspective, position) => {
    const { condition: from } = member(perspective);
    let to = from;
    if (typeof from === "string" && taken.has(from)) {
      let number = next.get(from) ?? 2;
      while (given.has(`${from} #${number}`) || taken.has(`${from} #${number}`)) number += 1;
      next.set(from, number + 1);
      to = `${from} #${number}`;
      renamed.push({ position, from, to: `${from} #${number}` });
    }
    taken.add(to);
    return to === from ? perspective : { ...member(perspective), condition: to };
  });
  return { perspectives, renamed };
}
