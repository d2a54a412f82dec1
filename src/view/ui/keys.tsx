import { signal } from "@preact/signals";
import { go, place } from "./address.ts";
import { closeCell, moveCell } from "./cell-dialog.tsx";
import { active, goSideBySide, moveBy, toggleWhole } from "./grid-state.ts";
import { Modal } from "./modal.tsx";
import { viewed } from "./run-state.ts";
import { moveCondition, moveInput } from "./side.tsx";

export const areKeysShown = signal(false);

const KEYS = [
  ["j, k", "next input, previous input"],
  ["l, h", "next condition, previous condition"],
  ["Arrow keys", "move in the grid; Home, End, Page Up and Page Down move further"],
  ["Enter", "open the answer with its prompt and its cost"],
  ["o", "show the whole texts of an input, or shorten them"],
  ["d", "side by side, or back to the grid"],
  ["/", "search in the texts"],
  ["?", "show these keys"],
  ["Escape", "close what is open"],
] as const;

/** Listens to the keys of the page. None of them works while somebody types. */
export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    const { key, ctrlKey, metaKey, altKey, target } = event;
    if (ctrlKey || metaKey || altKey || event.defaultPrevented) return;
    if (target instanceof Element && target.matches("input, select, textarea, [contenteditable]")) return;
    const act = actionOf(key);
    if (act === null) return;
    event.preventDefault();
    act();
  });
}

function actionOf(key: string): (() => void) | null {
  if (key === "?") return () => (areKeysShown.value = !areKeysShown.peek());
  if (areKeysShown.peek()) return null;
  const shown = viewed.peek();
  if (shown === null) return null;
  const { view, cell } = place.peek();
  const step = STEPS[key];
  if (cell !== null) {
    if (key === "Escape") return closeCell;
    return step === undefined ? null : () => moveCell(shown, cell, ...step);
  }
  if (key === "/") return () => focusSearch();
  if (view === "side") {
    if (key === "d" || key === "Escape") return () => go({ view: "grid" });
    const [inputs, conditions] = step ?? [0, 0];
    if (inputs !== 0) return () => moveInput(inputs > 0 ? 1 : -1);
    return conditions === 0 ? null : () => moveCondition(shown, conditions > 0 ? 1 : -1);
  }
  if (view !== "grid") return null;
  if (step !== undefined) return () => moveBy(...step);
  if (key === "d") return goSideBySide;
  const position = active.peek()?.position;
  return key === "o" && position !== undefined ? () => toggleWhole(position) : null;
}

/** How far each key moves: inputs, and conditions. */
const STEPS: Record<string, [inputs: number, conditions: number]> = {
  j: [1, 0],
  k: [-1, 0],
  l: [0, 1],
  h: [0, -1],
};

function focusSearch(): void {
  const focus = () => document.querySelector<HTMLElement>("#filter-text")?.focus();
  if (place.peek().view === "grid") {
    focus();
    return;
  }
  go({ view: "grid" });
  requestAnimationFrame(focus);
}

export function KeysDialog() {
  return (
    <Modal title="Keys" class="keys-dialog" onClose={() => (areKeysShown.value = false)}>
      <dl>
        {KEYS.map(([key, does]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
