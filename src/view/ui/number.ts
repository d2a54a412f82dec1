const WHOLE = new Intl.NumberFormat("en-US");
const TENTHS = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A whole number with a comma between thousands. */
export function number(value: number): string {
  return WHOLE.format(Math.round(value));
}

/** A mean: small ones with a decimal. */
export function mean(value: number): string {
  return Math.abs(value) < 100 && !Number.isInteger(value) ? TENTHS.format(value) : number(value);
}

export function counted(value: number, singular: string, plural = `${singular}s`): string {
  return `${number(value)} ${value === 1 ? singular : plural}`;
}

/** Milliseconds as `250 ms` or `1.5 s`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 100_000 ? `${TENTHS.format(ms / 1_000)} s` : `${number(ms / 60_000)} min`;
}

/** US dollars: with two decimals, or below one dollar with two significant digits. */
export function usd(value: number): string {
  if (value === 0) return "$0.00";
  if (value >= 1) return `$${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return `$${value.toFixed(Math.min(12, Math.max(2, 1 - Math.floor(Math.log10(value)))))}`;
}

export function money(value: number | null): string {
  return value === null ? "unknown" : usd(value);
}

export function percent(part: number): string {
  const value = part * 100;
  return `${value > 0 && value < 1 ? "<1" : Math.round(value)}%`;
}

/** A moment in the reader's own time zone. */
export function moment(iso: string): string {
  const date = new Date(iso);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
