// Lines over time, by uPlot, with the same figures as a table.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { shown_theme } from "../state/preferences";
import { useStore } from "../state/store";
import { clock, moment, t, useLanguage } from "../text";
import { Button, Card } from "./basics";

export interface Line { label: string; colour: 1 | 2 | 3 | 4 | 5 | 6; values: readonly (number | null)[] }

interface LinesProps {
  title: string;
  note?: string;
  times: readonly number[];
  lines: readonly Line[];
  format: (value: number | null) => string;
  height?: number;
  fill?: boolean;
  /** The scale goes up to this at least. */
  least?: number;
  /** Shown while there are fewer than two points. */
  waiting: string;
}

const TABLE_ROWS_MAX = 60;

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(props: LinesProps, width: number, point_at: (index: number | null) => void): uPlot.Options {
  const { lines, format, height = 196, fill = false, least = 1 } = props;
  const axis = { stroke: colour("--muted"), font: "11px Inter, system-ui, sans-serif", ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
  return {
    width, height, legend: { show: false }, padding: [8, 28, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { size: 7 }, y: false },
    scales: { x: { time: true }, y: { range: (_, __, max) => [0, Math.max((max ?? 0) * 1.12, least)] } },
    axes: [
      { ...axis, grid: { show: false }, space: 72, size: 30, values: (_, ticks) => ticks.map((tick) => clock(tick, ticks.length > 1 && ticks[1]! - ticks[0]! < 60)) },
      { ...axis, size: 66, space: 40, values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => {
        const stroke = colour(`--c-${line.colour}`);
        return { label: line.label, stroke, width: 1.75, points: { show: false }, spanGaps: false, ...(fill ? { fill: `${stroke}1f` } : {}) };
      }),
    ],
    hooks: { setCursor: [(plot) => point_at(plot.cursor.idx ?? null)] },
  };
}

export function Lines(props: LinesProps): JSX.Element {
  const { title, note, times, lines, format, waiting } = props;
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const [as_table, set_as_table] = useState(false);
  const [at, set_at] = useState<number | null>(null);
  const theme = useStore(shown_theme);
  const language = useLanguage();
  const drawn = times.length > 1 && !as_table;
  const shape = lines.map((line) => `${line.label}${line.colour}`).join();
  const data = (): uPlot.AlignedData => [[...times], ...lines.map((line) => [...line.values])] as uPlot.AlignedData;

  useEffect(() => {
    const element = place.current;
    if (!element || !drawn) return;
    const made = new uPlot(options(props, element.clientWidth || 300, set_at), data(), element);
    plot.current = made;
    const watch = new ResizeObserver(() => {
      if (element.clientWidth > 0 && element.clientWidth !== made.width) made.setSize({ width: element.clientWidth, height: made.height });
    });
    watch.observe(element);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [drawn, theme, language, shape]);
  useEffect(() => plot.current?.setData(data()), [times, lines]);

  const index = at ?? times.length - 1;
  const tools = <Button kind="plain" slim icon={as_table ? "chart" : "table"} icon_only pressed={as_table} label={t("chart.as_table", { title })} onClick={() => set_as_table(!as_table)} />;
  return (
    <Card title={title} note={note} tools={tools}>
      <div class="legend" aria-hidden="true">
        {lines.map((line) => (
          <span key={line.label}><span class={`c-${line.colour}`}><i /></span>{line.label} <b>{format(line.values[index] ?? null)}</b></span>
        ))}
        {at !== null && times[at] !== undefined ? <span>{clock(times[at])}</span> : null}
      </div>
      {as_table ? <Values times={times} lines={lines} format={format} title={title} /> : times.length > 1 ? (
        <div class="chart" ref={place} role="img" aria-label={`${title}: ${lines.map((line) => `${line.label} ${format(line.values.at(-1) ?? null)}`).join(", ")}`} />
      ) : <div class="empty"><p>{waiting}</p></div>}
    </Card>
  );
}

function Values({ times, lines, format, title }: Pick<LinesProps, "times" | "lines" | "format" | "title">): JSX.Element {
  const from = Math.max(times.length - TABLE_ROWS_MAX, 0);
  const rows = times.slice(from).map((time, index) => ({ time, index: index + from })).reverse();
  return (
    <div class="table-wrap chart-table" tabIndex={0} role="region" aria-label={title}>
      <table class="table">
        <caption class="hidden-label">{title}</caption>
        <thead><tr><th scope="col">{t("chart.time")}</th>{lines.map((line) => <th scope="col" class="end" key={line.label}>{line.label}</th>)}</tr></thead>
        <tbody>
          {rows.map(({ time, index }) => (
            <tr key={time}><td class="number">{moment(time)}</td>{lines.map((line) => <td class="end" key={line.label}>{format(line.values[index] ?? null)}</td>)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
