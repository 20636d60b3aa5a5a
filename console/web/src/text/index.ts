// The words of the console, in the language that was chosen. Both files have the same keys.
import { language, type Language } from "../state/preferences";
import { useStore } from "../state/store";
import en from "./en.json";
import zh from "./zh.json";

export type Key = keyof typeof en;
type Values = Record<string, string | number>;

const words: Record<Language, Record<Key, string>> = { en, zh };

/** The words of a key; `{name}` is replaced. Where n is 1, `key.one` is taken if there is one. */
export function t(key: Key, values: Values = {}): string {
  const all: Record<string, string> = words[language.get()];
  const one = values["n"] === 1 ? all[`${key}.one`] : undefined;
  return (one ?? all[key] ?? key).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** Words of a key that a server named, or the server's own word. */
export function known(prefix: string, name: string): string {
  const key = `${prefix}.${name.replace(/ /g, "_")}`;
  return key in words.en ? t(key as Key) : name;
}

/** Draws again when the language changes. */
export function useLanguage(): Language {
  return useStore(language);
}

function locale(): string {
  return language.get() === "zh" ? "zh-CN" : "en-GB";
}

export function number(value: number | null | undefined, digits = 0): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value.toLocaleString(locale(), { maximumFractionDigits: digits, minimumFractionDigits: 0 });
}

/** A rate: small ones keep a digit. */
export function rate(value: number | null | undefined): string {
  return number(value, value !== null && value !== undefined && value < 10 ? 1 : 0);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  let unit = 0;
  let left = value;
  while (left >= 1_024 && unit < UNITS.length - 1) {
    left /= 1_024;
    unit += 1;
  }
  return `${number(left, left < 10 && unit > 0 ? 1 : 0)} ${UNITS[unit]}`;
}

export function micros(us: number | null | undefined): string {
  if (us === null || us === undefined) return "–";
  if (us === 0) return "0 ms";
  if (us < 1_000) return `${number(us)} µs`;
  if (us < 1_000_000) return `${number(us / 1_000, us < 10_000 ? 2 : us < 100_000 ? 1 : 0)} ms`;
  return `${number(us / 1e6, 2)} s`;
}

export function millis(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? "–" : micros(ms * 1_000);
}

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  const whole = Math.round(value);
  if (whole < 120) return `${whole} s`;
  if (whole < 7_200) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${Math.round(whole / 3_600)} h`;
  return `${Math.round(whole / 86_400)} d`;
}

export function clock(unix_s: number, with_seconds = true): string {
  return new Date(unix_s * 1_000).toLocaleTimeString(locale(), { hour12: false, hour: "2-digit", minute: "2-digit", ...(with_seconds ? { second: "2-digit" } : {}) });
}

export function moment(unix_s: number | null | undefined): string {
  if (!unix_s) return "–";
  return new Date(unix_s * 1_000).toLocaleString(locale(), { hour12: false, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
