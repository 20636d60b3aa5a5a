// The picture of the cluster: proxies above, shards below, and what moves between them. The tables beside
// it say the same in words.
import type { JSX } from "preact";
import type { Proxy, Server, Shard } from "../api/types";
import { bytes, known, number, t } from "../text";

const WIDTH = 1_000;
const BOX_WIDTH_MAX = 232;
const GAP = 28;
const PROXY_TOP = 36;
const PROXY_HEIGHT = 58;
const SHARD_TOP = 168;
const HEAD_HEIGHT = 66;
const SERVER_HEIGHT = 30;
const COLUMNS_MAX = 6;

interface PictureProps { shards: readonly Shard[]; proxies: readonly Proxy[] | undefined; servers: readonly Server[] | undefined; moves: readonly { from: string; to: string }[] }
interface Place { x: number; y: number; width: number }

/** Where boxes are, in rows of a few, centred. */
function places(count: number, top: number, row_height: number): Place[] {
  const columns = Math.min(Math.max(count, 1), COLUMNS_MAX);
  const width = Math.min(BOX_WIDTH_MAX, (WIDTH - 40 - GAP * (columns - 1)) / columns);
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const in_row = Math.min(columns, count - row * columns);
    const left = (WIDTH - in_row * width - (in_row - 1) * GAP) / 2;
    return { x: left + (index % columns) * (width + GAP), y: top + row * row_height, width };
  });
}

export function Picture({ shards, proxies, servers, moves }: PictureProps): JSX.Element {
  const tops = proxies && proxies.length > 0 ? proxies.slice(0, COLUMNS_MAX) : undefined;
  const names = tops?.map((one) => ({ key: `${one.id}`, title: `${t("proxy")} ${one.id}`, sub: one.address })) ?? [{ key: "all", title: t("topology.proxies"), sub: t("topology.sql_port") }];
  const servers_of = (shard: Shard): Server[] => servers?.filter((one) => one.shard === shard.name) ?? [];
  const most = Math.max(0, ...shards.map((shard) => servers_of(shard).length));
  const box_height = HEAD_HEIGHT + most * SERVER_HEIGHT + (most > 0 ? 8 : 0);
  const rows = Math.ceil(shards.length / COLUMNS_MAX);
  const above = places(names.length, PROXY_TOP, PROXY_HEIGHT);
  const below = places(shards.length, SHARD_TOP, box_height + 40);
  const arcs = moves.length > 0 ? 56 : 16;
  const height = SHARD_TOP + rows * (box_height + 40) - 40 + arcs;
  const at = new Map(shards.map((shard, index) => [shard.name, below[index]!]));
  return (
    <div class="table-wrap" tabIndex={0} role="region" aria-label={t("topology.picture")}>
      <svg class="topology" viewBox={`0 0 ${WIDTH} ${height}`} role="img" aria-label={t("topology.picture.text", { shards: shards.length, proxies: names.length })}>
        {above.flatMap((from, a) => below.map((to, b) => <path key={`${a}-${b}`} class="wire" d={wire(from, to)} />))}
        {moves.map(({ from, to }) => {
          const [a, b] = [at.get(from), at.get(to)];
          return a && b ? <path key={`${from} ${to}`} class="wire moving" d={arc(a, b, box_height)} /> : null;
        })}
        {names.map((one, index) => {
          const place = above[index]!;
          return (
            <g key={one.key}>
              <rect class="box" x={place.x} y={place.y} width={place.width} height={PROXY_HEIGHT} rx="10" />
              <circle class="dot-ok" cx={place.x + 18} cy={place.y + 22} r="4" />
              <text x={place.x + 30} y={place.y + 26}>{one.title}</text>
              <text class="sub" x={place.x + 30} y={place.y + 44}>{one.sub}</text>
            </g>
          );
        })}
        {shards.map((shard, index) => <Box key={shard.id} shard={shard} place={below[index]!} height={box_height} servers={servers_of(shard)} />)}
      </svg>
    </div>
  );
}

function wire(from: Place, to: Place): string {
  const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + PROXY_HEIGHT, to.x + to.width / 2, to.y];
  const middle = (y1 + y2) / 2;
  return `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
}

function arc(from: Place, to: Place, height: number): string {
  const [x1, x2, y] = [from.x + from.width / 2, to.x + to.width / 2, Math.max(from.y, to.y) + height];
  return `M${x1} ${from.y + height}C${x1} ${y + 50} ${x2} ${y + 50} ${x2} ${to.y + height}`;
}

function Box({ shard, place, height, servers }: { shard: Shard; place: Place; height: number; servers: readonly Server[] }): JSX.Element {
  const state = !shard.up ? "bad" : shard.state === "serving" ? "ok" : "warn";
  return (
    <g>
      <rect class={`box ${state}`} x={place.x} y={place.y} width={place.width} height={height} rx="10" />
      <circle class={`dot-${state}`} cx={place.x + 18} cy={place.y + 22} r="4" />
      <text x={place.x + 30} y={place.y + 26}>{shard.name}{state === "ok" ? "" : ` · ${!shard.up ? t("state.down") : known("state", shard.state)}`}</text>
      <text class="sub" x={place.x + 30} y={place.y + 46}>{t("topology.rows", { rows: number(shard.rows), size: bytes(shard.bytes) })}</text>
      {servers.map((server, index) => {
        const y = place.y + HEAD_HEIGHT + index * SERVER_HEIGHT;
        return (
          <g key={server.address}>
            <line class="rule" x1={place.x + 14} x2={place.x + place.width - 14} y1={y} y2={y} />
            <circle class={server.up ? "dot-ok" : "dot-bad"} cx={place.x + 18} cy={y + 18} r="3" />
            <text class="sub" x={place.x + 30} y={y + 22}>{known("role", server.role)} · {server.address.replace("127.0.0.1", "")}</text>
          </g>
        );
      })}
    </g>
  );
}
