// A job in a line: what it does, how far it is.
import type { JSX } from "preact";
import type { Job } from "../api/types";
import { link } from "../state/route";
import { known, number, seconds, t } from "../text";
import { Badge, Meter, type Tone } from "../ui/basics";
import type { IconName } from "../ui/icon";

const STOPPED = ["failed", "paused", "cancelled", "rolled back"];

export function phase_tone(phase: string): { tone: Tone; icon: IconName } {
  if (phase === "finished") return { tone: "ok", icon: "check" };
  if (phase === "failed") return { tone: "bad", icon: "bad" };
  if (phase === "paused") return { tone: "warn", icon: "pause" };
  if (STOPPED.includes(phase)) return { tone: "quiet", icon: "stop" };
  if (phase === "ready" || phase === "watching") return { tone: "ok", icon: "wait" };
  return { tone: "info", icon: "play" };
}

export function Phase({ phase }: { phase: string }): JSX.Element {
  const { tone, icon } = phase_tone(phase);
  return <Badge tone={tone} icon={icon}>{known("phase", phase)}</Badge>;
}

/** Before the copy's end a job's progress is its rows; afterwards its phase says more. */
export function is_copying(job: Job): boolean {
  return !job.is_over && job.percent < 100 && job.phase !== "planned";
}

export function JobLine({ job }: { job: Job }): JSX.Element {
  return (
    <div class="stack">
      <div class="row apart">
        <a href={link("jobs", job.id)}><b>{t("job.name", { id: job.id })}</b></a>
        <Phase phase={job.phase} />
      </div>
      <div class="muted small">{job.summary}</div>
      {is_copying(job) ? (
        <div class="with-meter small">
          <Meter share={job.percent / 100} label={t("job.copied")} />
          <span class="number">{number(job.percent, 0)} %{job.eta_s === null ? "" : ` · ${seconds(job.eta_s)}`}</span>
        </div>
      ) : null}
    </div>
  );
}
