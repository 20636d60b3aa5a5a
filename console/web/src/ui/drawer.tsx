// The drawer at the right: what a view is as commands, and what a change will do before it is done.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { t } from "../text";
import { Button, Field, Input, Notice, Problem } from "./basics";
import { toast } from "./toasts";

interface DrawerProps { title: string; close: () => void; children: ComponentChildren; foot?: ComponentChildren }

export function Drawer({ title, close, children, foot }: DrawerProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog ref={dialog} class="drawer" aria-labelledby="drawer-title"
      onCancel={(event) => { event.preventDefault(); close(); }}
      onClick={(event) => { if (event.target === dialog.current) close(); }}>
      <div class="drawer-head">
        <h2 id="drawer-title">{title}</h2>
        <Button kind="plain" icon="close" icon_only label={t("action.close")} onClick={close} />
      </div>
      <div class="drawer-body">{children}</div>
      {foot ? <div class="drawer-foot">{foot}</div> : null}
    </dialog>
  );
}

/** The same thing by command, in SQL and over HTTP. */
export interface Commands { cli?: string | undefined; sql?: string | undefined; http?: Http | undefined }
export interface Http { method: "GET" | "POST"; path: string; body?: unknown }

/** As one pastes it into a shell. The token stands in a variable: it is nobody's business on a screen. */
export function curl({ method, path, body }: Http): string {
  const words = ["curl", "-s"];
  if (method === "POST") words.push("-X POST", "-H 'Content-Type: application/json'");
  words.push(`-H "Authorization: Bearer $SHARDLINE_TOKEN"`);
  if (method === "POST") words.push(`-d '${JSON.stringify(body ?? {}).replaceAll("'", "'\\''")}'`);
  words.push(`'${location.origin}/api/v1${path}'`);
  return words.join(" ");
}

function Copy({ label, text }: { label: string; text: string }): JSX.Element {
  const [copied, set_copied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text).then(() => set_copied(true), () => toast("bad", t("copy.failed")));
    window.setTimeout(() => set_copied(false), 1_500);
  };
  return (
    <div class="field">
      <div class="label">{label}</div>
      <div class="copy">
        <pre tabIndex={0}>{text}</pre>
        <Button kind="plain" slim icon={copied ? "check" : "copy"} icon_only label={copied ? t("copy.done") : t("copy.copy", { what: label })} onClick={() => void copy()} />
      </div>
    </div>
  );
}

export function CommandList({ commands }: { commands: Commands }): JSX.Element {
  return (
    <>
      {commands.cli ? <Copy label={t("copy.cli")} text={commands.cli} /> : null}
      {commands.sql ? <Copy label="SQL" text={commands.sql} /> : null}
      {commands.http ? <Copy label="curl" text={curl(commands.http)} /> : null}
    </>
  );
}

export function CommandsDrawer({ commands, close }: { commands: Commands; close: () => void }): JSX.Element {
  return (
    <Drawer title={t("copy.title")} close={close}>
      <p class="muted">{t("copy.lead")}</p>
      <CommandList commands={commands} />
    </Drawer>
  );
}

/** A change, as it is shown before it is done. */
export interface Change {
  title: string;
  button: string;
  danger?: boolean;
  /** What will happen, sentence by sentence. */
  effects: string[];
  /** Typed by whoever does what cannot be undone. */
  confirm?: string;
  commands: Commands;
  run: () => Promise<unknown>;
  done?: string;
  after?: () => void;
}

export function ChangeDrawer({ change, close }: { change: Change; close: () => void }): JSX.Element {
  const [busy, set_busy] = useState(false);
  const [error, set_error] = useState<ApiError>();
  const [typed, set_typed] = useState("");
  const ready = change.confirm === undefined || typed === change.confirm;
  const run = async (): Promise<void> => {
    set_busy(true);
    set_error(undefined);
    try {
      await change.run();
      if (change.done) toast("ok", change.done);
      change.after?.();
      close();
    } catch (problem) {
      set_error(problem instanceof ApiError ? problem : new ApiError(0, "", String(problem), null));
      set_busy(false);
    }
  };
  const foot = (
    <>
      <Button label={t("action.back")} onClick={close} />
      <Button kind={change.danger ? "danger primary" : "primary"} label={change.button} busy={busy}
        blocked={ready ? undefined : t("change.type_first", { word: change.confirm ?? "" })} onClick={() => void run()} />
    </>
  );
  return (
    <Drawer title={change.title} close={close} foot={foot}>
      <div>
        <h3>{t("change.effects")}</h3>
        <ul class="bullets">{change.effects.map((effect) => <li key={effect}>{effect}</li>)}</ul>
      </div>
      {change.danger ? <Notice tone="warn">{t("change.danger")}</Notice> : null}
      {change.confirm !== undefined ? (
        <Field id="confirm" label={t("change.type", { word: change.confirm })}><Input id="confirm" value={typed} onInput={set_typed} /></Field>
      ) : null}
      {error ? <Problem error={error} /> : null}
      <div class="stack"><h3>{t("change.same")}</h3><CommandList commands={change.commands} /></div>
    </Drawer>
  );
}
