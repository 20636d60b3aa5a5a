// The cluster at a glance: what the server says, or, of a server that says nothing of the whole, what its
// shards and jobs are.
import { has } from "../api/provided";
import type { Cluster, Job, Listing, Reason, Shard } from "../api/types";
import { t } from "../text";
import { live_cluster, live_jobs } from "./live";
import { useResource, type Resource } from "./resource";
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

export interface Health { level: "ok" | "warn" | "bad"; sentence: string; reasons: string[] }

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

function reason_text(reason: Reason): string {
  return reason.text;
}

function derived(shards: readonly Shard[] | undefined, jobs: readonly Job[]): string[] {
  const of_shards = (shards ?? []).flatMap((shard) => {
    if (!shard.up) return [t("health.shard_down", { name: shard.name, why: shard.problem ?? "" })];
    return [];
  });
  const failed = jobs.filter((job) => job.phase === "failed").map((job) => t("health.job_failed", { id: job.id, why: job.last_error ?? "" }));
  return [...of_shards, ...failed];
}
