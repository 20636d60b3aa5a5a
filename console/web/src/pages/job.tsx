// One job: its phases, how far each move is, how fast it may be, what happened to it.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, may, post } from "../api/client";
import { has } from "../api/provided";
import type { Job, JobEvent, Listing, Move } from "../api/types";
import { live_jobs } from "../state/live";
import { useResource } from "../state/resource";
import { link } from "../state/route";
import { useStore } from "../state/store";
import { bytes, clock, known, millis, moment, number, seconds, t } from "../text";
import { Badge, Button, Card, Field, Figure, Input, Loading, Meter, Notice, Problem } from "../ui/basics";
import { ChangeDrawer, type Change } from "../ui/drawer";
import { Grid, type Column } from "../ui/grid";
import { Lines } from "../ui/lines";
import { Page } from "../ui/page";
import { toast } from "../ui/toasts";
import { JobVerbs } from "./job_verbs";
import { is_copying, Phase } from "./job_line";
import { Stepper } from "./stepper";

const JOB_EVERY_MS = 1_000;
const EVENTS_EVERY_MS = 2_000;
const RATES_MAX = 600;

export function JobPage({ id }: { id: string }): JSX.Element {
  const path = `/jobs/${encodeURIComponent(id)}`;
  const asked = useResource<Job>(path, has("/events") ? 5_000 : JOB_EVERY_MS);
  const live = useStore(live_jobs)?.find((job) => String(job.id) === id);
  const events = useResource<Listing<JobEvent>>(`${path}/events`, EVENTS_EVERY_MS);
  const [change, set_change] = useState<Change>();
  const job = live ?? asked.data;
  const rates = useRates(job);
  return (
    <Page title={t("job.name", { id })} {...(job ? { lead: job.summary } : {})} above={<a href={link("jobs")}>{t("nav.jobs")}</a>}
      beside={job ? <Phase phase={job.phase} /> : null}
      actions={job ? <JobVerbs job={job} ask={set_change} after={asked.refresh} /> : null}
      commands={{ cli: `shardline rebalance status ${id}`, sql: `SELECT * FROM shardline.moves WHERE job = ${id}`, http: { method: "GET", path } }}>
      {asked.error && !job ? <Problem error={asked.error} /> : null}
      {!job ? asked.error ? null : <Loading /> : (
        <>
          {job.last_error ? <Notice tone={job.phase === "failed" ? "bad" : "warn"}><b>{t("job.last_error")}</b><div>{job.last_error}</div></Notice> : null}
          <Card title={t("job.progress")} note={status_line(job)}><Stepper job={job} /><Figures job={job} /></Card>
          <Moves job={job} />
          <div class="main-side">
            <div class="stack">
              {rates.times.length > 1 ? (
                <Lines title={t("job.rate")} note={t("job.rate.note")} times={rates.times} format={(value) => `${bytes(value)}/s`} fill
                  lines={[{ label: t("job.rate.line"), colour: 1, values: rates.values }]} waiting={t("chart.waiting")} />
              ) : null}
              <Events events={events.data?.items ?? []} />
            </div>
            <div class="stack">{job.is_over ? null : <Throttle job={job} refresh={asked.refresh} />}<About job={job} /></div>
          </div>
        </>
      )}
      {change ? <ChangeDrawer change={change} close={() => { set_change(undefined); asked.refresh(); events.refresh(); }} /> : null}
    </Page>
  );
}

function status_line(job: Job): string {
  if (job.is_over) return t("job.over");
  if (job.phase === "watching") return t("job.watching");
  if (job.phase === "ready") return t("job.ready");
  if (job.waits_for !== "") return t("job.waits_for", { what: job.waits_for });
  return t("job.goes_on");
}

/** The rates that this page has seen of the job. */
function useRates(job: Job | undefined): { times: number[]; values: number[] } {
  const kept = useRef<{ times: number[]; values: number[] }>({ times: [], values: [] });
  useEffect(() => {
    if (!job || job.is_over || job.bytes_per_second <= 0) return;
    const { times, values } = kept.current;
    kept.current = { times: [...times, Date.now() / 1_000].slice(-RATES_MAX), values: [...values, job.bytes_per_second].slice(-RATES_MAX) };
  }, [job]);
  return kept.current;
}

function Figures({ job }: { job: Job }): JSX.Element {
  const copying = is_copying(job);
  const [rate = "", unit = ""] = bytes(job.bytes_per_second).split(" ");
  const behind = job.lag_ms !== null && job.lag_ms > job.lag_gate_ms;
  return (
    <div class="figures">
      <Figure label={t("job.copied")} value={number(job.percent, job.percent < 100 ? 1 : 0)} unit="%" note={job.eta_s === null || !copying ? "" : t("job.eta", { time: seconds(job.eta_s) })} />
      <Figure label={t("table.rows")} value={number(job.rows_copied)} note={job.rows_estimated === null ? "" : t("job.of_about", { rows: number(job.rows_estimated) })} />
      <Figure label={t("job.rate")} value={copying ? rate : "–"} unit={copying ? `${unit}/s` : undefined} note={job.max_mbps === null ? t("job.no_limit") : t("job.limit", { mbps: job.max_mbps })} />
      <Figure label={t("job.lag")} value={millis(job.lag_ms)} note={behind ? t("job.lag.over", { time: millis(job.lag_gate_ms) }) : t("job.lag.gate", { time: millis(job.lag_gate_ms) })} />
      <Figure label={t("job.pause")} value={millis(job.pause_ms)} note={t("job.pause.note")} />
    </div>
  );
}

function Moves({ job }: { job: Job }): JSX.Element | null {
  if (job.moves.length === 0) return null;
  const columns: Column<Move>[] = [
    { key: "pair", label: t("job.from_to"), cell: (one) => <b class="nowrap">{one.from} → {one.to}</b>, by: (one) => `${one.from} ${one.to}` },
    { key: "tables", label: t("nav.tables"), cell: (one) => one.tables.join(", ") },
    { key: "what", label: t("job.units"), cell: (one) => <span class="number">{one.what}</span> },
    { key: "state", label: t("table.state"), cell: (one) => known("move", one.state), by: (one) => one.state },
    { key: "progress", label: t("job.copied"), cell: (one) => <MoveProgress move={one} /> },
    { key: "rows", label: t("table.rows"), end: true, cell: (one) => number(one.rows_copied), by: (one) => one.rows_copied },
    { key: "lag", label: t("job.lag"), end: true, cell: (one) => millis(one.lag_ms), by: (one) => one.lag_ms ?? -1 },
  ];
  return <Card title={t("job.moves")} note={t("job.moves.note", { n: job.moves.length })}><Grid caption={t("job.moves")} columns={columns} rows={job.moves} id={(one) => one.id} /></Card>;
}

function MoveProgress({ move }: { move: Move }): JSX.Element {
  const share = move.copied ? 1 : move.rows_estimated ? move.rows_copied / move.rows_estimated : 0;
  return (
    <span class="with-meter">
      <Meter share={share} {...(move.copied ? { tone: "ok" as const } : {})} label={t("job.move_copied", { from: move.from, to: move.to })} />
      <span class="number">{number(Math.min(share, 1) * 100)} %</span>
    </span>
  );
}

function Events({ events }: { events: readonly JobEvent[] }): JSX.Element {
  return (
    <Card title={t("job.events")} note={t("job.events.note")} padded>
      {events.length === 0 ? <p class="muted small">{t("job.events.none")}</p> : (
        <ol class="timeline">
          {[...events].reverse().map((event, index) => <li key={`${event.unix_s} ${index}`}><time>{clock(event.unix_s)}</time><span>{event.text}</span></li>)}
        </ol>
      )}
    </Card>
  );
}

function About({ job }: { job: Job }): JSX.Element {
  return (
    <Card title={t("job.about")} padded>
      <dl class="facts">
        <dt>{t("job.kind")}</dt><dd>{known("kind", job.kind)}</dd>
        <dt>{t("job.made")}</dt><dd>{moment(job.created_unix_s)}</dd>
        <dt>{t("job.wish")}</dt><dd>{known("wish", job.wish)}</dd>
        <dt>{t("job.attempts")}</dt><dd>{number(job.attempts)}</dd>
        <dt>{t("job.window")}</dt><dd>{job.window ?? t("job.always")}</dd>
      </dl>
    </Card>
  );
}

const WINDOW = /^\d\d:\d\d-\d\d:\d\d$/;

function Throttle({ job, refresh }: { job: Job; refresh: () => void }): JSX.Element {
  const [mbps, set_mbps] = useState(job.max_mbps === null ? "" : String(job.max_mbps));
  const [window_text, set_window] = useState(job.window ?? "");
  const [busy, set_busy] = useState(false);
  const [error, set_error] = useState<ApiError>();
  const wrong_rate = mbps !== "" && !/^\d{1,5}$/.test(mbps) ? t("throttle.rate.wrong") : undefined;
  const wrong_window = window_text !== "" && !WINDOW.test(window_text) ? t("throttle.window.wrong") : undefined;
  const same = mbps === (job.max_mbps === null ? "" : String(job.max_mbps)) && window_text === (job.window ?? "");
  const apply = async (): Promise<void> => {
    set_busy(true);
    set_error(undefined);
    try {
      await post<Job>(`/jobs/${job.id}:throttle`, { max_mbps: mbps === "" ? 0 : Number(mbps), window: window_text === "" ? "always" : window_text });
      toast("ok", t("throttle.done"));
      refresh();
    } catch (problem) {
      set_error(problem instanceof ApiError ? problem : new ApiError(0, "", String(problem), null));
    }
    set_busy(false);
  };
  const blocked = may("operate") ? wrong_rate ?? wrong_window ?? (same ? t("throttle.same") : undefined) : t("may.operate");
  return (
    <Card title={t("throttle.title")} tools={job.max_mbps === null ? <Badge tone="quiet">{t("job.no_limit")}</Badge> : <Badge tone="info">{t("job.limit", { mbps: job.max_mbps })}</Badge>} padded>
      <form class="stack" onSubmit={(event) => { event.preventDefault(); if (!blocked) void apply(); }}>
        <Field id="throttle-rate" label={t("throttle.rate")} wrong={wrong_rate} note={t("throttle.rate.note")}><Input id="throttle-rate" value={mbps} onInput={set_mbps} inputmode="numeric" noted /></Field>
        <Field id="throttle-window" label={t("throttle.window")} wrong={wrong_window} note={t("throttle.window.note")}><Input id="throttle-window" value={window_text} onInput={set_window} placeholder="01:00-05:00" noted /></Field>
        {error ? <Problem error={error} /> : null}
        <div class="row"><Button submit label={t("throttle.apply")} busy={busy} blocked={blocked} /></div>
      </form>
    </Card>
  );
}
