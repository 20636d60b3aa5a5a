// What the API answers, as the console uses it. Names are the API's own.

export interface Listing<T> { kind: string; items: T[] }
export interface Session { user: string; role: string; scopes: string[]; csrf: string; via: string; open?: boolean }
export interface Shard {
  id: number; name: string; address: string; state: "serving" | "joining" | "draining"; up: boolean; problem: string | null;
  slots: number; intervals_and_values: number; home_of: string[]; single_tables: string[];
  rows: number | null; bytes: number | null; moves: number;
}
export interface Move {
  id: number; job: number; state: string; tables: string[]; what: string; from: string; to: string;
  rows_copied: number; rows_estimated: number | null; bytes_copied: number; copied: boolean;
  rows_per_second: number | null; bytes_per_second: number | null; eta_s: number | null; lag_ms: number | null;
  pause_ms: number | null; attempts: number | null; waits_for: string; last_error: string | null;
}
export interface Job {
  id: number; kind: string; summary: string; phase: string; wish: string; created_unix_s: number;
  percent: number; rows_copied: number; rows_estimated: number | null; bytes_copied: number;
  rows_per_second: number; bytes_per_second: number; eta_s: number | null; lag_ms: number | null; lag_gate_ms: number;
  pause_ms: number | null; attempts: number; waits_for: string; last_error: string | null;
  max_mbps: number | null; lag_max_ms: number | null; window: string | null;
  is_over: boolean; verbs: string[]; next_steps: string[]; moves: Move[];
}
export interface JobEvent { unix_s: number; job: number; text: string }
export interface PlannedMove { tables: string[]; what: string; from_name: string; to_name: string; rows: number; bytes: number }
export interface Plan { goal: string; epoch: number; moves: PlannedMove[]; rows: number; bytes: number; minutes: number; notes: string[] }
export interface Started { job: Job | null; plan: Plan }
export interface Count { up: number; all: number }
export interface Reason { code: string; text: string; link: string }
export interface Cluster {
  name: string; version: string; epoch: number; health: { level: "ok" | "warn" | "bad"; sentence: string; reasons: Reason[] };
  shards: Count; proxies: Count; meta_nodes: Count; leader: number | null;
  jobs_running: number; databases: number; tables: number; uptime_s: number; now: Point | null; environment?: string | null;
}
export interface Server {
  shard: string; role: string; address: string; up: boolean; problem: string | null; version: string | null; uptime_s: number | null;
  connections: number | null; connections_max: number | null; lag_ms: number | null; read_only: boolean | null;
}
export interface Proxy {
  id: number; incarnation: number; address: string; version: string; state: string; acknowledged_epoch: number | null;
  renewed_ms_ago: number | null; here: boolean; sessions: number | null;
}
export interface MetaNode { id: number; address: string; role: string; matched_index: number | null; last_index: number | null }
export interface Database { name: string; home: string; collation: string; tables: number; guard: string | null }
export interface TablePart { shard: string; rows: number | null; bytes: number | null; share: string; problem: string | null }
export interface Table {
  database: string; name: string; kind: string; method: string | null; shard_key: string[]; clause: string | null; group: number | null;
  colocated_with: string[]; shards: TablePart[]; rows: number | null; bytes: number | null; skew: number | null; moving: boolean;
}
export interface Point {
  unix_s: number; statements_per_s: number; errors_per_s: number; p50_us: number | null; p99_us: number | null;
  sessions: number; running: number;
}
export interface Series { step_s: number; points: Point[] }
export interface SqlSession {
  id: number; proxy: number; user: string; host: string; database: string | null; command: string; elapsed_ms: number;
  state: string; statement: string | null;
}
export interface Digest {
  id: string; database: string | null; text: string | null; calls: number; errors: number; total_us: number; mean_us: number;
  p50_us: number | null; p99_us: number | null; max_us: number; shards_touched: number; several_shards: number;
}
export interface Digests extends Listing<Digest> { since_unix_s: number; other: Digest | null }
export interface Slow {
  number: number; unix_s: number; ms: number; digest: string; text: string | null; database: string | null; user: string; host: string; session: number;
  error: number | null; shards: { shard: string; ms: number | null }[];
}
export interface Config { format: string; text: string; epoch: number }
export interface AuditEntry {
  seq: number; unix_s: number; user: string; via: string; source: string; operation: string; target: string; phase: string;
  before: string | null; after: string | null; detail: string; hash: string;
}
export interface AuditCheck { intact: boolean; entries: number; head: string; broken_at: number | null }
export interface User { name: string; role: string; created_unix_s: number; disabled: boolean; has_password: boolean }
export interface Token {
  id: string; name: string; user: string; scopes: string[]; created_unix_s: number; expires_unix_s: number | null;
  last_used_unix_s: number | null; secret?: string;
}
export interface Role { name: string; scopes: string[] }
