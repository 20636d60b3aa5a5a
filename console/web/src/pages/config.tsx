// The configuration of the cluster, as the catalog has it.
import type { JSX } from "preact";
import type { Config } from "../api/types";
import { useResource } from "../state/resource";
import { number, t } from "../text";
import { Card, Loading, Problem } from "../ui/basics";
import { Page } from "../ui/page";

export function ConfigPage(): JSX.Element {
  const found = useResource<Config>("/config", 0);
  return (
    <Page title={t("nav.config")} lead={t("config.lead")} commands={{ http: { method: "GET", path: "/config" } }}>
      {found.error && !found.data ? <Problem error={found.error} /> : null}
      {!found.data ? found.error ? null : <Loading /> : (
        <Card title="cluster.yaml" note={t("config.epoch", { epoch: number(found.data.epoch) })}><pre class="diff" tabIndex={0}>{found.data.text}</pre></Card>
      )}
    </Page>
  );
}
