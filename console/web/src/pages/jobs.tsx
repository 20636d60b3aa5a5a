// The jobs of the cluster: what runs, what ran.
import type { JSX } from "preact";
import { may } from "../api/client";
import type { Job } from "../api/types";
import { useJobs } from "../state/cluster";
import { link } from "../state/route";
import { bytes, moment, number, seconds, t } from "../text";
import { Card, Empty, Loading, Meter, Problem } from "../ui/basics";
import { Grid, type Column } from "../ui/grid";
import { Icon } from "../ui/icon";
import { Page } from "../ui/page";
import { is_copying, Phase } from "./job_line";

export function RebalanceLink(): JSX.Element {
  return may("change")
    ? <a class="button primary" href={link("rebalance")}><Icon name="plus" size={16} />{t("jobs.plan")}</a>
    : <span class="button" aria-disabled="true" title={t("may.change")}>{t("jobs.plan")}</span>;
}

export function Jobs(): JSX.Element {
  const { jobs, resource } = useJobs();
  const columns: Column<Job>[] = [
    { key: "id", label: t("job"), cell: (job) => <a href={link("jobs", job.id)}><b>{t("job.name", { id: job.id })}</b></a>, by: (job) => job.id },
    { key: "summary", label: t("job.what"), cell: (job) => job.summary },
    { key: "phase", label: t("job.phase"), cell: (job) => <Phase phase={job.phase} />, by: (job) => job.phase },
    { key: "progress", label: t("job.copied"), cell: (job) => <Progress job={job} /> },
    { key: "rows", label: t("table.rows"), end: true, cell: (job) => number(job.rows_copied), by: (job) => job.rows_copied },
    { key: "size", label: t("table.size"), end: true, cell: (job) => bytes(job.bytes_copied), by: (job) => job.bytes_copied },
    { key: "made", label: t("job.made"), end: true, cell: (job) => <span class="nowrap">{moment(job.created_unix_s)}</span>, by: (job) => job.created_unix_s },
  ];
  const groups = [
    { title: t("jobs.running"), rows: (jobs ?? []).filter((job) => !job.is_over) },
    { title: t("jobs.over"), rows: (jobs ?? []).filter((job) => job.is_over) },
  ];
  return (
    <Page title={t("nav.jobs")} lead={t("jobs.lead")} actions={<RebalanceLink />}
      commands={{ cli: "shardline job list", sql: "SHOW JOBS", http: { method: "GET", path: "/jobs" } }}>
      {resource.error && !jobs ? <Problem error={resource.error} /> : null}
      {!jobs ? resource.error ? null : <Loading /> : jobs.length === 0 ? (
        <Card><Empty icon="jobs" title={t("jobs.none")} action={<RebalanceLink />}>{t("jobs.none.hint")}</Empty></Card>
      ) : groups.filter((group) => group.rows.length > 0).map((group) => (
        <Card key={group.title} title={group.title}>
          <Grid caption={group.title} columns={columns} rows={group.rows} id={(job) => job.id} sorted={{ key: "id", down: true }} />
        </Card>
      ))}
    </Page>
  );
}

function Progress({ job }: { job: Job }): JSX.Element {
  if (!is_copying(job)) return <span class="muted">{job.percent >= 100 ? "100 %" : "–"}</span>;
  return (
    <span class="with-meter">
      <Meter share={job.percent / 100} label={t("job.copied")} />
      <span class="number">{number(job.percent)} %{job.eta_s === null ? "" : ` · ${seconds(job.eta_s)}`}</span>
    </span>
  );
}
