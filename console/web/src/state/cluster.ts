// The cluster at a glance: what the server says, or, of a server that says nothing of the whole, what its
// shards and jobs are.
import { has } from "../api/provided";
import type { Cluster, Job, Listing, Reason, Shard } from "../api/types";
import { known, t } from "../text";
import { language } from "./preferences";
import { live_cluster, live_jobs } from "./live";
import { useResource, type Resource } from "./resource";
import { link } from "./route";
import { useStore } from "./store";

const CLUSTER_EVERY_MS = 5_000;
const JOBS_EVERY_MS = 2_000;
const SHARDS_EVERY_MS = 5_000;

export function useShards(): Resource<Listing<Shard>> {
  return useResource<Listing<Shard>>("/shards", SHARDS_EVERY_MS);
}

/** All jobs, the newest first. */
export function useJobs(): { jobs: readonly Job[] | undefined; resource: Resource<Listing<Job>> } {
  const live = useStore(live_jobs);
  const resource = useResource<Listing<Job>>("/jobs", live ? 0 : JOBS_EVERY_MS);
  const jobs = live ?? resource.data?.items;
  return { jobs: jobs ? [...jobs].sort((a, b) => b.id - a.id) : undefined, resource };
}

export function useCluster(): Cluster | undefined {
  const live = useStore(live_cluster);
  const asked = useResource<Cluster>(has("/cluster") && !live ? "/cluster" : null, CLUSTER_EVERY_MS);
  return live ?? asked.data;
}

export interface Why { text: string; href: string | undefined }
export interface Health { level: "ok" | "warn" | "bad"; sentence: string; reasons: Why[] }

/** One sentence, in the language of the console, and what is behind it. */
export function health(cluster: Cluster | undefined, shards: readonly Shard[] | undefined, jobs: readonly Job[]): Health | undefined {
  const reasons = cluster ? cluster.health.reasons.map(reason_text) : derived(shards, jobs);
  if (!cluster && !shards) return undefined;
  const level = cluster?.health.level ?? (shards!.some((shard) => !shard.up) ? "bad" : reasons.length > 0 ? "warn" : "ok");
  const count = cluster?.shards ?? { up: shards!.filter((shard) => shard.up).length, all: shards!.length };
  const sentence = count.up === count.all
    ? level === "ok" ? t("health.ok", { n: count.all }) : t("health.up_but", { n: count.all })
    : t("health.down", { up: count.up, all: count.all });
  return { level, sentence, reasons };
}

/** The server says why in English; in another language the kind of the reason stands before it. */
function reason_text(reason: Reason): Why {
  const kind = known("reason", reason.code);
  const text = language.get() === "en" || kind === reason.code ? reason.text : `${kind}：${reason.text}`;
  return { text, href: page_of(reason.link) };
}

/** Where the console shows what a path of the API is about. */
function page_of(path: string): string | undefined {
  const [, kind, name] = path.split("/");
  if (kind === "shards" && name) return link("topology", name);
  if (kind === "jobs" && name) return link("jobs", name);
  return undefined;
}

function derived(shards: readonly Shard[] | undefined, jobs: readonly Job[]): Why[] {
  const down = (shards ?? []).filter((shard) => !shard.up);
  const failed = jobs.filter((job) => job.phase === "failed");
  return [
    ...down.map((shard) => ({ text: t("health.shard_down", { name: shard.name, why: shard.problem ?? "" }), href: link("topology", shard.name) })),
    ...failed.map((job) => ({ text: t("health.job_failed", { id: job.id, why: job.last_error ?? "" }), href: link("jobs", job.id) })),
  ];
}
