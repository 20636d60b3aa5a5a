// The frame around the pages, and which page is shown where.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { abandon_reads, may, post, session } from "./api/client";
import { has, provided } from "./api/provided";
import { Audit } from "./pages/audit";
import { ConfigPage } from "./pages/config";
import { Databases, TablePage } from "./pages/databases";
import { JobPage } from "./pages/job";
import { Jobs } from "./pages/jobs";
import { Login } from "./pages/login";
import { Overview } from "./pages/overview";
import { Rebalance } from "./pages/rebalance";
import { Sessions } from "./pages/sessions";
import { ShardPage } from "./pages/shard";
import { Sql, sql_tabs } from "./pages/sql";
import { Topology } from "./pages/topology";
import { Transactions } from "./pages/transactions";
import { Users } from "./pages/users";
import { useCluster, useJobs } from "./state/cluster";
import { connected, follow, stop_following } from "./state/live";
import { forget_all } from "./state/resource";
import { link, route, type Route } from "./state/route";
import { useStore } from "./state/store";
import mark from "./style/mark.svg";
import { known, t, useLanguage, type Key } from "./text";
import { Badge, Button, Card, Empty } from "./ui/basics";
import { Icon, type IconName } from "./ui/icon";
import { Page } from "./ui/page";
import { LanguageButton, ThemeButton } from "./ui/switches";
import { Toasts } from "./ui/toasts";

interface Entry { page: string; label: Key; icon: IconName; there: () => boolean; also?: string[]; draw: (rest: string[]) => JSX.Element }

/** What a page needs of the server, and how it is drawn. One that the server has nothing for is left out. */
const GROUPS: { title?: Key; entries: Entry[] }[] = [
  { entries: [
    { page: "overview", label: "nav.overview", icon: "overview", there: () => true, draw: () => <Overview /> },
    { page: "topology", label: "nav.topology", icon: "topology", there: () => has("/shards"), draw: ([name]) => (name ? <ShardPage key={name} name={name} /> : <Topology />) },
    { page: "databases", label: "nav.databases", icon: "databases", there: () => has("/databases"), draw: ([database, table]) => (database && table ? <TablePage key={`${database}.${table}`} database={database} name={table} /> : <Databases />) },
    { page: "jobs", label: "nav.jobs", icon: "jobs", also: ["rebalance"], there: () => has("/jobs"), draw: ([id]) => (id ? <JobPage key={id} id={id} /> : <Jobs />) },
  ] },
  { title: "nav.group.work", entries: [
    { page: "sql", label: "nav.sql", icon: "sql", there: () => sql_tabs().length > 0, draw: () => <Sql /> },
    { page: "sessions", label: "nav.sessions", icon: "sessions", there: () => has("/sessions"), draw: () => <Sessions /> },
    { page: "transactions", label: "nav.transactions", icon: "transactions", there: () => has("/transactions"), draw: () => <Transactions /> },
  ] },
  { title: "nav.group.control", entries: [
    { page: "config", label: "nav.config", icon: "config", there: () => has("/config"), draw: () => <ConfigPage /> },
    { page: "audit", label: "nav.audit", icon: "audit", there: () => has("/audit") && may("audit"), draw: () => <Audit /> },
    { page: "users", label: "nav.users", icon: "users", there: () => has("/users"), draw: () => <Users /> },
  ] },
];

function drawn({ page, rest }: Route): JSX.Element {
  if (page === "rebalance") return <Rebalance />;
  const entry = GROUPS.flatMap((group) => group.entries).find((one) => one.page === page);
  if (!entry) return <Page title={t("missing.title")}><Card><Empty icon="search" title={t("missing.page")} action={<a class="button" href={link("overview")}>{t("nav.overview")}</a>} /></Card></Page>;
  if (!entry.there()) return <Page title={t(entry.label)}><Card><Empty icon={entry.icon} title={t("missing.title")}>{t("missing.provided")}</Empty></Card></Page>;
  return entry.draw(rest);
}

export function App(): JSX.Element | null {
  useLanguage();
  useStore(provided);
  const who = useStore(session);
  if (who === undefined) return null;
  return who === null ? <Login /> : <><Frame key={who.user} /><Toasts /></>;
}

function Frame(): JSX.Element {
  const where = useStore(route);
  const [open, set_open] = useState(false);
  useEffect(() => {
    follow();
    return stop_following;
  }, []);
  useEffect(() => {
    set_open(false);
    window.scrollTo(0, 0);
  }, [where]);
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>{t("nav.skip")}</a>
      {open ? <button type="button" class="nav-veil" aria-label={t("action.close")} onClick={() => set_open(false)} /> : null}
      <Navigation where={where} open={open} />
      <div class="side">
        <Top menu={() => set_open(!open)} open={open} />
        {drawn(where)}
      </div>
    </div>
  );
}

function Navigation({ where, open }: { where: Route; open: boolean }): JSX.Element {
  const cluster = useCluster();
  const running = (useJobs().jobs ?? []).filter((job) => !job.is_over).length;
  return (
    <nav id="nav" class={open ? "nav open" : "nav"} aria-label={t("nav.label")}>
      <a class="brand" href={link("overview")}><img src={mark} alt="" />Shardline</a>
      {GROUPS.map((group, index) => {
        const entries = group.entries.filter((entry) => entry.there());
        if (entries.length === 0) return null;
        return (
          <div key={index}>
            {group.title ? <div class="nav-title">{t(group.title)}</div> : null}
            {entries.map((entry) => (
              <a key={entry.page} class="item" href={link(entry.page)} aria-current={where.page === entry.page || entry.also?.includes(where.page) ? "page" : undefined}>
                <Icon name={entry.icon} />{t(entry.label)}
                {entry.page === "jobs" && running > 0 ? <span class="count" aria-label={t("nav.running", { n: running })}>{running}</span> : null}
              </a>
            ))}
          </div>
        );
      })}
      <div class="nav-foot">{cluster ? <>Shardline {cluster.version}<br />{t("nav.epoch", { epoch: cluster.epoch })}</> : null}</div>
    </nav>
  );
}

const ENVIRONMENTS = ["production", "staging", "test"];

function Top({ menu, open }: { menu: () => void; open: boolean }): JSX.Element {
  const cluster = useCluster();
  const live = useStore(connected);
  const who = useStore(session);
  const environment = cluster?.environment;
  const colour = environment ? `env-${ENVIRONMENTS.includes(environment) ? environment : "other"}` : "";
  const log_out = async (): Promise<void> => {
    const done = post("/logout").catch(() => {});
    // Nothing is asked for any more that would be refused.
    session.set(undefined);
    stop_following();
    abandon_reads();
    await done;
    forget_all();
    session.set(null);
  };
  return (
    <header>
      {environment ? <div class={`environment-bar ${colour}`} /> : null}
      <div class="top">
        <span class="menu-button"><Button kind="plain" icon="menu" icon_only label={t("nav.menu")} expanded={open} onClick={menu} /></span>
        <div class="where">
          <span class="name">{cluster?.name ?? location.host}</span>
          {environment ? <span class={`env-pill ${colour}`}>{known("environment", environment)}</span> : null}
          {live ? null : <Badge tone="bad">{t("state.disconnected")}</Badge>}
        </div>
        <div class="tools">
          <LanguageButton />
          <ThemeButton />
          {who && !who.open ? (
            <>
              <span class="muted small wide-only">{who.user} · {known("user_role", who.role)}</span>
              <Button kind="plain" icon="logout" icon_only label={t("login.out")} onClick={() => void log_out()} />
            </>
          ) : null}
        </div>
      </div>
    </header>
  );
}
