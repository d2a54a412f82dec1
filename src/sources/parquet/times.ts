/** The days after which the calendar repeats: 400 years. */
const CYCLE_DAYS = 146_097;
const DAY_SECONDS = 86_400;

/** A day as ISO 8601, such as `2026-11-26`. @param days since 1970-01-01 */
export function dateText(days: number): string {
  // Dates of JavaScript end in the year 275,760, those of Parquet later.
  const cycles = Math.floor(days / CYCLE_DAYS);
  const within = new Date((days - cycles * CYCLE_DAYS) * DAY_SECONDS * 1000).toISOString();
  const year = Number(within.slice(0, 4)) + cycles * 400;
  const digits = String(Math.abs(year));
  if (year >= 0 && year <= 9999) return `${digits.padStart(4, "0")}${within.slice(4, 10)}`;
  return `${year < 0 ? "-" : "+"}${digits.padStart(6, "0")}${within.slice(4, 10)}`;
}

/**
 * A time as ISO 8601, such as `2026-11-26T08:30:00.250Z`. A fraction of a second is left out if it is 0.
 * @param value since 1970, in units of 10 to the power of -`digits` seconds
 * @param isUtc false for a time of no time zone, which gets no `Z`
 */
export function timestampText(value: number | bigint, digits: number, isUtc: boolean): string {
  const { seconds, fraction } = split(value, digits);
  const days = Math.floor(seconds / DAY_SECONDS);
  return `${dateText(days)}T${clock(seconds - days * DAY_SECONDS)}${fraction}${isUtc ? "Z" : ""}`;
}

/** A time of a day, such as `08:30:00`. @param value since midnight, in units of 10 to the power of -`digits` seconds */
export function timeText(value: number | bigint, digits: number): string {
  const { seconds, fraction } = split(value, digits);
  return `${clock(seconds)}${fraction}`;
}

/** Whole seconds, rounded down, and the fraction as `.250`; empty if it is 0. */
function split(value: number | bigint, digits: number): { seconds: number; fraction: string } {
  const units = 10 ** digits;
  const rest = Number(typeof value === "bigint" ? value % BigInt(units) : value % units);
  const above = rest < 0 ? rest + units : rest;
  const seconds = typeof value === "bigint" ? Number((value - BigInt(above)) / BigInt(units)) : (value - above) / units;
  return { seconds, fraction: above === 0 ? "" : `.${String(above).padStart(digits, "0")}` };
}

function clock(seconds: number): string {
  const two = (number: number) => String(number).padStart(2, "0");
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
