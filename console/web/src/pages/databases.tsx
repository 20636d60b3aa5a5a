// Databases and their tables: how each is spread, and how evenly.
import type { JSX } from "preact";
import type { Database, Listing, Table, TablePart } from "../api/types";
import { useResource } from "../state/resource";
import { link } from "../state/route";
import { bytes, known, number, t } from "../text";
import { Badge, Card, Empty, Figure, Loading, LoadingLines, Meter, Notice, Problem, type Tone } from "../ui/basics";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";

const EVERY_MS = 10_000;
/** A shard with so many times the mean is worth a look, and worth a rebalance. */
const SKEW_NOTED = 1.25;
const SKEW_HIGH = 2;
const COLOURS = 6;

const path_of = (database: string): string => `/databases/${encodeURIComponent(database)}`;

export function Databases(): JSX.Element {
  const found = useResource<Listing<Database>>("/databases", EVERY_MS);
  return (
    <Page title={t("nav.databases")} lead={t("databases.lead")} commands={{ cli: "shardline database list", sql: "SHOW DATABASES", http: { method: "GET", path: "/databases" } }}>
      {found.error && !found.data ? <Problem error={found.error} /> : null}
      {!found.data ? found.error ? null : <Loading /> : found.data.items.length === 0 ? (
        <Card><Empty icon="databases" title={t("databases.none")}>{t("databases.none.hint")} <code>CREATE DATABASE shop;</code></Empty></Card>
      ) : found.data.items.map((one) => <Tables key={one.name} database={one} />)}
    </Page>
  );
}

function Skew({ skew }: { skew: number | null }): JSX.Element {
  if (skew === null) return <span class="muted">–</span>;
  const tone: Tone = skew >= SKEW_HIGH ? "bad" : skew >= SKEW_NOTED ? "warn" : "ok";
  return <Badge tone={tone}>{number(skew, 2)}</Badge>;
}

/** The shares of the shards, as a bar; the words are in its label. */
function Spread({ parts, kind }: { parts: readonly TablePart[]; kind: string }): JSX.Element {
  const sum = parts.reduce((all, part) => all + (part.rows ?? 0), 0);
  const label = parts.map((part) => `${part.shard}: ${number(part.rows)}`).join(", ");
  if (kind === "broadcast") return <span class="muted">{t("table.everywhere")}</span>;
  if (kind !== "sharded") return <span class="muted">{t("table.only_on", { shard: parts.find((part) => part.share !== "" || part.rows)?.shard ?? "–" })}</span>;
  return (
    <span class="spread" role="img" aria-label={label} title={label}>
      {parts.map((part, index) => (part.rows ?? 0) === 0 ? null : <i key={part.shard} class={`fill-${(index % COLOURS) + 1}`} style={{ width: sum === 0 ? "0" : `${((part.rows ?? 0) / sum) * 100}%` }} />)}
    </span>
  );
}

function how(table: Table): JSX.Element {
  return (
    <span class="row">
      <span class="tag">{known("table_kind", table.kind)}</span>
      {table.method ? <span class="mono small">{table.method}({table.shard_key.join(", ")})</span> : null}
      {table.moving ? <Badge tone="info" icon="jobs">{t("table.moving")}</Badge> : null}
    </span>
  );
}

function Tables({ database }: { database: Database }): JSX.Element {
  const found = useResource<Listing<Table>>(`${path_of(database.name)}/tables`, EVERY_MS);
  const columns: Column<Table>[] = [
    { key: "name", label: t("table"), cell: (one) => <a href={link("databases", one.database, one.name)}><b>{one.name}</b></a>, by: (one) => one.name },
    { key: "how", label: t("table.placement"), cell: how, by: (one) => `${one.kind} ${one.method ?? ""}` },
    { key: "spread", label: t("table.spread"), cell: (one) => <Spread parts={one.shards} kind={one.kind} /> },
    { key: "skew", label: t("table.skew"), cell: (one) => <Skew skew={one.skew} />, by: (one) => one.skew ?? -1 },
    { key: "rows", label: t("table.rows"), end: true, cell: (one) => number(one.rows), by: (one) => one.rows ?? -1 },
    { key: "bytes", label: t("table.size"), end: true, cell: (one) => bytes(one.bytes), by: (one) => one.bytes ?? -1 },
  ];
  const note = `${t("databases.home", { shard: database.home })} · ${database.collation}`;
  return (
    <Card title={database.name} note={note} tools={<Shards tables={found.data?.items ?? []} />}>
      {found.error && !found.data ? <div class="card-body"><Problem error={found.error} /></div> : null}
      {found.data ? (
        <Grid caption={t("databases.tables_of", { name: database.name })} columns={columns} rows={found.data.items} id={(one) => one.name} sorted={{ key: "name", down: false }}
          empty={<Empty icon="table" title={t("tables.none")}>{t("tables.none.hint")} <code>CREATE TABLE orders (customer_id BIGINT NOT NULL, amount INT) SHARD BY HASH (customer_id);</code></Empty>} />
      ) : found.error ? null : <LoadingLines />}
    </Card>
  );
}

/** Which colour is which shard. */
function Shards({ tables }: { tables: readonly Table[] }): JSX.Element | null {
  const parts = tables.find((one) => one.kind === "sharded")?.shards;
  return parts ? (
    <div class="legend plain">
      {parts.map((part, index) => <span key={part.shard}><i class={`block c-${(index % COLOURS) + 1}`} />{part.shard}</span>)}
    </div>
  ) : null;
}

export function TablePage({ database, name }: { database: string; name: string }): JSX.Element {
  const path = `${path_of(database)}/tables/${encodeURIComponent(name)}`;
  const found = useResource<Table>(path, EVERY_MS);
  const table = found.data;
  return (
    <Page title={`${database}.${name}`} above={<a href={link("databases")}>{t("nav.databases")}</a>} beside={table ? <span class="tag">{known("table_kind", table.kind)}</span> : null}
      commands={{ cli: `shardline table show ${database}.${name}`, sql: `SHOW CREATE TABLE ${database}.${name}`, http: { method: "GET", path } }}>
      {found.error && !table ? <Problem error={found.error} /> : null}
      {!table ? found.error ? null : <Loading /> : <TableBody table={table} />}
    </Page>
  );
}

function TableBody({ table }: { table: Table }): JSX.Element {
  const most = Math.max(1, ...table.shards.map((part) => part.rows ?? 0));
  const columns: Column<TablePart>[] = [
    { key: "shard", label: t("shard"), cell: (part) => <a href={link("topology", part.shard)}><b>{part.shard}</b></a>, by: (part) => part.shard },
    { key: "share", label: t("table.share"), cell: (part) => part.problem ? <Badge tone="bad">{part.problem}</Badge> : <span class="number">{part.share || "–"}</span> },
    { key: "bar", label: t("table.rows"), cell: (part) => <span class="with-meter"><Meter share={(part.rows ?? 0) / most} label={t("table.rows_on", { shard: part.shard })} /><span class="number">{number(part.rows)}</span></span>, by: (part) => part.rows ?? -1 },
    { key: "bytes", label: t("table.size"), end: true, cell: (part) => bytes(part.bytes), by: (part) => part.bytes ?? -1 },
  ];
  return (
    <>
      {table.skew !== null && table.skew >= SKEW_NOTED ? (
        <Notice tone="warn"><b>{t("table.uneven", { times: number(table.skew, 2) })}</b><div>{t("table.uneven.hint")} <a href={link("rebalance")}>{t("jobs.plan")}</a></div></Notice>
      ) : null}
      <section class="card">
        <div class="figures">
          <Figure label={t("table.rows")} value={number(table.rows)} note={t("shards.estimates")} />
          <Figure label={t("table.size")} value={bytes(table.bytes)} note={t("shard.data_and_indexes")} />
          <Figure label={t("table.skew")} value={number(table.skew, 2)} note={t("table.skew.note")} />
        </div>
      </section>
      <div class="main-side">
        <Card title={t("table.per_shard")}><Grid caption={t("table.per_shard")} columns={columns} rows={table.shards} id={(part) => part.shard} sorted={{ key: "shard", down: false }} /></Card>
        <Card title={t("table.placement")} padded>
          <dl class="facts">
            <dt>{t("table.kind")}</dt><dd>{known("table_kind", table.kind)}</dd>
            <dt>{t("table.key")}</dt><dd class="mono">{table.shard_key.join(", ") || "–"}</dd>
            <dt>{t("table.clause")}</dt><dd class="mono">{table.clause ?? "–"}</dd>
            <dt>{t("table.colocated")}</dt><dd>{table.colocated_with.join(", ") || "–"}</dd>
          </dl>
        </Card>
      </div>
    </>
  );
}
