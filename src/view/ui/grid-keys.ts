import { go } from "./address.ts";
import { active, columnCount, columnsBefore, leading, moveBy, moveTo, positions, toggleWhole } from "./grid-state.ts";

const A_PAGE = 5;

/** The keys of a grid, as screen readers expect them. */
export function onGridKey(event: KeyboardEvent): void {
  if (event.altKey || event.metaKey || !(event.target as Element).matches("[role=gridcell], [role=rowheader]")) return;
  const move = moveOf(event);
  if (move === null) return;
  event.preventDefault();
  move();
}

function moveOf({ key, ctrlKey }: KeyboardEvent): (() => void) | null {
  const row = () => positions.peek().indexOf(active.peek()?.position ?? 0);
  const last = columnCount() - 1;
  switch (key) {
    case "ArrowDown":
      return () => moveBy(1, 0);
    case "ArrowUp":
      return () => moveBy(-1, 0);
    case "ArrowRight":
      return () => moveBy(0, 1);
    case "ArrowLeft":
      return () => moveBy(0, -1);
    case "PageDown":
      return () => moveBy(A_PAGE, 0);
    case "PageUp":
      return () => moveBy(-A_PAGE, 0);
    case "Home":
      return () => (ctrlKey ? moveTo(0, 0) : moveTo(row(), 0));
    case "End":
      return () => (ctrlKey ? moveTo(positions.peek().count - 1, last) : moveTo(row(), last));
    case "Enter":
    case " ":
      return () => openActive();
    default:
      return null;
  }
}

/** Opens the active answer or, on an input or a reference, the whole texts. */
function openActive(): void {
  const cell = active.peek();
  if (cell === null) return;
  const condition = cell.column - leading.peek();
  if (cell.column === columnsBefore.peek().matches) {
    document.querySelector<HTMLElement>('[data-active="true"] button')?.click();
  } else if (condition < 0) toggleWhole(cell.position);
  else go({ cell: { position: cell.position, condition, replicate: 1 } });
}
