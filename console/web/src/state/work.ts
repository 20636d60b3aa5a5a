// One piece of work that a button begins: whether it runs, and what went wrong.
import { useState } from "preact/hooks";
import { ApiError } from "../api/client";

export interface Work { busy: boolean; error: ApiError | undefined; run: (work: () => Promise<unknown>) => Promise<void> }

export function useWork(): Work {
  const [busy, set_busy] = useState(false);
  const [error, set_error] = useState<ApiError>();
  const run = async (work: () => Promise<unknown>): Promise<void> => {
    set_busy(true);
    set_error(undefined);
    try {
      await work();
    } catch (problem) {
      set_error(problem instanceof ApiError ? problem : new ApiError(0, "", String(problem), null));
    }
    set_busy(false);
  };
  return { busy, error, run };
}
