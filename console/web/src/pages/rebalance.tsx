// The wizard that moves data: what is wanted, the plan with its cost, the start.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { fresh_key, may, post, post_with_text, Raw } from "../api/client";
import type { Plan, PlannedMove, Shard, Started } from "../api/types";
import { useShards } from "../state/cluster";
import { go, link } from "../state/route";
import { useWork } from "../state/work";
import { bytes, number, seconds, t } from "../text";
import { Button, Card, Choices, Empty, Field, Figure, Input, Notice, Problem } from "../ui/basics";
import { CommandList, type Commands } from "../ui/drawer";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";

type Goal = "all" | "drain";
type By = "slots" | "rows" | "bytes";
type Until = "moved" | "ready" | "finished";
interface Wanted { goal: Goal; drain: string; by: By; tables: string }

function request(wanted: Wanted, mbps: string): Record<string, unknown> {
  const tables = wanted.tables.split(/[\s,]+/).filter((one) => one !== "");
  return {
    ...(wanted.goal === "all" ? { all: true, by: wanted.by } : { drain: wanted.drain }),
    ...(tables.length > 0 ? { tables } : {}),
    ...(mbps === "" ? {} : { max_mbps: Number(mbps) }),
  };
}

function words(wanted: Wanted): string[] {
  const tables = wanted.tables.split(/[\s,]+/).filter((one) => one !== "");
  return [
    ...(wanted.goal === "all" ? ["--all", ...(wanted.by === "slots" ? [] : ["--by", wanted.by])] : ["--drain", wanted.drain]),
    ...tables.flatMap((table) => ["--table", table]),
  ];
}

function sql_words(wanted: Wanted, until: Until): string {
  const tables = wanted.tables.split(/[\s,]+/).filter((one) => one !== "");
  const parts = [wanted.goal === "all" ? "all" : `drain=${wanted.drain}`, ...(wanted.goal === "all" && wanted.by !== "slots" ? [`by=${wanted.by}`] : []), ...tables.map((table) => `table=${table}`), ...(until === "moved" ? [] : [`until=${until}`])];
  return parts.map((part) => `'${part}'`).join(", ");
}

export function Rebalance(): JSX.Element {
  const shards = useShards();
  const [wanted, set_wanted] = useState<Wanted>({ goal: "all", drain: "", by: "slots", tables: "" });
  const [made, set_made] = useState<{ value: Plan; text: string }>();
  const [mbps, set_mbps] = useState("");
  const [window_text, set_window] = useState("");
  const [until, set_until] = useState<Until>("moved");
  const { busy, error, run } = useWork();
  const plan = made?.value;
  const change = (part: Partial<Wanted>): void => { set_wanted({ ...wanted, ...part }); set_made(undefined); };
  const wrong_rate = mbps !== "" && !/^\d{1,5}$/.test(mbps) ? t("throttle.rate.wrong") : undefined;
  const make = (): Promise<void> => run(async () => set_made(await post_with_text<Plan>("/rebalances:plan", request(wanted, mbps))));
  const throttle = { ...(mbps === "" ? {} : { max_mbps: Number(mbps) }), ...(window_text === "" ? {} : { window: window_text }) };
  const start = (): Promise<void> => run(async () => {
    const body = new Raw(`{"plan":${made?.text ?? "null"},"until":${JSON.stringify(until)},"throttle":${JSON.stringify(throttle)}}`);
    const started = await post<Started>("/rebalances", body, fresh_key());
    if (started.job) go("jobs", started.job.id);
  });
  const flags = [...words(wanted), ...(until === "moved" ? [] : ["--until", until]), ...(mbps === "" ? [] : ["--max-mbps", mbps]), ...(window_text === "" ? [] : ["--window", window_text])].join(" ");
  const same: Commands = plan
    ? { cli: `shardline rebalance start ${flags}`, sql: mbps === "" && window_text === "" ? `CALL shardline.rebalance_start(${sql_words(wanted, until)})` : undefined, http: { method: "POST", path: "/rebalances", body: { goal: request(wanted, mbps), until, throttle } } }
    : { cli: `shardline rebalance plan ${words(wanted).join(" ")}`, sql: `CALL shardline.rebalance_plan(${sql_words(wanted, "moved")})`, http: { method: "POST", path: "/rebalances:plan", body: request(wanted, mbps) } };
  const blocked = !may("change") ? t("may.change") : wanted.goal === "drain" && wanted.drain === "" ? t("plan.which_shard") : undefined;
  return (
    <Page title={t("plan.title")} lead={t("plan.lead")} above={<a href={link("jobs")}>{t("nav.jobs")}</a>}>
      <div class="main-side">
        <div class="stack">
          <Card title={`1 · ${t("plan.step.goal")}`} padded><Goals wanted={wanted} change={change} shards={shards.data?.items ?? []} /></Card>
          {error ? <Problem error={error} /> : null}
          {plan ? <PlanView plan={plan} /> : null}
        </div>
        <div class="stack">
          {plan ? (
            <Card title={`3 · ${t("plan.step.start")}`} padded>
              <form class="stack" onSubmit={(event) => { event.preventDefault(); if (plan.moves.length > 0 && !blocked && !wrong_rate) void start(); }}>
                <Choices legend={t("plan.until")} name="until" value={until} choose={set_until} options={[
                  { value: "moved", label: t("plan.until.moved"), note: t("plan.until.moved.note") },
                  { value: "ready", label: t("plan.until.ready"), note: t("plan.until.ready.note") },
                  { value: "finished", label: t("plan.until.finished"), note: t("plan.until.finished.note") },
                ]} />
                <Field id="plan-rate" label={t("throttle.rate")} wrong={wrong_rate} note={t("throttle.rate.note")}><Input id="plan-rate" value={mbps} onInput={set_mbps} inputmode="numeric" noted /></Field>
                <Field id="plan-window" label={t("throttle.window")} note={t("throttle.window.note")}><Input id="plan-window" value={window_text} onInput={set_window} placeholder="01:00-05:00" noted /></Field>
                <div class="row">
                  <Button submit kind="primary" icon="play" label={t("plan.start")} busy={busy} blocked={blocked ?? (plan.moves.length === 0 ? t("plan.nothing") : wrong_rate)} />
                  <Button kind="plain" label={t("plan.again")} onClick={() => set_made(undefined)} />
                </div>
              </form>
            </Card>
          ) : (
            <Card title={`2 · ${t("plan.step.look")}`} padded>
              <div class="stack"><p class="muted">{t("plan.look.note")}</p><div class="row"><Button kind="primary" label={t("plan.make")} busy={busy} blocked={blocked} onClick={() => void make()} /></div></div>
            </Card>
          )}
          <Card title={t("change.same")} padded><div class="stack"><CommandList commands={same} /></div></Card>
        </div>
      </div>
    </Page>
  );
}

function Goals({ wanted, change, shards }: { wanted: Wanted; change: (part: Partial<Wanted>) => void; shards: readonly Shard[] }): JSX.Element {
  return (
    <div class="stack wide">
      <Choices legend={t("plan.goal")} name="goal" value={wanted.goal} choose={(goal) => change({ goal })} options={[
        { value: "all", label: t("plan.goal.all"), note: t("plan.goal.all.note") },
        { value: "drain", label: t("plan.goal.drain"), note: t("plan.goal.drain.note") },
      ]} />
      {wanted.goal === "all" ? (
        <Field id="plan-by" label={t("plan.by")} note={t("plan.by.note")}>
          <select id="plan-by" class="input" value={wanted.by} aria-describedby="plan-by-note" onChange={(event) => change({ by: event.currentTarget.value as By })}>
            <option value="slots">{t("plan.by.slots")}</option>
            <option value="rows">{t("plan.by.rows")}</option>
            <option value="bytes">{t("plan.by.bytes")}</option>
          </select>
        </Field>
      ) : (
        <Field id="plan-drain" label={t("plan.drain")}>
          <select id="plan-drain" class="input" value={wanted.drain} onChange={(event) => change({ drain: event.currentTarget.value })}>
            <option value="">{t("plan.choose")}</option>
            {shards.map((shard) => <option key={shard.id} value={shard.name}>{shard.name}</option>)}
          </select>
        </Field>
      )}
      <Field id="plan-tables" label={t("plan.tables")} note={t("plan.tables.note")}><Input id="plan-tables" value={wanted.tables} onInput={(tables) => change({ tables })} placeholder="bank.account" noted /></Field>
    </div>
  );
}

function PlanView({ plan }: { plan: Plan }): JSX.Element {
  const columns: Column<PlannedMove>[] = [
    { key: "pair", label: t("job.from_to"), cell: (one) => <b class="nowrap">{one.from_name} → {one.to_name}</b>, by: (one) => `${one.from_name} ${one.to_name}` },
    { key: "tables", label: t("nav.tables"), cell: (one) => one.tables.join(", ") },
    { key: "what", label: t("job.units"), cell: (one) => <span class="number">{one.what}</span> },
    { key: "rows", label: t("table.rows"), end: true, cell: (one) => number(one.rows), by: (one) => one.rows },
    { key: "bytes", label: t("table.size"), end: true, cell: (one) => bytes(one.bytes), by: (one) => one.bytes },
  ];
  return (
    <Card title={`2 · ${t("plan.step.look")}`} note={plan.goal}>
      {plan.moves.length === 0 ? <Empty icon="check" title={t("plan.nothing")}>{t("plan.nothing.hint")}</Empty> : (
        <>
          <div class="figures">
            <Figure label={t("job.moves")} value={number(plan.moves.length)} />
            <Figure label={t("table.rows")} value={number(plan.rows)} note={t("shards.estimates")} />
            <Figure label={t("table.size")} value={bytes(plan.bytes)} />
            <Figure label={t("plan.time")} value={seconds(plan.minutes * 60)} note={t("plan.time.note")} />
          </div>
          <Grid caption={t("plan.step.look")} columns={columns} rows={plan.moves} id={(one) => `${one.from_name} ${one.to_name} ${one.tables.join()} ${one.what}`} />
        </>
      )}
      {plan.notes.length > 0 ? <div class="card-body stack"><div />{plan.notes.map((note) => <Notice key={note} tone="info">{note}</Notice>)}</div> : null}
    </Card>
  );
}
