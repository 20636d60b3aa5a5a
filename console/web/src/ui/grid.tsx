// Tables: dense, sortable, readable by those who see them and those who hear them.
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { t } from "../text";
import { Button } from "./basics";
import { Icon } from "./icon";

export interface Column<T> {
  key: string;
  label: string;
  cell: (row: T) => ComponentChildren;
  /** What rows are sorted by; without it they are not by this column. */
  by?: (row: T) => number | string;
  end?: boolean;
  shrink?: boolean;
}

interface GridProps<T> {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  id: (row: T) => string | number;
  empty?: ComponentChildren;
  sorted?: { key: string; down: boolean };
}

/** More rows are shown when one asks. */
const ROWS_AT_ONCE = 100;

export function Grid<T>({ caption, columns, rows, id, empty, sorted }: GridProps<T>): JSX.Element {
  const [order, set_order] = useState(sorted);
  const [shown, set_shown] = useState(ROWS_AT_ONCE);
  if (rows.length === 0 && empty) return <>{empty}</>;
  const by = columns.find((column) => column.key === order?.key)?.by;
  const lines = by && order ? [...rows].sort((a, b) => compare(by(a), by(b)) * (order.down ? -1 : 1)) : rows;
  const turn = (key: string): void =>
    set_order((now) => (now?.key === key ? { key, down: !now.down } : { key, down: columns.find((one) => one.key === key)?.end === true }));
  return (
    <div class="table-wrap" tabIndex={0} role="region" aria-label={caption}>
      <table class="table">
        <caption class="hidden-label">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} scope="col" class={column.end ? "end" : undefined}
                aria-sort={column.by ? (order?.key === column.key ? (order.down ? "descending" : "ascending") : "none") : undefined}>
                {column.by ? (
                  <button type="button" onClick={() => turn(column.key)}>
                    {column.label}
                    {order?.key === column.key ? <Icon name={order.down ? "down" : "up"} size={12} /> : null}
                  </button>
                ) : column.label === "" ? <span class="hidden-label">{t("table.actions")}</span> : column.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {lines.slice(0, shown).map((row) => (
            <tr key={id(row)}>
              {columns.map((column) => (
                <td key={column.key} class={[column.end ? "end" : "", column.shrink ? "shrink" : ""].join(" ").trim() || undefined}>{column.cell(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > shown ? (
        <div class="row card-body"><Button kind="plain" slim label={t("table.more", { n: lines.length - shown })} onClick={() => set_shown(shown + ROWS_AT_ONCE * 5)} /></div>
      ) : null}
    </div>
  );
}

function compare(a: number | string, b: number | string): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}
