// Buttons, badges, notices, cards, empty states: the small parts.
import type { ComponentChildren, JSX } from "preact";
import type { ApiError } from "../api/client";
import { t } from "../text";
import { Icon, type IconName } from "./icon";

export type Tone = "ok" | "warn" | "bad" | "info" | "quiet";

const TONE_ICONS: Record<Tone, IconName> = { ok: "check", warn: "warn", bad: "bad", info: "info", quiet: "wait" };

interface ButtonProps {
  label: string;
  onClick?: () => void;
  icon?: IconName | undefined;
  kind?: "normal" | "primary" | "plain" | "danger" | "danger primary" | undefined;
  icon_only?: boolean;
  slim?: boolean;
  busy?: boolean;
  /** Why it cannot be used now; it stays reachable, so that the reason can be read. */
  blocked?: string | undefined;
  submit?: boolean;
  pressed?: boolean;
  expanded?: boolean;
}

export function Button(props: ButtonProps): JSX.Element {
  const { label, onClick, icon, kind = "normal", icon_only = false, slim = false, busy = false, blocked, submit = false, pressed, expanded } = props;
  const off = busy || blocked !== undefined;
  const classes = ["button", kind === "normal" ? "" : kind, icon_only ? "icon" : "", slim ? "slim" : ""].filter(Boolean).join(" ");
  return (
    <button type={submit ? "submit" : "button"} class={classes} aria-disabled={off || undefined} aria-label={icon_only ? label : undefined}
      title={blocked ?? (icon_only ? label : undefined)} aria-pressed={pressed} aria-expanded={expanded} aria-busy={busy || undefined}
      onClick={(event) => {
        if (off) event.preventDefault();
        else onClick?.();
      }}>
      {busy ? <Icon name="spinner" size={16} spin /> : icon ? <Icon name={icon} size={icon_only ? 18 : 16} /> : null}
      {icon_only ? null : label}
    </button>
  );
}

export function Badge({ tone, children, icon }: { tone: Tone; children: ComponentChildren; icon?: IconName }): JSX.Element {
  return <span class={`badge ${tone}`}><Icon name={icon ?? TONE_ICONS[tone]} size={13} />{children}</span>;
}

export function Notice({ tone, children, role }: { tone: Tone; children: ComponentChildren; role?: "alert" | "status" }): JSX.Element {
  return <div class={`notice ${tone}`} role={role}><Icon name={TONE_ICONS[tone]} size={16} /><div>{children}</div></div>;
}

/** What the server refused, with what it says to do. */
export function Problem({ error }: { error: ApiError }): JSX.Element {
  return (
    <Notice tone="bad" role="alert">
      <b>{error.status === 0 ? t("error.unreachable") : error.message}</b>
      {error.status === 0 ? <div>{t("error.unreachable.hint")}</div> : null}
      {error.hint ? <div>{error.hint}</div> : null}
    </Notice>
  );
}

interface CardProps { title?: string; note?: ComponentChildren; tools?: ComponentChildren; children: ComponentChildren; padded?: boolean }

export function Card({ title, note, tools, children, padded = false }: CardProps): JSX.Element {
  return (
    <section class="card">
      {title ? (
        <div class="card-head">
          <div><h2>{title}</h2>{note ? <div class="note">{note}</div> : null}</div>
          {tools ? <div class="row">{tools}</div> : null}
        </div>
      ) : null}
      {padded ? <div class="card-body">{children}</div> : children}
    </section>
  );
}

interface EmptyProps { icon: IconName; title: string; children?: ComponentChildren; action?: ComponentChildren }

/** Nothing here yet, and what the next step is. */
export function Empty({ icon, title, children, action }: EmptyProps): JSX.Element {
  return (
    <div class="empty">
      <span class="glyph"><Icon name={icon} size={20} /></span>
      <b>{title}</b>
      {children ? <p>{children}</p> : null}
      {action ? <div class="row">{action}</div> : null}
    </div>
  );
}

export function Loading(): JSX.Element {
  return <div class="card"><LoadingLines /></div>;
}

/** The same inside of a card. */
export function LoadingLines(): JSX.Element {
  return (
    <div class="card-body stack" role="status" aria-label={t("state.loading")}>
      <div /><div class="loading-line" /><div class="loading-line" /><div class="loading-line" />
    </div>
  );
}

export function Meter({ share, tone, label }: { share: number; tone?: "ok" | "warn" | "bad"; label: string }): JSX.Element {
  const percent = Math.round(Math.min(Math.max(share, 0), 1) * 1_000) / 10;
  return (
    <span class={`meter ${tone ?? ""}`} role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
      <i style={{ width: `${percent}%` }} />
    </span>
  );
}

/** A number with its name above it. */
export function Figure({ label, value, unit, note }: { label: string; value: string; unit?: string | undefined; note?: ComponentChildren }): JSX.Element {
  return (
    <div>
      <div class="figure-label">{label}</div>
      <div class="figure-value">{value}{unit ? <small>{unit}</small> : null}</div>
      <div class="figure-note">{note}</div>
    </div>
  );
}

interface SegmentsProps<T extends string> { label: string; value: T; options: readonly { value: T; label: string }[]; choose: (value: T) => void }

export function Segments<T extends string>({ label, value, options, choose }: SegmentsProps<T>): JSX.Element {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map((one) => (
        <button key={one.value} type="button" aria-pressed={one.value === value} onClick={() => choose(one.value)}>{one.label}</button>
      ))}
    </div>
  );
}

interface FieldProps { id: string; label: string; note?: string | undefined; wrong?: string | undefined; children: ComponentChildren }

export function Field({ id, label, note, wrong, children }: FieldProps): JSX.Element {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children}
      {wrong ? <div class="wrong" id={`${id}-wrong`} role="alert">{wrong}</div> : null}
      {note ? <div class="note" id={`${id}-note`}>{note}</div> : null}
    </div>
  );
}

interface InputProps {
  id: string; value: string; onInput: (value: string) => void; type?: string; placeholder?: string; autocomplete?: string;
  noted?: boolean; required?: boolean; inputmode?: "numeric"; filter?: boolean;
}

export function Input({ id, value, onInput, type = "text", placeholder, autocomplete = "off", noted = false, required = false, inputmode, filter = false }: InputProps): JSX.Element {
  return (
    <input id={id} class={filter ? "input filter" : "input"} type={type} value={value} placeholder={placeholder} autocomplete={autocomplete} required={required}
      inputMode={inputmode} spellcheck={false} aria-describedby={noted ? `${id}-note` : undefined}
      onInput={(event) => onInput(event.currentTarget.value)} />
  );
}

interface ChoicesProps<T extends string> { legend: string; name: string; value: T; options: readonly { value: T; label: string; note?: string }[]; choose: (value: T) => void }

export function Choices<T extends string>({ legend, name, value, options, choose }: ChoicesProps<T>): JSX.Element {
  return (
    <fieldset class="choices">
      <legend>{legend}</legend>
      {options.map((one) => (
        <label key={one.value} class="choice">
          <input type="radio" name={name} value={one.value} checked={one.value === value} onChange={() => choose(one.value)} />
          <div><b>{one.label}</b>{one.note ? <span>{one.note}</span> : null}</div>
        </label>
      ))}
    </fieldset>
  );
}
