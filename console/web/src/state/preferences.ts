// Language and theme: what the browser prefers, or what was chosen here.
import { Store } from "./store";

export type Language = "en" | "zh";
export type Theme = "auto" | "light" | "dark";

function stored<T extends string>(name: string, allowed: readonly T[]): T | undefined {
  try {
    const value = localStorage.getItem(`shardline.${name}`);
    return allowed.find((one) => one === value);
  } catch {
    return undefined;
  }
}

function store(name: string, value: string): void {
  try {
    localStorage.setItem(`shardline.${name}`, value);
  } catch {
    // A browser that keeps nothing forgets the choice.
  }
}

export const language = new Store<Language>(
  stored("language", ["en", "zh"]) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"),
);
export const theme = new Store<Theme>(stored("theme", ["auto", "light", "dark"]) ?? "auto");
/** What is shown now. */
export const shown_theme = new Store<"light" | "dark">("light");

const prefers_dark = matchMedia("(prefers-color-scheme: dark)");

function show(): void {
  const chosen = theme.get();
  const next = chosen === "auto" ? (prefers_dark.matches ? "dark" : "light") : chosen;
  document.documentElement.dataset["theme"] = next;
  document.documentElement.lang = language.get() === "zh" ? "zh-CN" : "en";
  shown_theme.set(next);
}

export function choose_language(next: Language): void {
  store("language", next);
  language.set(next);
  show();
}

export function choose_theme(next: Theme): void {
  store("theme", next);
  theme.set(next);
  show();
}

prefers_dark.addEventListener("change", show);
show();
