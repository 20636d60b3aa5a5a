// What SQL costs: digests by weight, slow statements as they happen, and the plan of a statement.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, may, post } from "../api/client";
import { has } from "../api/provided";
import type { Digest, Digests, Listing, Slow } from "../api/types";
import { live_slow } from "../state/live";
import { useResource } from "../state/resource";
import { link, route } from "../state/route";
import { useStore } from "../state/store";
import { clock, micros, millis, moment, number, t } from "../text";
import { Badge, Button, Card, Empty, Field, Input, LoadingLines, Meter, Problem, Segments } from "../ui/basics";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";

const DIGESTS_EVERY_MS = 5_000;
const SLOW_EVERY_MS = 3_000;
type Tab = "top" | "slow" | "explain";
type Order = "time" | "calls" | "errors" | "p99";
const ORDERS: readonly Order[] = ["time", "calls", "p99", "errors"];

export function sql_tabs(): Tab[] {
  const paths: [Tab, string][] = [["top", "/sql/digests"], ["slow", "/sql/slow"], ["explain", "/sql:explain"]];
  return paths.filter(([, path]) => has(path)).map(([tab]) => tab);
}

export function Sql(): JSX.Element {
  const tabs = sql_tabs();
  const wanted = useStore(route).rest[0];
  const tab = tabs.find((one) => one === wanted) ?? tabs[0] ?? "top";
  const commands = tab === "top" ? { cli: "shardline sql-stats top", sql: "SELECT * FROM shardline.top_sql", http: { method: "GET", path: "/sql/digests?order=time&limit=50" } as const }
    : tab === "slow" ? { cli: "shardline sql-stats slow", sql: "SELECT * FROM shardline.slow_sql", http: { method: "GET", path: "/sql/slow?limit=100" } as const }
      : { cli: "shardline explain 'SELECT 1'", sql: "EXPLAIN SHARDING SELECT 1", http: { method: "POST", path: "/sql:explain", body: { database: null, sql: "SELECT 1" } } as const };
  return (
    <Page title={t("nav.sql")} lead={t("sql.lead")} commands={commands}
      actions={<Segments label={t("nav.sql")} value={tab} options={tabs.map((one) => ({ value: one, label: t(`sql.tab.${one}`) }))} choose={(one) => { location.hash = link("sql", one); }} />}>
      {tab === "top" ? <Top /> : tab === "slow" ? <SlowList /> : <Explain />}
    </Page>
  );
}

function Statement({ text }: { text: string | null }): JSX.Element {
  return text === null ? <span class="muted">{t("sql.hidden")}</span> : <code class="statement" title={text}>{text}</code>;
}

function Top(): JSX.Element {
  const [order, set_order] = useState<Order>("time");
  const [database, set_database] = useState("");
  const query = database === "" ? "" : `&database=${encodeURIComponent(database)}`;
  const found = useResource<Digests>(`/sql/digests?order=${order}&limit=50${query}`, DIGESTS_EVERY_MS);
  const rows = found.data?.items ?? [];
  const all = rows.reduce((sum, one) => sum + one.total_us, 0) + (found.data?.other?.total_us ?? 0);
  const columns: Column<Digest>[] = [
    { key: "text", label: t("sql.statement"), cell: (one) => <Statement text={one.text} /> },
    { key: "database", label: t("database"), cell: (one) => one.database ?? <span class="muted">–</span> },
    { key: "share", label: t("sql.share"), cell: (one) => <span class="with-meter"><Meter share={all > 0 ? one.total_us / all : 0} label={t("sql.share")} /><span class="number">{number(all > 0 ? (one.total_us / all) * 100 : 0, 1)} %</span></span> },
    { key: "calls", label: t("sql.calls"), end: true, cell: (one) => number(one.calls) },
    { key: "p50", label: "p50", end: true, cell: (one) => micros(one.p50_us) },
    { key: "p99", label: "p99", end: true, cell: (one) => micros(one.p99_us) },
    { key: "shards", label: t("sql.shards"), end: true, cell: (one) => (one.shards_touched > 1.05 ? <Badge tone="warn" icon="topology">{number(one.shards_touched, 1)}</Badge> : one.shards_touched === 0 ? <span class="muted">–</span> : number(one.shards_touched, 1)) },
    { key: "errors", label: t("figure.errors"), end: true, cell: (one) => (one.errors > 0 ? <Badge tone="bad">{number(one.errors)}</Badge> : <span class="muted">0</span>) },
  ];
  const tools = (
    <>
      <label class="hidden-label" for="sql-database">{t("sql.only_database")}</label>
      <Input id="sql-database" value={database} onInput={set_database} placeholder={t("sql.only_database")} filter />
      <Segments label={t("sql.order")} value={order} options={ORDERS.map((one) => ({ value: one, label: t(`sql.order.${one}`) }))} choose={set_order} />
    </>
  );
  return (
    <Card title={t("sql.top")} note={found.data ? t("sql.since", { time: moment(found.data.since_unix_s) }) : undefined} tools={tools}>
      {found.error && !found.data ? <div class="card-body"><Problem error={found.error} /></div> : null}
      {!found.data ? found.error ? null : <LoadingLines /> : (
        <Grid caption={t("sql.top")} columns={columns} rows={rows} id={(one) => one.id}
          empty={<Empty icon="sql" title={t("sql.none")}>{t("sql.none.hint")} <code>shardline sql bank -e "SELECT COUNT(*) FROM account"</code></Empty>} />
      )}
      {found.data?.other && found.data.other.calls > 0 ? <p class="table-foot">{t("sql.other", { calls: number(found.data.other.calls), time: micros(found.data.other.total_us) })}</p> : null}
    </Card>
  );
}

function SlowList(): JSX.Element {
  const live = useStore(live_slow);
  const found = useResource<Listing<Slow>>("/sql/slow?limit=100", SLOW_EVERY_MS);
  const seen = new Set<string>();
  const rows = [...live, ...(found.data?.items ?? [])].filter((one) => {
    const id = key_of(one);
    return seen.has(id) ? false : seen.add(id);
  });
  const columns: Column<Slow>[] = [
    { key: "at", label: t("table.when"), cell: (one) => <span class="number nowrap">{clock(one.unix_s)}</span>, by: (one) => one.unix_s },
    { key: "ms", label: t("sql.took"), end: true, cell: (one) => <b>{millis(one.ms)}</b>, by: (one) => one.ms },
    { key: "text", label: t("sql.statement"), cell: (one) => <Statement text={one.text} /> },
    { key: "shards", label: t("sql.per_shard"), cell: (one) => <PerShard slow={one} /> },
    { key: "database", label: t("database"), cell: (one) => one.database ?? "–" },
    { key: "user", label: t("user"), cell: (one) => one.user },
    { key: "error", label: t("sql.error"), end: true, cell: (one) => (one.error === null ? <span class="muted">–</span> : <Badge tone="bad">{one.error}</Badge>) },
  ];
  return (
    <Card title={t("sql.slow")} note={t("sql.slow.note")} tools={<Badge tone="ok" icon="play">{t("state.live")}</Badge>}>
      {found.error && !found.data ? <div class="card-body"><Problem error={found.error} /></div> : null}
      {!found.data ? found.error ? null : <LoadingLines /> : (
        <Grid caption={t("sql.slow")} columns={columns} rows={rows} id={key_of} sorted={{ key: "at", down: true }}
          empty={<Empty icon="check" title={t("sql.slow.none")}>{t("sql.slow.none.hint")} <code>SELECT SLEEP(2);</code></Empty>} />
      )}
    </Card>
  );
}

function key_of(slow: Slow): string {
  return `${slow.number} ${slow.unix_s} ${slow.session}`;
}

function PerShard({ slow }: { slow: Slow }): JSX.Element {
  if (slow.shards.length === 0) return <span class="muted">–</span>;
  const most = Math.max(1, ...slow.shards.map((one) => one.ms ?? 0));
  return (
    <span class="per-shard">
      {slow.shards.map((one) => (
        <span key={one.shard} class="with-meter"><Meter share={(one.ms ?? 0) / most} label={t("sql.time_on", { shard: one.shard })} /><span class="number small nowrap">{one.shard} {millis(one.ms)}</span></span>
      ))}
    </span>
  );
}

function Explain(): JSX.Element {
  const [database, set_database] = useState("");
  const [text, set_text] = useState("");
  const [plan, set_plan] = useState<string[]>();
  const [error, set_error] = useState<ApiError>();
  const [busy, set_busy] = useState(false);
  const run = async (): Promise<void> => {
    set_busy(true);
    set_error(undefined);
    try {
      set_plan((await post<{ plan: string[] }>("/sql:explain", { database: database === "" ? null : database, sql: text })).plan);
    } catch (problem) {
      set_plan(undefined);
      set_error(problem instanceof ApiError ? problem : new ApiError(0, "", String(problem), null));
    }
    set_busy(false);
  };
  const blocked = !may("statements") ? t("may.statements") : text.trim() === "" ? t("sql.explain.empty") : undefined;
  return (
    <>
      <Card title={t("sql.explain")} note={t("sql.explain.note")} padded>
        <form class="stack" onSubmit={(event) => { event.preventDefault(); if (!blocked) void run(); }}>
          <Field id="explain-database" label={t("database")}><Input id="explain-database" value={database} onInput={set_database} placeholder="bank" /></Field>
          <Field id="explain-sql" label={t("sql.statement")}>
            <textarea id="explain-sql" class="input" value={text} spellcheck={false} placeholder="SELECT * FROM account WHERE customer_id = 42" onInput={(event) => set_text(event.currentTarget.value)} />
          </Field>
          <div class="row"><Button submit kind="primary" label={t("sql.explain.run")} busy={busy} blocked={blocked} /></div>
        </form>
      </Card>
      {error ? <Problem error={error} /> : null}
      {plan ? <Card title={t("sql.plan")}><pre class="diff" tabIndex={0}>{plan.join("\n")}</pre></Card> : null}
    </>
  );
}
