// Prometheus' text form, as far as the console needs it, and the figures between two readings.
import type { Point } from "../api/types";

const STATEMENTS = "shardline_proxy_statements_total";
const ERRORS = "shardline_proxy_errors_total";
const SECONDS = "shardline_proxy_statement_seconds_bucket";
const SESSIONS = "shardline_proxy_sessions";

export class Exposition {
  private sums = new Map<string, number>();
  /** Statements that took at most so many seconds. */
  readonly buckets = new Map<number, number>();

  constructor(readonly unix_s: number, text: string) {
    for (const line of text.split("\n")) {
      const found = /^([a-z_]+)(?:\{([^}]*)\})? (\S+)/.exec(line);
      if (!found) continue;
      const [, name = "", labels = "", value = "0"] = found;
      this.sums.set(name, (this.sums.get(name) ?? 0) + Number(value));
      if (name !== SECONDS) continue;
      const le = /le="([^"]+)"/.exec(labels)?.[1] ?? "+Inf";
      const limit = le === "+Inf" ? Infinity : Number(le);
      this.buckets.set(limit, (this.buckets.get(limit) ?? 0) + Number(value));
    }
  }

  sum(name: string): number {
    return this.sums.get(name) ?? 0;
  }
}

/** The time below which a share of the statements stayed, in microseconds. */
export function quantile(buckets: ReadonlyMap<number, number>, share: number): number | null {
  const limits = [...buckets.keys()].sort((a, b) => a - b);
  const all = buckets.get(Infinity) ?? 0;
  if (all <= 0) return null;
  const wanted = all * share;
  let below = 0;
  let from = 0;
  for (const limit of limits) {
    const count = buckets.get(limit) ?? 0;
    if (count >= wanted) {
      if (limit === Infinity) return from * 1e6;
      return (from + ((limit - from) * (wanted - below)) / Math.max(count - below, 1)) * 1e6;
    }
    below = count;
    from = limit;
  }
  return from * 1e6;
}

export function difference(before: Exposition, now: Exposition): Point {
  const seconds = Math.max(now.unix_s - before.unix_s, 0.001);
  const rate = (name: string): number => Math.max(now.sum(name) - before.sum(name), 0) / seconds;
  const between = new Map<number, number>();
  for (const [limit, count] of now.buckets) between.set(limit, count - (before.buckets.get(limit) ?? 0));
  return {
    unix_s: now.unix_s,
    statements_per_s: rate(STATEMENTS),
    errors_per_s: rate(ERRORS),
    p50_us: quantile(between, 0.5),
    p99_us: quantile(between, 0.99),
    sessions: now.sum(SESSIONS),
    running: 0,
  };
}
