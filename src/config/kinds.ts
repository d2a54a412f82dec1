/** The kind of a condition: what stands before its first colon; the condition if it has none. */
export function kindOf(condition: string): string {
  const [kind = ""] = condition.split(":");
  return kind.replace(/ +$/, "");
}
