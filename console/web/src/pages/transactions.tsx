// Transactions over several shards that are not done with.
import type { JSX } from "preact";
import type { Listing } from "../api/types";
import { useResource } from "../state/resource";
import { t } from "../text";
import { Card, Empty, Loading, Problem } from "../ui/basics";
import { Grid, type Column } from "../ui/grid";
import { Page } from "../ui/page";

const EVERY_MS = 2_000;
type Row = Record<string, string | number | null>;

/** The server names the columns; they are shown as it says them. */
function columns_of(rows: readonly Row[]): Column<Row>[] {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return names.map((name) => ({
    key: name, label: name.replaceAll("_", " "), by: (row: Row) => row[name] ?? "",
    cell: (row: Row) => (name === "xid" ? <code>{row[name]}</code> : (row[name] ?? <span class="muted">–</span>)),
  }));
}

export function Transactions(): JSX.Element {
  const found = useResource<Listing<Row>>("/transactions", EVERY_MS);
  const rows = found.data?.items ?? [];
  return (
    <Page title={t("nav.transactions")} lead={t("transactions.lead")} commands={{ cli: "shardline txn list", sql: "SHOW TRANSACTIONS", http: { method: "GET", path: "/transactions" } }}>
      {found.error && !found.data ? <Problem error={found.error} /> : null}
      {!found.data ? found.error ? null : <Loading /> : (
        <Card>
          <Grid caption={t("nav.transactions")} columns={columns_of(rows)} rows={rows} id={(row) => JSON.stringify(row)}
            empty={<Empty icon="check" title={t("transactions.none")}>{t("transactions.none.hint")}</Empty>} />
        </Card>
      )}
    </Page>
  );
}
