// What a build must be: small enough, complete, without anything that a strict content security policy or a
// machine without the internet would miss. Ends with non-zero and says what is wrong.
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

const SCRIPT_GZIPPED_MAX = 150_000;
const here = new URL("..", import.meta.url);
const faults = [];

const files = readdirSync(new URL("dist", here), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => `${(entry.parentPath ?? entry.path).replace(/\/$/, "")}/${entry.name}`);
const read = (file) => readFileSync(file, "utf8");

const scripts = files.filter((file) => file.endsWith(".js"));
const size = scripts.reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0);
if (size > SCRIPT_GZIPPED_MAX) faults.push(`the scripts have ${size} bytes gzipped, more than ${SCRIPT_GZIPPED_MAX}`);

const page = read(files.find((file) => file.endsWith("/index.html")));
if (/<script(?![^>]*\bsrc=)/.test(page)) faults.push("index.html has an inline script");
if (/<style|\sstyle=|\son\w+=/.test(page)) faults.push("index.html has an inline style or handler");
// Names of XML kinds are no addresses.
for (const file of files.filter((one) => /\.(js|css|html)$/.test(one))) {
  for (const [address] of read(file).replace(/https?:\/\/www\.w3\.org\/[\w/]+/g, "").matchAll(/https?:\/\/[\w.-]+\.\w+[^\s"'`)]*/g)) {
    faults.push(`${file} names ${address}`);
  }
}

const words = ["en", "zh"].map((name) => JSON.parse(readFileSync(new URL(`src/text/${name}.json`, here), "utf8")));
const [en, zh] = words.map((one) => Object.keys(one));
for (const key of en.filter((one) => !zh.includes(one))) faults.push(`zh.json lacks ${key}`);
for (const key of zh.filter((one) => !en.includes(one))) faults.push(`en.json lacks ${key}`);
const holes = (text) => [...text.matchAll(/\{\w+\}/g)].map(([hole]) => hole).sort().join();
for (const key of en) {
  if (words[1][key] !== undefined && !key.endsWith(".one") && holes(words[0][key]) !== holes(words[1][key])) faults.push(`the values of ${key} differ`);
}

const sources = readdirSync(new URL("src", here), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
  .map((entry) => read(`${entry.parentPath ?? entry.path}/${entry.name}`))
  .join("\n");
const families = /^(verb|range|theme|sql\.tab|sql\.order|phase|move|wish|kind|role|proxy_state|user_role|scope|via|audit_phase|table_kind|environment|state|reason)\./;
for (const key of en) {
  if (!families.test(key) && !sources.includes(`"${key.replace(/\.one$/, "")}"`)) faults.push(`nobody says ${key}`);
}

if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
console.log(`scripts: ${size} bytes gzipped of ${SCRIPT_GZIPPED_MAX}; ${en.length} words in 2 languages`);
