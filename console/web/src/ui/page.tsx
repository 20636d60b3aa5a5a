// A page: its title, what can be done, and the drawer with the same as commands.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { t } from "../text";
import { Button } from "./basics";
import { CommandsDrawer, type Commands } from "./drawer";

interface PageProps { title: string; lead?: string; above?: ComponentChildren; beside?: ComponentChildren; actions?: ComponentChildren; commands?: Commands; children: ComponentChildren }

export function Page({ title, lead, above, beside, actions, commands, children }: PageProps): JSX.Element {
  const [open, set_open] = useState(false);
  useEffect(() => { document.title = `${title} · Shardline`; }, [title]);
  return (
    <main class="page" id="main" tabIndex={-1}>
      <div class="page-head">
        <div class="titles">
          {above ? <div class="crumb">{above}</div> : null}
          <div class="title-line"><h1>{title}</h1>{beside}</div>
          {lead ? <p class="lead">{lead}</p> : null}
        </div>
        <div class="actions">
          {commands ? <Button kind="plain" icon="code" label={t("copy.button")} onClick={() => set_open(true)} /> : null}
          {actions}
        </div>
      </div>
      {children}
      {open && commands ? <CommandsDrawer commands={commands} close={() => set_open(false)} /> : null}
    </main>
  );
}
