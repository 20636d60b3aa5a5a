// One shard: what it holds, its servers, and how it is drained and removed.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { fresh_key, may, post } from "../api/client";
import { has } from "../api/provided";
import type { Listing, Server, Shard, Started } from "../api/types";
import { useResource } from "../state/resource";
import { go, link } from "../state/route";
import { bytes, number, t } from "../text";
import { Button, Card, Figure, Loading, Notice, Problem } from "../ui/basics";
import { ChangeDrawer, type Change } from "../ui/drawer";
import { Page } from "../ui/page";
import { ShardState } from "./shard_state";
import { ServerTable } from "./topology";

const EVERY_MS = 3_000;

export function ShardPage({ name }: { name: string }): JSX.Element {
  const path = `/shards/${encodeURIComponent(name)}`;
  const shard = useResource<Shard>(path, EVERY_MS);
  const servers = useResource<Listing<Server>>(has("/servers") ? "/servers" : null, EVERY_MS);
  const [change, set_change] = useState<Change>();
  const found = shard.data;
  const own = servers.data?.items.filter((one) => one.shard === name);
  return (
    <Page title={name} above={<a href={link("topology")}>{t("nav.topology")}</a>} beside={found ? <ShardState shard={found} /> : null}
      actions={found ? <Verbs shard={found} path={path} ask={set_change} /> : null}
      commands={{ cli: `shardline shard show ${name}`, sql: `SELECT * FROM shardline.shards WHERE name = '${name}'`, http: { method: "GET", path } }}>
      {shard.error ? <Problem error={shard.error} /> : null}
      {!found ? shard.error ? null : <Loading /> : (
        <>
          {found.problem ? <Notice tone="bad"><b>{t("shard.problem")}</b><div>{found.problem}</div></Notice> : null}
          <section class="card">
            <div class="figures">
              <Figure label={t("table.rows")} value={number(found.rows)} note={t("shards.estimates")} />
              <Figure label={t("table.size")} value={bytes(found.bytes)} note={t("shard.data_and_indexes")} />
              <Figure label={t("shards.slots")} value={number(found.slots)} note={t("shard.of_all_placements")} />
              <Figure label={t("shard.intervals")} value={number(found.intervals_and_values)} note={t("shard.range_and_list")} />
              <Figure label={t("shards.moves")} value={number(found.moves)} note={t("shard.from_or_to")} />
            </div>
          </section>
          <Card title={t("shard.about")} padded>
            <dl class="facts">
              <dt>{t("topology.primary")}</dt><dd class="mono">{found.address}</dd>
              <dt>{t("shard.home_of")}</dt><dd>{found.home_of.join(", ") || "–"}</dd>
              <dt>{t("shard.single_tables")}</dt><dd>{found.single_tables.join(", ") || "–"}</dd>
            </dl>
          </Card>
          {own ? <ServerTable servers={own} /> : null}
        </>
      )}
      {change ? <ChangeDrawer change={change} close={() => { set_change(undefined); shard.refresh(); }} /> : null}
    </Page>
  );
}

function Verbs({ shard, path, ask }: { shard: Shard; path: string; ask: (change: Change) => void }): JSX.Element {
  const { name } = shard;
  const blocked = may("change") ? undefined : t("may.change");
  const owns = shard.slots + shard.intervals_and_values + shard.home_of.length + shard.single_tables.length > 0;
  const drain: Change = {
    title: t("drain.title", { name }), button: t("drain.button"), danger: false,
    effects: [t("drain.effect.closed", { name }), t("drain.effect.moves"), t("drain.effect.clients"), t("drain.effect.back")],
    commands: { cli: `shardline shard drain ${name}`, sql: `CALL shardline.shard_drain('${name}')`, http: { method: "POST", path: `${path}:drain` } },
    run: async () => {
      const started = await post<Started>(`${path}:drain`, {}, fresh_key());
      if (started.job) go("jobs", started.job.id);
    },
    done: t("drain.done", { name }),
  };
  const undrain: Change = {
    title: t("undrain.title", { name }), button: t("undrain.button"), effects: [t("undrain.effect", { name })],
    commands: { cli: `shardline shard drain ${name} --undo`, sql: `CALL shardline.shard_undrain('${name}')`, http: { method: "POST", path: `${path}:undrain` } },
    run: () => post(`${path}:undrain`), done: t("undrain.done", { name }),
  };
  const remove: Change = {
    title: t("remove.title", { name }), button: t("remove.button"), danger: true, confirm: name,
    effects: [t("remove.effect", { name }), t("remove.effect.local")],
    commands: { cli: `shardline shard remove ${name}`, sql: `CALL shardline.shard_remove('${name}')`, http: { method: "POST", path: `${path}:remove` } },
    run: () => post(`${path}:remove`), done: t("remove.done", { name }), after: () => go("topology"),
  };
  const not_empty = owns ? t("remove.not_empty") : undefined;
  return (
    <>
      {shard.state === "draining" ? <Button label={t("undrain.button")} blocked={blocked} onClick={() => ask(undrain)} />
        : <Button label={t("drain.button")} blocked={blocked ?? (shard.single_tables.length > 0 ? t("drain.single") : undefined)} onClick={() => ask(drain)} />}
      <Button kind="danger" label={t("remove.button")} blocked={blocked ?? not_empty} onClick={() => ask(remove)} />
    </>
  );
}
