// A cluster of the demo under load, of this checkout's binary, in a folder and on ports of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BINARY = process.env.SHARDLINE_BINARY ?? new URL("../../target/debug/shardline", import.meta.url).pathname;
const READY_MAX_MS = 90_000;
const STOP_MAX_MS = 30_000;
const OUTPUT_MAX = 64 * 1024;

async function free_port() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts it; `url` logs in, `stop` ends it and removes its folder. */
export async function start() {
  const folder = await mkdtemp(join(tmpdir(), "shardline-console-"));
  const [sql_port, console_port] = [await free_port(), await free_port()];
  const words = ["up", "--demo", "--load", "--dir", join(folder, "c"), "--sql-port", `${sql_port}`, "--console-port", `${console_port}`];
  const child = spawn(BINARY, words, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => { output = (output + chunk).slice(-OUTPUT_MAX); });
  }
  const stop = async () => {
    if (child.exitCode === null) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MAX_MS);
      await once(child, "exit");
      clearTimeout(timer);
    }
    await rm(folder, { recursive: true, force: true });
  };
  const origin = `http://127.0.0.1:${console_port}`;
  const until = Date.now() + READY_MAX_MS;
  while (!output.includes("Ready in")) {
    if (child.exitCode !== null || Date.now() > until) {
      await stop();
      throw new Error(`the cluster does not start:\n${output}`);
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  const link = /http:\/\/127\.0\.0\.1:\d+\/\?login=\S+/.exec(output);
  return { origin, sql_port, url: link ? link[0] : `${origin}/`, has_login: link !== null, stop };
}

/** Runs a statement by the client that everybody has; the answer's lines. */
export function sql(port, statement, database = "bank") {
  const child = spawn("mariadb", ["--no-defaults", "-h", "127.0.0.1", "-P", `${port}`, "-u", "root", "-N", "-B", database, "-e", statement]);
  let [answer, trouble] = ["", ""];
  child.stdout.on("data", (chunk) => { answer += chunk; });
  child.stderr.on("data", (chunk) => { trouble += chunk; });
  const done = once(child, "exit").then(([code]) => ({ code, answer: answer.trim(), trouble: trouble.trim() }));
  return { done, stop: () => child.kill("SIGTERM") };
}
