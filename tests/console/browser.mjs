// Debian's Chromium, and what every page must keep to: no errors in its console, no request to elsewhere, no
// serious fault that axe finds.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WORDS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const WAIT_MS = 15_000;

export async function launch() {
  return chromium.launch({ executablePath: process.env.SHARDLINE_CHROMIUM ?? "/usr/bin/chromium", args: WORDS, headless: true });
}

/** A page that remembers what it did wrong, in `faults`. */
export async function open_page(browser, origin, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, locale: "en-GB", colorScheme: "light", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  const faults = [];
  watch(page, origin, faults);
  return { page, faults, close: () => context.close() };
}

function watch(page, origin, faults) {
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${origin}/`) && !url.startsWith("data:") && !url.startsWith("blob:")) faults.push(`request to ${url}`);
  });
}

/** What axe finds that is serious or worse, in words. */
export async function axe(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => (await window.axe.run(document, { resultTypes: ["violations"] })).violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`)));
  return found;
}

/** Goes to a page of the console and waits until its data is there. */
export async function visit(page, path) {
  await page.evaluate((hash) => { location.hash = hash; }, `#/${path}`);
  await page.locator("main h1").waitFor();
  await page.waitForFunction(() => document.querySelector(".loading-line") === null);
}
