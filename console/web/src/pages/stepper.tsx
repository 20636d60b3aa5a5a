// The phases of a job, as steps: done, now, to come.
import type { JSX } from "preact";
import type { Job } from "../api/types";
import { known, t } from "../text";
import { Icon } from "../ui/icon";

const PHASES = ["planned", "preparing", "copying", "catching up", "verifying", "ready", "cutover", "watching", "finished"];

/** How far a job is: a stopped one by what its moves say. */
export function reached(job: Job): number {
  const at = PHASES.indexOf(job.phase);
  if (at >= 0) return at;
  if (job.phase === "rolled back" || job.phase === "cancelled") return 0;
  if (job.moves.length > 0 && job.moves.every((move) => move.copied)) return PHASES.indexOf("catching up");
  return job.rows_copied > 0 ? PHASES.indexOf("copying") : PHASES.indexOf("preparing");
}

export function Stepper({ job }: { job: Job }): JSX.Element {
  const now = reached(job);
  const stopped = job.phase === "failed" || job.phase === "paused";
  const over = job.phase === "finished";
  const none = job.phase === "rolled back" || job.phase === "cancelled";
  return (
    <ol class="steps" tabIndex={0} aria-label={t("job.phases")}>
      {PHASES.map((phase, index) => {
        const done = !none && (index < now || over);
        const here = !none && !over && index === now;
        return (
          <li key={phase} class={here ? (stopped ? "stopped" : "now") : done ? "done" : ""} aria-current={here ? "step" : undefined}>
            <span class="dot">{done ? <Icon name="check" size={14} /> : here && stopped ? <Icon name={job.phase === "paused" ? "pause" : "bad"} size={14} /> : index + 1}</span>
            {known("phase", phase)}
            {done ? <span class="hidden-label"> {t("step.done")}</span> : null}
          </li>
        );
      })}
    </ol>
  );
}
