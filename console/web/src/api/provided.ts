// Which parts of the API this server has: by its own description, /openapi.json. A page whose part is
// missing is not in the navigation.
import { Store } from "../state/store";
import { get, post, session } from "./client";
import type { Session } from "./types";

/** What every server has had that serves this console at all. */
const ALWAYS = ["/shards", "/jobs", "/rebalances"];

export const provided = new Store<ReadonlySet<string>>(new Set(ALWAYS));

export function has(path: string): boolean {
  return provided.get().has(path);
}

interface Description { paths?: Record<string, unknown> }

/** Asks what there is and who is here. */
export async function begin(): Promise<void> {
  let paths = ALWAYS;
  const response = await fetch("/openapi.json", { credentials: "same-origin" });
  if (response.ok) {
    const description = (await response.json()) as Description;
    paths = Object.keys(description.paths ?? {}).map((path) => path.replace(/^\/api\/v1/, ""));
  }
  provided.set(new Set(paths));
  if (!has("/session")) {
    // A server without users: whoever reaches it may do everything.
    session.set({ user: "local", role: "admin", scopes: [], csrf: "", via: "open", open: true });
    return;
  }
  await log_in_by_link();
  if (session.get()) return;
  try {
    session.set(await get<Session | null>("/session"));
  } catch {
    session.set(null);
  }
}

/** A link of `shardline up` holds a word that logs in once. */
async function log_in_by_link(): Promise<void> {
  const link = new URLSearchParams(location.search).get("login");
  if (!link) return;
  history.replaceState(null, "", location.pathname + location.hash);
  try {
    session.set(await post<Session>("/login", { link }));
  } catch {
    // The login page says what to do.
  }
}
