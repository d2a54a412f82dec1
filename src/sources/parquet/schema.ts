import { Damage } from "./damage.ts";
import type { Footer, SchemaElement } from "./footer.ts";
import { type LeafType, leafType } from "./leaf-type.ts";

/** A place in the schema with what is below it. */
export interface Node {
  name: string;
  /** A `group` has a value for each child. */
  shape: "leaf" | "group" | "list" | "map";
  isRepeated: boolean;
  isOptional: boolean;
  /** The level of definition from which the value is there, and that of repetition at which it repeats. */
  definition: number;
  repetition: number;
  children: Node[];
  /** Null for groups. */
  type: LeafType | null;
  /** The leaves below, in the order of the schema. */
  leaves: Leaf[];
}

export interface Leaf {
  path: string[];
  type: LeafType;
  /** The highest levels. */
  definition: number;
  repetition: number;
}

/** Lists in lists, and so on. Levels fit into a byte. */
const DEEPEST = 64;

const [OPTIONAL, REPEATED] = [1, 2];

/**
 * The columns at the top level.
 * @throws Damage
 */
export function columnsOf({ schema, hasArrowSchema }: Footer): Node[] {
  const [root] = schema;
  if (!root) throw new Damage("it has no schema");
  const isOld = !hasArrowSchema && schema.every(({ annotation }) => annotation === null);
  let at = 1;

  function children(count: number, above: Above): Node[] {
    if (above.path.length > DEEPEST) throw new Damage(`its columns are nested more than ${DEEPEST} deep`);
    return Array.from({ length: checkedCount(count) }, () => nodeBelow(above));
  }

  function checkedCount(count: number): number {
    if (count < 0 || count > schema.length - at) throw new Damage(`a column has ${count} parts, more than its schema`);
    return count;
  }

  function nodeBelow(above: Above): Node {
    const element = schema[at];
    if (!element) throw new Damage("its schema is not complete");
    at += 1;
    const isRepeated = element.repetition === REPEATED;
    const isOptional = element.repetition === OPTIONAL;
    const path = [...above.path, element.name];
    const definition = above.definition + (isRepeated || isOptional ? 1 : 0);
    const repetition = above.repetition + (isRepeated ? 1 : 0);
    const node = { name: element.name, isRepeated, isOptional, definition, repetition };
    if (element.physical !== null && element.children === 0) {
      const type = typeOf(element, path, isOld);
      return { ...node, shape: "leaf", children: [], type, leaves: [{ path, type, definition, repetition }] };
    }
    if (element.children === 0) throw new Damage(`its column "${path.join(".")}" has no type and no parts`);
    const below = children(element.children, { path, definition, repetition });
    const leaves = below.flatMap((child) => child.leaves);
    return { ...node, shape: shapeOf(element, below), children: below, type: null, leaves };
  }

  const columns = children(root.children, { path: [], definition: 0, repetition: 0 });
  if (at < schema.length) throw new Damage("its schema has more columns than it states");
  return columns;
}

interface Above {
  path: string[];
  definition: number;
  repetition: number;
}

function typeOf(element: SchemaElement, path: readonly string[], isOld: boolean): LeafType {
  try {
    return leafType(element, isOld);
  } catch (error) {
    if (error instanceof Damage) throw new Damage(`its column "${path.join(".")}" cannot be read: ${error.message}`);
    throw error;
  }
}

function shapeOf({ annotation }: SchemaElement, children: readonly Node[]): Node["shape"] {
  const [only] = children;
  if (children.length !== 1 || !only?.isRepeated) return "group";
  if (annotation?.kind === "list") return "list";
  const isMap = annotation?.kind === "map" && only.children.length === 2 && only.children[0]?.isRepeated === false;
  return isMap ? "map" : "group";
}

/**
 * The elements of a list: normally the one child of what is repeated. In old files, what is repeated is the element.
 */
export function elementOf(list: Node): Node {
  const [repeated] = list.children;
  if (!repeated) throw new Damage("has a list of nothing");
  const [only] = repeated.children;
  const isElement =
    !only || repeated.children.length > 1 || repeated.name === "array" || repeated.name === `${list.name}_tuple`;
  return isElement ? repeated : only;
}

/** A type in words, such as `list of string`. */
export function typeName(node: Node): string {
  if (node.isRepeated) return `list of ${typeName({ ...node, isRepeated: false })}`;
  if (node.shape === "list") return `list of ${typeName({ ...elementOf(node), isRepeated: false })}`;
  if (node.shape === "map") return "map";
  return node.type?.name ?? "struct";
}
