// The wizard that adds a shard: which server, what will happen, and then the rebalance onto it.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, fresh_key, post } from "../api/client";
import type { Shard } from "../api/types";
import { go } from "../state/route";
import { seconds, t } from "../text";
import { Button, Choices, Field, Input, Notice, Problem } from "../ui/basics";
import { CommandList, Drawer, type Commands } from "../ui/drawer";

type Where = "local" | "server";

/** The next free name of the form that the others have. */
export function next_name(shards: readonly Shard[]): string {
  const numbers = shards.map((shard) => /^s(\d+)$/.exec(shard.name)?.[1]).map(Number).filter(Number.isFinite);
  return `s${Math.max(0, ...numbers) + 1}`;
}

const NAME = /^[a-z][a-z0-9_-]{0,62}$/i;

function commands(name: string, where: Where, address: string, replicas: readonly string[]): Commands {
  const primary = address || "HOST:3306";
  const body = where === "local" ? { name, local: true } : { name, primary, ...(replicas.length > 0 ? { replicas } : {}) };
  const with_replicas = replicas.length > 0 ? ` --replicas ${replicas.join(",")}` : "";
  return {
    cli: where === "local" ? `shardline shard add ${name} --local` : `shardline shard add ${name} --primary ${primary}${with_replicas}`,
    sql: where === "local" ? `CALL shardline.shard_add_local('${name}')` : replicas.length > 0 ? undefined : `CALL shardline.shard_add('${name}', '${primary}')`,
    http: { method: "POST", path: "/shards:add", body },
  };
}

export function AddShard({ shards, close }: { shards: readonly Shard[]; close: () => void }): JSX.Element {
  const [name, set_name] = useState(() => next_name(shards));
  const [where, set_where] = useState<Where>("local");
  const [address, set_address] = useState("");
  const [replica_text, set_replicas] = useState("");
  const [begun, set_begun] = useState<number>();
  const [added, set_added] = useState<Shard>();
  const [error, set_error] = useState<ApiError>();
  const replicas = replica_text.split(/[\s,]+/).filter((one) => one !== "");
  const same = commands(name, where, address, replicas);
  const wrong = !NAME.test(name) ? t("add.name.wrong") : shards.some((one) => one.name === name && one.state === "serving") ? t("add.name.taken") : undefined;
  const blocked = wrong ?? (where === "server" && address === "" ? t("add.address.missing") : undefined);
  const run = async (): Promise<void> => {
    set_error(undefined);
    set_begun(Date.now());
    try {
      set_added(await post<Shard>("/shards:add", same.http?.body, fresh_key()));
    } catch (problem) {
      set_error(problem instanceof ApiError ? problem : new ApiError(0, "", String(problem), null));
    }
    set_begun(undefined);
  };
  if (added) {
    const foot = (
      <>
        <Button label={t("add.later")} onClick={close} />
        <Button kind="primary" icon="arrow" label={t("add.rebalance")} onClick={() => { close(); go("rebalance"); }} />
      </>
    );
    return (
      <Drawer title={t("add.done.title", { name: added.name })} close={close} foot={foot}>
        <Notice tone="ok" role="status"><b>{t("add.done", { name: added.name, address: added.address })}</b><div>{t("add.done.next")}</div></Notice>
      </Drawer>
    );
  }
  const foot = (
    <>
      <Button label={t("action.back")} onClick={close} />
      <Button kind="primary" label={t("add.button", { name })} busy={begun !== undefined} blocked={blocked} onClick={() => void run()} />
    </>
  );
  return (
    <Drawer title={t("shards.add")} close={close} foot={foot}>
      <Field id="shard-name" label={t("add.name")} wrong={wrong}><Input id="shard-name" value={name} onInput={set_name} /></Field>
      <Choices legend={t("add.where")} name="where" value={where} choose={set_where} options={[
        { value: "local", label: t("add.local"), note: t("add.local.note") },
        { value: "server", label: t("add.server"), note: t("add.server.note") },
      ]} />
      {where === "server" ? (
        <>
          <Field id="shard-address" label={t("add.address")}><Input id="shard-address" value={address} onInput={set_address} placeholder="db7.example:3306" /></Field>
          <Field id="shard-replicas" label={t("add.replicas")} note={t("add.replicas.note")}><Input id="shard-replicas" value={replica_text} onInput={set_replicas} noted /></Field>
        </>
      ) : null}
      <div>
        <h3>{t("change.effects")}</h3>
        <ul class="bullets"><li>{t("add.effect.definitions")}</li><li>{t("add.effect.broadcast")}</li><li>{t("add.effect.empty")}</li></ul>
      </div>
      {begun !== undefined ? <Working since={begun} /> : null}
      {error ? <Problem error={error} /> : null}
      <div class="stack"><h3>{t("change.same")}</h3><CommandList commands={same} /></div>
    </Drawer>
  );
}

function Working({ since }: { since: number }): JSX.Element {
  const [now, set_now] = useState(Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => set_now(Date.now()), 1_000);
    return () => window.clearInterval(timer);
  }, []);
  return <Notice tone="info" role="status">{t("add.working", { time: seconds((now - since) / 1_000) })}</Notice>;
}
