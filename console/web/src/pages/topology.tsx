// What the cluster is made of: proxies, shards, their servers; as a picture and as tables.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { has } from "../api/provided";
import { may } from "../api/client";
import type { Job, Listing, MetaNode, Proxy, Server, Shard } from "../api/types";
import { useJobs, useShards } from "../state/cluster";
import { useResource } from "../state/resource";
import { link } from "../state/route";
import { bytes, known, millis, number, seconds, t } from "../text";
import { Badge, Button, Card, Empty, Loading, Problem } from "../ui/basics";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";
import { AddShard } from "./add_shard";
import { Picture } from "./picture";
import { ShardState } from "./shard_state";

const EVERY_MS = 5_000;

export function Topology(): JSX.Element {
  const shards = useShards();
  const { jobs = [] } = useJobs();
  const proxies = useResource<Listing<Proxy>>(has("/proxies") ? "/proxies" : null, EVERY_MS);
  const servers = useResource<Listing<Server>>(has("/servers") ? "/servers" : null, EVERY_MS);
  const nodes = useResource<Listing<MetaNode>>(has("/meta-nodes") ? "/meta-nodes" : null, EVERY_MS);
  const [adding, set_adding] = useState(false);
  const found = shards.data?.items;
  const add = <Button kind="primary" icon="plus" label={t("shards.add")} blocked={may("change") ? undefined : t("may.change")} onClick={() => set_adding(true)} />;
  return (
    <Page title={t("nav.topology")} lead={t("topology.lead")} actions={add}
      commands={{ cli: "shardline shard list", sql: "SHOW SHARDS", http: { method: "GET", path: "/shards" } }}>
      {shards.error ? <Problem error={shards.error} /> : null}
      {!found ? shards.error ? null : <Loading /> : found.length === 0 ? (
        <Card><Empty icon="topology" title={t("shards.none")} action={add}>{t("shards.none.hint")}</Empty></Card>
      ) : (
        <>
          <Card title={t("topology.picture")} note={t("topology.picture.note")}>
            <Picture shards={found} proxies={proxies.data?.items.filter((one) => one.state === "live")} servers={servers.data?.items} moves={moves(jobs)} />
          </Card>
          <ShardTable shards={found} />
        </>
      )}
      {servers.data ? <ServerTable servers={servers.data.items} /> : null}
      {proxies.data || nodes.data ? (
        <div class="two">
          {proxies.data ? <ProxyTable proxies={proxies.data.items} /> : null}
          {nodes.data ? <NodeTable nodes={nodes.data.items} /> : null}
        </div>
      ) : null}
      {adding ? <AddShard shards={found ?? []} close={() => { set_adding(false); shards.refresh(); }} /> : null}
    </Page>
  );
}

/** Which shards give and take now, `from → to`. */
function moves(jobs: readonly Job[]): { from: string; to: string }[] {
  const pairs = new Map<string, { from: string; to: string }>();
  for (const job of jobs.filter((one) => !one.is_over)) {
    for (const { from, to } of job.moves) pairs.set(`${from} ${to}`, { from, to });
  }
  return [...pairs.values()];
}

function ShardTable({ shards }: { shards: readonly Shard[] }): JSX.Element {
  const columns: Column<Shard>[] = [
    { key: "name", label: t("shard"), cell: (one) => <a href={link("topology", one.name)}><b>{one.name}</b></a>, by: (one) => one.name },
    { key: "state", label: t("table.state"), cell: (one) => <ShardState shard={one} />, by: (one) => one.state },
    { key: "address", label: t("topology.primary"), cell: (one) => <span class="mono">{one.address}</span> },
    { key: "slots", label: t("shards.slots"), end: true, cell: (one) => number(one.slots), by: (one) => one.slots },
    { key: "rows", label: t("table.rows"), end: true, cell: (one) => number(one.rows), by: (one) => one.rows ?? -1 },
    { key: "bytes", label: t("table.size"), end: true, cell: (one) => bytes(one.bytes), by: (one) => one.bytes ?? -1 },
    { key: "moves", label: t("shards.moves"), end: true, cell: (one) => (one.moves > 0 ? number(one.moves) : <span class="muted">–</span>), by: (one) => one.moves },
  ];
  return <Card title={t("nav.shards")} note={t("overview.shards.note")}><Grid caption={t("nav.shards")} columns={columns} rows={shards} id={(one) => one.id} sorted={{ key: "name", down: false }} /></Card>;
}

export function ServerTable({ servers }: { servers: readonly Server[] }): JSX.Element {
  const columns: Column<Server>[] = [
    { key: "shard", label: t("shard"), cell: (one) => <a href={link("topology", one.shard)}>{one.shard}</a>, by: (one) => one.shard },
    { key: "role", label: t("table.role"), cell: (one) => known("role", one.role), by: (one) => one.role },
    { key: "state", label: t("table.state"), cell: (one) => (one.up ? <Badge tone="ok">{t("state.up")}</Badge> : <span title={one.problem ?? ""}><Badge tone="bad">{t("state.down")}</Badge></span>) },
    { key: "address", label: t("table.address"), cell: (one) => <span class="mono">{one.address}</span>, by: (one) => one.address },
    { key: "version", label: t("table.version"), cell: (one) => one.version ?? "–" },
    { key: "lag", label: t("table.lag"), end: true, cell: (one) => (one.role === "primary" ? <span class="muted">–</span> : millis(one.lag_ms)), by: (one) => one.lag_ms ?? -1 },
    { key: "connections", label: t("table.connections"), end: true, cell: (one) => (one.connections === null ? "–" : `${number(one.connections)} / ${number(one.connections_max)}`), by: (one) => one.connections ?? -1 },
    { key: "uptime", label: t("table.up_since"), end: true, cell: (one) => seconds(one.uptime_s), by: (one) => one.uptime_s ?? -1 },
  ];
  return <Card title={t("topology.servers")}><Grid caption={t("topology.servers")} columns={columns} rows={servers} id={(one) => `${one.shard} ${one.address}`} sorted={{ key: "shard", down: false }} /></Card>;
}

function ProxyTable({ proxies }: { proxies: readonly Proxy[] }): JSX.Element {
  const columns: Column<Proxy>[] = [
    { key: "id", label: t("proxy"), cell: (one) => <b>{one.id}</b>, by: (one) => one.id },
    { key: "state", label: t("table.state"), cell: (one) => <Badge tone={one.state === "live" ? "ok" : one.state === "ended" ? "quiet" : "warn"}>{known("proxy_state", one.state)}</Badge> },
    { key: "address", label: t("table.address"), cell: (one) => <span class="mono">{one.address}</span> },
    { key: "epoch", label: t("table.epoch"), end: true, cell: (one) => number(one.acknowledged_epoch) },
    { key: "sessions", label: t("nav.sessions"), end: true, cell: (one) => number(one.sessions) },
  ];
  return <Card title={t("topology.proxies")}><Grid caption={t("topology.proxies")} columns={columns} rows={proxies} id={(one) => `${one.id} ${one.incarnation}`} /></Card>;
}

function NodeTable({ nodes }: { nodes: readonly MetaNode[] }): JSX.Element {
  const columns: Column<MetaNode>[] = [
    { key: "id", label: t("topology.node"), cell: (one) => <b>{one.id}</b> },
    { key: "role", label: t("table.role"), cell: (one) => <Badge tone={one.role === "leader" ? "info" : "quiet"} icon="check">{known("role", one.role)}</Badge> },
    { key: "address", label: t("table.address"), cell: (one) => <span class="mono">{one.address}</span> },
    { key: "index", label: t("table.log"), end: true, cell: (one) => number(one.matched_index ?? one.last_index) },
  ];
  return <Card title={t("topology.nodes")}><Grid caption={t("topology.nodes")} columns={columns} rows={nodes} id={(one) => one.id} /></Card>;
}
