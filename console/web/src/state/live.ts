// The figures of the last minutes: from the server's stream of events, or, of a server without one, from
// its Prometheus metrics, read every two seconds.
import { get, text } from "../api/client";
import { has } from "../api/provided";
import type { Cluster, Job, Point, Series, Slow } from "../api/types";
import { Exposition, difference } from "./exposition";
import { Store } from "./store";

const POINTS_MAX = 600;
const SLOW_MAX = 100;
const SCRAPE_EVERY_MS = 2_000;
const BREAK_NOTED_MS = 8_000;

/** Points of the last ten minutes, the newest last. */
export const points = new Store<readonly Point[]>([]);
export const live_jobs = new Store<readonly Job[] | undefined>(undefined);
export const live_cluster = new Store<Cluster | undefined>(undefined);
export const live_slow = new Store<readonly Slow[]>([]);
/** Whether figures come. */
export const connected = new Store<boolean>(true);

let stop_current: (() => void) | undefined;

export function add_point(point: Point): void {
  const last = points.get().at(-1);
  if (last && last.unix_s >= point.unix_s) return;
  points.set([...points.get().slice(1 - POINTS_MAX), point]);
}

/** Begins to follow the server; a second call begins anew. */
export function follow(): void {
  stop_current?.();
  stop_current = has("/events") ? follow_events() : has("/metrics/series") ? () => {} : scrape();
}

export function stop_following(): void {
  stop_current?.();
  stop_current = undefined;
  points.set([]);
  live_jobs.set(undefined);
  live_cluster.set(undefined);
  live_slow.set([]);
}

function follow_events(): () => void {
  void get<Series>("/metrics/series?minutes=10").then(
    (series) => points.set(series.points.slice(-POINTS_MAX)),
    () => {},
  );
  const source = new EventSource("/api/v1/events");
  const on = <T>(name: string, use: (value: T) => void): void =>
    source.addEventListener(name, (event) => use(JSON.parse((event as MessageEvent<string>).data) as T));
  on<Point>("metrics", add_point);
  on<Job[]>("jobs", (jobs) => live_jobs.set(jobs));
  on<Cluster>("cluster", (cluster) => live_cluster.set(cluster));
  on<Slow>("slow", (slow) => live_slow.set([slow, ...live_slow.get()].slice(0, SLOW_MAX)));
  // The server ends a stream now and then, and the browser comes again: that is no break.
  let patience = 0;
  source.onopen = () => {
    window.clearTimeout(patience);
    patience = 0;
    connected.set(true);
  };
  source.onerror = () => {
    if (patience === 0) patience = window.setTimeout(() => connected.set(false), BREAK_NOTED_MS);
  };
  return () => {
    window.clearTimeout(patience);
    source.close();
  };
}

function scrape(): () => void {
  let before: Exposition | undefined;
  let gone = false;
  const once = async (): Promise<void> => {
    if (document.hidden) return;
    try {
      const now = new Exposition(Date.now() / 1_000, await text("/metrics"));
      if (gone) return;
      if (before) add_point(difference(before, now));
      before = now;
      connected.set(true);
    } catch {
      before = undefined;
      connected.set(false);
    }
  };
  void once();
  const timer = window.setInterval(() => void once(), SCRAPE_EVERY_MS);
  return () => {
    gone = true;
    window.clearInterval(timer);
  };
}
