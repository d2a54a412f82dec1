import type { Histogram } from "../rows.ts";
import { borderOf } from "../histogram.ts";
import { number } from "./number.ts";

/** The bins that all histograms of a figure share. */
export interface Axis {
  first: number;
  last: number;
}

export function axisOf(histograms: readonly Histogram[]): Axis | null {
  const bins = histograms.flatMap((histogram) => Object.keys(histogram.bins).map(Number));
  if (bins.length === 0) return null;
  return { first: Math.min(...bins), last: Math.max(...bins) };
}

const HEIGHT = 36;
/** In units of the picture; it is stretched to its place. */
const BAR = 10;

interface Props {
  histogram: Histogram;
  axis: Axis;
  /** What it shows, for those who do not see it. */
  name: string;
  /** Says a value with its unit. */
  say: (value: number) => string;
  /** Gets the words of the bar that the mouse or the keyboard is on. */
  onPoint: (label: string | null) => void;
  /** Null if the grid cannot filter by the figure. */
  onChoose: ((from: number, to: number) => void) | null;
}

/** A bar for each bin. A bar that is clicked, or chosen with the arrow keys and Enter, filters the grid. */
export function Bars({ histogram, axis, name, say, onPoint, onChoose }: Props) {
  const bins = Array.from({ length: axis.last - axis.first + 1 }, (_, at) => axis.first + at);
  const highest = Math.max(1, ...Object.values(histogram.bins));
  const filled = bins.filter((bin) => countOf(bin) > 0);
  function countOf(bin: number): number {
    return histogram.bins[bin] ?? 0;
  }
  const labelOf = (bin: number) =>
    countOf(bin) === 0 ? null : `${say(borderOf(bin))} to ${say(borderOf(bin + 1))}: ${number(countOf(bin))}`;
  /** The bin at the mouse: low bars can be clicked anywhere above them. */
  const binAt = ({ clientX, currentTarget }: MouseEvent) => {
    const { left, width } = (currentTarget as Element).getBoundingClientRect();
    return axis.first + Math.floor(((clientX - left) / width) * bins.length);
  };
  const choose = (bin: number) => countOf(bin) > 0 && onChoose?.(borderOf(bin), borderOf(bin + 1));
  return (
    <svg
      class="bars"
      viewBox={`0 0 ${bins.length * BAR} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="group"
      aria-label={name}
      onClick={(event) => choose(binAt(event))}
      onMouseMove={(event) => onPoint(labelOf(binAt(event)))}
      onMouseLeave={() => onPoint(null)}
      onKeyDown={(event) => {
        const bin = onBarKey(event);
        if (bin !== null) choose(bin);
      }}
    >
      {filled.map((bin) => {
        const height = Math.max(2, (countOf(bin) / highest) * HEIGHT);
        return (
          <rect
            key={bin}
            class="bar"
            role={onChoose === null ? "img" : "button"}
            data-bin={bin}
            tabIndex={bin === filled[0] ? 0 : -1}
            aria-label={`${labelOf(bin)}${onChoose === null ? "" : ". Show them"}`}
            x={(bin - axis.first) * BAR + 0.5}
            y={HEIGHT - height}
            width={BAR - 1}
            height={height}
            onFocus={() => onPoint(labelOf(bin))}
          />
        );
      })}
    </svg>
  );
}

/** Moves along the bars. @returns the bin to choose, if a key chooses one */
function onBarKey(event: KeyboardEvent): number | null {
  const { key } = event;
  const bar = (event.target as Element).closest<SVGElement>(".bar");
  if (bar === null) return null;
  if (key === "Enter" || key === " ") {
    event.preventDefault();
    return Number(bar.dataset["bin"]);
  }
  const to = key === "ArrowRight" ? bar.nextElementSibling : key === "ArrowLeft" ? bar.previousElementSibling : null;
  if (!(to instanceof SVGElement)) return null;
  event.preventDefault();
  bar.setAttribute("tabindex", "-1");
  to.setAttribute("tabindex", "0");
  to.focus();
  return null;
}
