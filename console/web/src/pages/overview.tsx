// The overview: is it well, how much does it do, what is going on.
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { has } from "../api/provided";
import type { Job, Point, Series, Shard } from "../api/types";
import { health, useCluster, useJobs, useShards, type Health } from "../state/cluster";
import { points as live_points } from "../state/live";
import { useResource } from "../state/resource";
import { link } from "../state/route";
import { useStore } from "../state/store";
import { bytes, micros, number, rate, seconds, t } from "../text";
import { Badge, Button, Card, Empty, Figure, Loading, Problem, Segments } from "../ui/basics";
import { Grid, type Column } from "../ui/grid";
import { Icon } from "../ui/icon";
import { Lines } from "../ui/lines";
import { Page } from "../ui/page";
import { JobLine } from "./job_line";
import { ShardState } from "./shard_state";

const RANGES = [10, 60, 360, 1_440, 10_080] as const;
const SERIES_EVERY_MS = 10_000;
const AVERAGED_S = 5;
const JOBS_SHOWN = 5;

export function Overview(): JSX.Element {
  const cluster = useCluster();
  const shards = useShards();
  const { jobs = [] } = useJobs();
  const found = health(cluster, shards.data?.items, jobs);
  const commands = { cli: has("/cluster") ? "shardline cluster show" : "shardline status -w", sql: "SHOW SHARDS", http: { method: "GET", path: has("/cluster") ? "/cluster" : "/shards" } as const };
  return (
    <Page title={t("nav.overview")} commands={commands}>
      {shards.error && !found ? <Problem error={shards.error} /> : null}
      {found ? <Now found={found} uptime_s={cluster?.uptime_s} /> : shards.error ? null : <Loading />}
      <Charts />
      <div class="two">
        <Jobs jobs={jobs} />
        <Shards shards={shards.data?.items} />
      </div>
    </Page>
  );
}

function mean(points: readonly Point[], of: (point: Point) => number | null): number | null {
  const values = points.map(of).filter((value): value is number => value !== null);
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function Now({ found, uptime_s }: { found: Health; uptime_s: number | undefined }): JSX.Element {
  const points = useStore(live_points);
  const newest = points.at(-1)?.unix_s ?? 0;
  const last = points.filter((point) => point.unix_s > newest - AVERAGED_S);
  const errors = mean(last, (point) => point.errors_per_s);
  const p99 = micros(mean(last, (point) => point.p99_us)).split(" ");
  const p50 = mean(last, (point) => point.p50_us);
  return (
    <section class="card" aria-label={t("overview.now")}>
      <div class={`health ${found.level}`}>
        <span class="glyph"><Icon name={found.level === "ok" ? "check" : found.level === "warn" ? "warn" : "bad"} size={22} /></span>
        <div>
          <p class="sentence">{found.sentence}</p>
          {found.reasons.length > 0 ? <ul>{found.reasons.map(({ text, href }) => <li key={text}>{href ? <a href={href}>{text}</a> : text}</li>)}</ul>
            : <p class="detail">{uptime_s === undefined ? t("overview.nothing_to_do") : t("overview.nothing_to_do_since", { time: seconds(uptime_s) })}</p>}
        </div>
      </div>
      <div class="figures">
        <Figure label={t("figure.statements")} value={rate(mean(last, (point) => point.statements_per_s))} unit={t("unit.per_s")} note={t("figure.last_seconds", { n: AVERAGED_S })} />
        <Figure label={t("figure.p99")} value={p99[0] ?? "–"} unit={p99[1]} note={p50 === null ? "" : t("figure.half_below", { time: micros(p50) })} />
        <Figure label={t("figure.errors")} value={rate(errors)} unit={t("unit.per_s")} note={errors ? "" : errors === 0 ? t("figure.no_errors") : ""} />
        <Figure label={t("figure.sessions")} value={number(points.at(-1)?.sessions ?? null)} note={t("figure.connected")} />
      </div>
    </section>
  );
}

function Charts(): JSX.Element {
  const [minutes, choose] = useState<number>(10);
  const recent = useStore(live_points);
  const stored = has("/metrics/series");
  const series = useResource<Series>(stored && minutes > 10 ? `/metrics/series?minutes=${minutes}` : null, SERIES_EVERY_MS);
  const points = minutes > 10 ? (series.data?.points ?? []) : recent;
  const data = useMemo(() => ({
    times: points.map((point) => point.unix_s),
    load: [
      { label: t("figure.statements"), colour: 1 as const, values: points.map((point) => point.statements_per_s) },
      { label: t("figure.errors"), colour: 2 as const, values: points.map((point) => point.errors_per_s) },
    ],
    latency: [
      { label: "p50", colour: 3 as const, values: points.map((point) => point.p50_us) },
      { label: "p99", colour: 4 as const, values: points.map((point) => point.p99_us) },
    ],
  }), [points]);
  const options = RANGES.map((range) => ({ value: String(range), label: t(`range.${range}`) }));
  return (
    <>
      {stored ? <div class="row apart"><h2>{t("overview.over_time")}</h2><Segments label={t("range.label")} value={String(minutes)} options={options} choose={(value) => choose(Number(value))} /></div> : null}
      <div class="two">
        <Lines title={t("chart.load")} note={t("chart.load.note")} times={data.times} lines={data.load} fill format={rate} waiting={t("chart.waiting")} />
        <Lines title={t("chart.latency")} note={t("chart.latency.note")} times={data.times} lines={data.latency} least={1_000} format={micros} waiting={t("chart.waiting")} />
      </div>
    </>
  );
}

function Jobs({ jobs }: { jobs: readonly Job[] }): JSX.Element {
  const shown = [...jobs].sort((a, b) => Number(a.is_over) - Number(b.is_over) || b.id - a.id).slice(0, JOBS_SHOWN);
  return (
    <Card title={t("nav.jobs")} note={t("overview.jobs.note")} tools={<a class="button slim" href={link("jobs")}>{t("action.all")}</a>}>
      {shown.length === 0 ? (
        <Empty icon="jobs" title={t("jobs.none")} action={<a class="button" href={link("rebalance")}>{t("jobs.plan")}</a>}>{t("jobs.none.hint")}</Empty>
      ) : <div class="card-body stack">{shown.map((job) => <JobLine key={job.id} job={job} />)}</div>}
    </Card>
  );
}

function Shards({ shards }: { shards: readonly Shard[] | undefined }): JSX.Element {
  if (!shards) return <Loading />;
  const columns: Column<Shard>[] = [
    { key: "name", label: t("shard"), cell: (shard) => <a href={link("topology", shard.name)}><b>{shard.name}</b></a>, by: (shard) => shard.name },
    { key: "state", label: t("table.state"), cell: (shard) => <ShardState shard={shard} /> },
    { key: "rows", label: t("table.rows"), end: true, cell: (shard) => number(shard.rows), by: (shard) => shard.rows ?? -1 },
    { key: "bytes", label: t("table.size"), end: true, cell: (shard) => bytes(shard.bytes), by: (shard) => shard.bytes ?? -1 },
  ];
  const moving = shards.filter((shard) => shard.moves > 0).length;
  return (
    <Card title={t("nav.shards")} note={t("overview.shards.note")} tools={moving > 0 ? <Badge tone="info">{t("shards.moving", { n: moving })}</Badge> : <a class="button slim" href={link("topology")}>{t("action.all")}</a>}>
      <Grid caption={t("nav.shards")} columns={columns} rows={shards} id={(shard) => shard.id} sorted={{ key: "name", down: false }}
        empty={<Empty icon="topology" title={t("shards.none")} action={<Button label={t("shards.add")} onClick={() => { location.hash = link("topology"); }} />}>{t("shards.none.hint")}</Empty>} />
    </Card>
  );
}
