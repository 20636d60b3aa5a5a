// Short messages at the corner, read aloud when they come.
import type { JSX } from "preact";
import { Store, useStore } from "../state/store";
import { Notice, type Tone } from "./basics";

interface Toast { id: number; tone: Tone; text: string }

const SHOWN_MS = 6_000;
const TOASTS_MAX = 4;
const toasts = new Store<readonly Toast[]>([]);
let next = 1;

export function toast(tone: Tone, text: string): void {
  const id = next++;
  toasts.set([...toasts.get(), { id, tone, text }].slice(-TOASTS_MAX));
  window.setTimeout(() => toasts.set(toasts.get().filter((one) => one.id !== id)), SHOWN_MS);
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {useStore(toasts).map((one) => <Notice key={one.id} tone={one.tone}>{one.text}</Notice>)}
    </div>
  );
}
