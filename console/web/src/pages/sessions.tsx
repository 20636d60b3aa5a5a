// Who is connected and what they do now; a session or its statement can be ended.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { may, post } from "../api/client";
import type { Listing, SqlSession } from "../api/types";
import { useResource } from "../state/resource";
import { millis, number, t } from "../text";
import { Badge, Button, Card, Empty, Loading, Problem, Segments } from "../ui/basics";
import { ChangeDrawer, type Change } from "../ui/drawer";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";

const EVERY_MS = 2_000;
type Show = "all" | "busy";

export function Sessions(): JSX.Element {
  const found = useResource<Listing<SqlSession>>("/sessions", EVERY_MS);
  const [show, set_show] = useState<Show>("all");
  const [change, set_change] = useState<Change>();
  const all = found.data?.items ?? [];
  const rows = show === "all" ? all : all.filter((one) => one.command !== "Sleep");
  const blocked = may("operate") ? undefined : t("may.operate");
  const columns: Column<SqlSession>[] = [
    { key: "id", label: t("session"), cell: (one) => <b class="number">{one.id}</b>, by: (one) => one.id },
    { key: "user", label: t("user"), cell: (one) => <span>{one.user} <span class="muted mono small">{one.host}</span></span>, by: (one) => one.user },
    { key: "database", label: t("database"), cell: (one) => one.database ?? <span class="muted">–</span>, by: (one) => one.database ?? "" },
    { key: "command", label: t("table.state"), cell: (one) => (one.command === "Sleep" ? <Badge tone="quiet">{t("session.idle")}</Badge> : <span title={`${one.command} ${one.state}`}><Badge tone="info" icon="play">{t("session.running")}</Badge></span>), by: (one) => one.command },
    { key: "time", label: t("session.for"), end: true, cell: (one) => millis(one.elapsed_ms), by: (one) => one.elapsed_ms },
    { key: "statement", label: t("sql.statement"), cell: (one) => (one.statement === null ? <span class="muted">–</span> : <code class="statement" title={one.statement}>{one.statement}</code>) },
    { key: "proxy", label: t("proxy"), end: true, cell: (one) => number(one.proxy), by: (one) => one.proxy },
    { key: "kill", label: "", shrink: true, cell: (one) => (
      <span class="row">
        {one.command === "Sleep" ? null : <Button slim label={t("kill.query")} blocked={blocked} onClick={() => set_change(kill(one, true))} />}
        <Button slim kind="danger" label={t("kill.session")} blocked={blocked} onClick={() => set_change(kill(one, false))} />
      </span>
    ) },
  ];
  const tools = <Segments label={t("session.show")} value={show} options={[{ value: "all", label: t("session.all") }, { value: "busy", label: t("session.busy") }]} choose={set_show} />;
  return (
    <Page title={t("nav.sessions")} lead={t("sessions.lead")} actions={tools} commands={{ cli: "shardline session list", sql: "SHOW FULL PROCESSLIST", http: { method: "GET", path: "/sessions" } }}>
      {found.error && !found.data ? <Problem error={found.error} /> : null}
      {!found.data ? found.error ? null : <Loading /> : (
        <Card>
          <Grid caption={t("nav.sessions")} columns={columns} rows={rows} id={(one) => one.id} sorted={{ key: "time", down: true }}
            empty={<Empty icon="sessions" title={t("sessions.none")}>{t("sessions.none.hint")} <code>shardline sql</code></Empty>} />
        </Card>
      )}
      {change ? <ChangeDrawer change={change} close={() => { set_change(undefined); found.refresh(); }} /> : null}
    </Page>
  );
}

function kill(session: SqlSession, query_only: boolean): Change {
  const id = session.id;
  return {
    title: query_only ? t("kill.query.title", { id }) : t("kill.session.title", { id }),
    button: query_only ? t("kill.query") : t("kill.session"),
    danger: true,
    effects: query_only ? [t("kill.query.effect", { user: session.user })] : [t("kill.session.effect", { user: session.user, host: session.host }), t("kill.session.rollback")],
    commands: {
      cli: `shardline session kill ${id}${query_only ? " --query-only" : ""}`,
      sql: query_only ? `KILL QUERY ${id}` : `KILL ${id}`,
      http: { method: "POST", path: `/sessions/${id}:kill`, body: { query_only } },
    },
    run: () => post(`/sessions/${id}:kill`, { query_only }),
    done: t("kill.done", { id }),
  };
}
