// What can be done with a job, each shown with what it does before it is done.
import type { JSX } from "preact";
import { may, post } from "../api/client";
import type { Job } from "../api/types";
import { t, type Key } from "../text";
import { Button } from "../ui/basics";
import type { Change } from "../ui/drawer";
import type { IconName } from "../ui/icon";

type Verb = "pause" | "resume" | "cutover" | "rollback" | "finish" | "cancel" | "verify";

interface Form { scope: "operate" | "change"; icon?: IconName; effects: Key[]; danger?: boolean; primary?: boolean }

const FORMS: Record<Verb, Form> = {
  resume: { scope: "operate", icon: "play", effects: ["verb.resume.1", "verb.resume.2"], primary: true },
  cutover: { scope: "change", icon: "arrow", effects: ["verb.cutover.1", "verb.cutover.2", "verb.cutover.3"], primary: true },
  pause: { scope: "operate", icon: "pause", effects: ["verb.pause.1", "verb.pause.2"] },
  verify: { scope: "operate", icon: "check", effects: ["verb.verify.1"] },
  finish: { scope: "change", icon: "check", effects: ["verb.finish.1", "verb.finish.2"], danger: true },
  rollback: { scope: "change", effects: ["verb.rollback.1", "verb.rollback.2"] },
  cancel: { scope: "change", effects: ["verb.cancel.1", "verb.cancel.2"], danger: true },
};

const ORDER = Object.keys(FORMS) as Verb[];

export function change_of(job: Job, verb: Verb, after: () => void): Change {
  const form = FORMS[verb];
  return {
    title: t(`verb.${verb}.title`, { id: job.id }),
    button: t(`verb.${verb}`),
    danger: form.danger === true,
    effects: form.effects.map((key) => t(key)),
    commands: {
      cli: `shardline rebalance ${verb} ${job.id}`,
      sql: verb === "verify" ? undefined : `CALL shardline.job('${verb}', ${job.id})`,
      http: { method: "POST", path: `/jobs/${job.id}:${verb}` },
    },
    run: () => post<Job>(`/jobs/${job.id}:${verb}`),
    done: t(`verb.${verb}.done`, { id: job.id }),
    after,
  };
}

export function JobVerbs({ job, ask, after }: { job: Job; ask: (change: Change) => void; after: () => void }): JSX.Element {
  const possible = ORDER.filter((verb) => job.verbs.includes(verb));
  return (
    <>
      {possible.map((verb) => {
        const form = FORMS[verb];
        const blocked = may(form.scope) ? undefined : t(form.scope === "change" ? "may.change" : "may.operate");
        return <Button key={verb} icon={form.icon} kind={form.primary ? "primary" : form.danger && verb === "cancel" ? "danger" : "normal"} label={t(`verb.${verb}`)} blocked={blocked} onClick={() => ask(change_of(job, verb, after))} />;
      })}
    </>
  );
}
