// Something that is read from the server again and again while somebody looks at it.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get } from "../api/client";

export interface Resource<T> {
  data: T | undefined;
  error: ApiError | undefined;
  /** When the data came, in milliseconds since 1970. */
  at: number;
  refresh: () => void;
}

interface Kept { data: unknown; at: number }

/** The last answers, so that a page is there at once when one comes back to it. */
const kept = new Map<string, Kept>();
const KEPT_MAX = 64;

function keep(path: string, data: unknown): void {
  kept.delete(path);
  kept.set(path, { data, at: Date.now() });
  const oldest = kept.keys().next();
  if (kept.size > KEPT_MAX && !oldest.done) kept.delete(oldest.value);
}

export function forget_all(): void {
  kept.clear();
}

/** Reads a path now and, while the page is seen, again after so many milliseconds; null reads nothing. */
export function useResource<T>(path: string | null, every_ms = 0): Resource<T> {
  const [, draw] = useState(0);
  const error = useRef<ApiError | undefined>(undefined);
  const again = useRef<() => void>(() => {});
  useEffect(() => {
    error.current = undefined;
    if (path === null) return;
    let gone = false;
    let timer = 0;
    let asking = false;
    const ask = async (): Promise<void> => {
      if (asking) return;
      asking = true;
      window.clearTimeout(timer);
      try {
        keep(path, await get<T>(path));
        error.current = undefined;
      } catch (problem) {
        error.current = problem instanceof ApiError ? problem : new ApiError(0, "", String(problem), null);
      }
      asking = false;
      if (gone) return;
      draw((n) => n + 1);
      if (every_ms > 0) timer = window.setTimeout(() => void tick(), every_ms);
    };
    const tick = async (): Promise<void> => {
      if (!document.hidden) await ask();
    };
    const seen = (): void => {
      if (!document.hidden && every_ms > 0) void ask();
    };
    again.current = () => void ask();
    document.addEventListener("visibilitychange", seen);
    void ask();
    return () => {
      gone = true;
      window.clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [path, every_ms]);
  const found = path === null ? undefined : kept.get(path);
  return { data: found?.data as T | undefined, error: error.current, at: found?.at ?? 0, refresh: () => again.current() };
}
