// Requests to the API of the server that this page came from.
import type { Session } from "./types";
import { Store } from "../state/store";

/** Undefined until it is known; null when nobody is logged in. */
export const session = new Store<Session | null | undefined>(undefined);

/** What the server refuses, and why. Status 0: it does not answer. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly hint: string | null) {
    super(message);
  }
}

/** JSON as it is to be sent. Numbers of 64 bits would lose their last digits in a number of JavaScript. */
export class Raw {
  constructor(readonly text: string) {}
}

const ANSWER_MAX_MS = 30_000;
/** A shard that joins gets copies of broadcast tables first. */
const LONG_ANSWER_MAX_MS = 6 * 3_600_000;

async function refusal(response: Response): Promise<ApiError> {
  try {
    const problem = await response.json();
    return new ApiError(response.status, String(problem.code ?? ""), String(problem.message ?? problem.detail ?? response.statusText), problem.hint ?? null);
  } catch {
    return new ApiError(response.status, "", `HTTP ${response.status} ${response.statusText}`, null);
  }
}

let reads = new AbortController();

/** What is being read is of no use any more. */
export function abandon_reads(): void {
  reads.abort();
  reads = new AbortController();
}

async function exchange(method: string, path: string, body: unknown, key: string | undefined, limit_ms: number): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const request: RequestInit = { method, headers, credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(limit_ms) };
  if (method === "GET") request.signal = AbortSignal.any([AbortSignal.timeout(limit_ms), reads.signal]);
  if (method !== "GET") {
    headers["Content-Type"] = "application/json";
    const csrf = session.get()?.csrf;
    if (csrf) headers["X-CSRF-Token"] = csrf;
    if (key) headers["Idempotency-Key"] = key;
    request.body = body instanceof Raw ? body.text : JSON.stringify(body ?? {});
  }
  let response: Response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    throw new ApiError(0, "unreachable", String((error as Error).message), null);
  }
  if (response.ok) return response;
  const refused = await refusal(response);
  if (response.status === 401 && session.get() && !path.endsWith("/login")) session.set(null);
  throw refused;
}

export async function get<T>(path: string): Promise<T> {
  return (await exchange("GET", `/api/v1${path}`, undefined, undefined, ANSWER_MAX_MS)).json() as Promise<T>;
}

/** A change. `key` makes a repetition harmless. */
export async function post<T>(path: string, body?: unknown, key?: string): Promise<T> {
  return (await exchange("POST", `/api/v1${path}`, body, key, LONG_ANSWER_MAX_MS)).json() as Promise<T>;
}

/** The same, with the answer's own text, to be sent back as it is. */
export async function post_with_text<T>(path: string, body: unknown): Promise<{ value: T; text: string }> {
  const answer = await (await exchange("POST", `/api/v1${path}`, body, undefined, LONG_ANSWER_MAX_MS)).text();
  return { value: JSON.parse(answer) as T, text: answer };
}

export async function text(path: string): Promise<string> {
  return (await exchange("GET", path, undefined, undefined, ANSWER_MAX_MS)).text();
}

/** A new key for one change. */
export function fresh_key(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether who is logged in may do what needs this scope. */
export function may(scope: string): boolean {
  const who = session.get();
  return !!who && (who.open === true || who.scopes.includes(scope));
}
