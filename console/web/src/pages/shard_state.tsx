// How a shard is, in a word with its sign.
import type { JSX } from "preact";
import type { Shard } from "../api/types";
import { t } from "../text";
import { Badge } from "../ui/basics";

export function ShardState({ shard }: { shard: Shard }): JSX.Element {
  if (!shard.up) return <Badge tone="bad">{t("state.down")}</Badge>;
  if (shard.state === "joining") return <Badge tone="info" icon="wait">{t("state.joining")}</Badge>;
  if (shard.state === "draining") return <Badge tone="warn" icon="wait">{t("state.draining")}</Badge>;
  return <Badge tone="ok">{t("state.serving")}</Badge>;
}
