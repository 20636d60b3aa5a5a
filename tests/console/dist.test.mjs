// The files in the binary are those that the sources give: they are built again and compared.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { test } from "node:test";

const WEB = new URL("../../console/web", import.meta.url).pathname;

function files(folder) {
  const found = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(found.map((entry) => {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    return [relative(folder, path), readFileSync(path)];
  }));
}

test("console/web/dist is the build of console/web/src (else: make console)", () => {
  const folder = mkdtempSync(join(tmpdir(), "shardline-dist-"));
  try {
    execFileSync(join(WEB, "node_modules/.bin/vite"), ["build", "--outDir", folder, "--emptyOutDir", "--logLevel", "error"], { cwd: WEB });
    const [built, kept] = [files(folder), files(join(WEB, "dist"))];
    assert.deepEqual([...built.keys()].sort(), [...kept.keys()].sort());
    for (const [name, bytes] of built) assert.ok(bytes.equals(kept.get(name)), `${name} differs`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the build is small, complete and needs nothing from elsewhere", () => {
  execFileSync("node", ["build/check.mjs"], { cwd: WEB, stdio: "pipe" });
});
