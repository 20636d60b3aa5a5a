// Who changed what, in a chain that shows when a line was altered.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { has } from "../api/provided";
import type { AuditCheck, AuditEntry, Listing } from "../api/types";
import { useResource } from "../state/resource";
import { known, moment, number, t } from "../text";
import { Badge, Button, Card, Empty, Loading, Notice, Problem, type Tone } from "../ui/basics";
import { Drawer } from "../ui/drawer";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";

const EVERY_MS = 5_000;
const PHASES: Record<string, Tone> = { asked: "info", done: "ok", refused: "bad" };

export function Audit(): JSX.Element {
  const found = useResource<Listing<AuditEntry>>("/audit?limit=200", EVERY_MS);
  const check = useResource<AuditCheck>(has("/audit:verify") ? "/audit:verify" : null, 0);
  const [open, set_open] = useState<AuditEntry>();
  const columns: Column<AuditEntry>[] = [
    { key: "seq", label: "#", cell: (one) => <span class="number">{one.seq}</span>, by: (one) => one.seq },
    { key: "when", label: t("table.when"), cell: (one) => <span class="number nowrap">{moment(one.unix_s)}</span>, by: (one) => one.unix_s },
    { key: "user", label: t("user"), cell: (one) => <span><b>{one.user}</b> <span class="muted small">{known("via", one.via)}</span></span>, by: (one) => one.user },
    { key: "operation", label: t("audit.operation"), cell: (one) => <span class="mono small">{one.operation}</span>, by: (one) => one.operation },
    { key: "target", label: t("audit.target"), cell: (one) => one.target || <span class="muted">–</span>, by: (one) => one.target },
    { key: "phase", label: t("table.state"), cell: (one) => <Badge tone={PHASES[one.phase] ?? "quiet"}>{known("audit_phase", one.phase)}</Badge>, by: (one) => one.phase },
    { key: "source", label: t("audit.source"), cell: (one) => <span class="mono small">{one.source}</span> },
    { key: "more", label: "", shrink: true, cell: (one) => <Button slim label={t("audit.show")} onClick={() => set_open(one)} /> },
  ];
  return (
    <Page title={t("nav.audit")} lead={t("audit.lead")} commands={{ cli: "shardline audit list", http: { method: "GET", path: "/audit?limit=200" } }}>
      {check.data ? (check.data.intact
        ? <Notice tone="ok"><b>{t("audit.intact", { n: number(check.data.entries) })}</b></Notice>
        : <Notice tone="bad" role="alert"><b>{t("audit.broken", { seq: check.data.broken_at ?? 0 })}</b></Notice>) : null}
      {found.error && !found.data ? <Problem error={found.error} /> : null}
      {!found.data ? found.error ? null : <Loading /> : (
        <Card><Grid caption={t("nav.audit")} columns={columns} rows={found.data.items} id={(one) => one.seq} sorted={{ key: "seq", down: true }}
          empty={<Empty icon="audit" title={t("audit.none")}>{t("audit.none.hint")}</Empty>} /></Card>
      )}
      {open ? <Entry entry={open} close={() => set_open(undefined)} /> : null}
    </Page>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function Entry({ entry, close }: { entry: AuditEntry; close: () => void }): JSX.Element {
  return (
    <Drawer title={t("audit.entry", { seq: entry.seq })} close={close}>
      <dl class="facts">
        <dt>{t("user")}</dt><dd>{entry.user} ({known("via", entry.via)})</dd>
        <dt>{t("audit.source")}</dt><dd class="mono">{entry.source}</dd>
        <dt>{t("audit.operation")}</dt><dd class="mono">{entry.operation} {entry.target}</dd>
        <dt>{t("table.when")}</dt><dd>{moment(entry.unix_s)}</dd>
        <dt>{t("audit.detail")}</dt><dd>{entry.detail || "–"}</dd>
        <dt>{t("audit.hash")}</dt><dd class="mono small">{entry.hash}</dd>
      </dl>
      {entry.before ? <div class="stack"><h3>{t("audit.before")}</h3><pre class="diff" tabIndex={0}>{pretty(entry.before)}</pre></div> : null}
      {entry.after ? <div class="stack"><h3>{t("audit.after")}</h3><pre class="diff" tabIndex={0}>{pretty(entry.after)}</pre></div> : null}
    </Drawer>
  );
}
