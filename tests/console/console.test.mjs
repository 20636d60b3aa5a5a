// The console in a real browser, against a real cluster under load: what an operator does on a working day.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { axe, launch, open_page, visit } from "./browser.mjs";
import { start } from "./cluster.mjs";

const SHOTS = process.env.SHARDLINE_SCREENSHOTS ?? new URL("../../target/console/screenshots", import.meta.url).pathname;
const JOB_MAX_MS = 60_000;
let cluster;
let browser;
let tab;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  [cluster, browser] = await Promise.all([start(), launch()]);
  tab = await open_page(browser, cluster.origin);
});

after(async () => {
  await browser?.close();
  await cluster?.stop();
});

/** Everything that was wrong since the last look. */
function no_faults() {
  assert.deepEqual(tab.faults.splice(0), []);
}

const button = (name) => tab.page.getByRole("button", { name, exact: true });
const drawer = () => tab.page.locator("dialog[open]");
const phase = () => tab.page.locator(".title-line .badge").innerText();

test("the link logs in, and the word in it is gone from the address", async () => {
  await tab.page.goto(cluster.url);
  await tab.page.locator(".health .sentence").waitFor();
  assert.equal(await tab.page.locator(".health .sentence").innerText(), "All 3 shards are healthy.");
  assert.ok(!tab.page.url().includes("login="), tab.page.url());
  no_faults();
});

test("the overview shows the load, as lines and as a table", async () => {
  const statements = tab.page.locator(".figure-value").first();
  await tab.page.waitForFunction(() => Number.parseFloat(document.querySelector(".figure-value")?.textContent ?? "0") > 1);
  assert.match(await statements.innerText(), /^[\d.,]+\s*\/s$/);
  await tab.page.locator(".chart canvas").first().waitFor();
  await button("Load as a table").click();
  const rows = tab.page.locator(".chart-table tbody tr");
  await rows.nth(1).waitFor();
  assert.ok((await rows.first().innerText()).includes("202"), "a row begins with its time");
  await button("Load as a table").click();
  no_faults();
});

test("a shard is added from the browser", async () => {
  await visit(tab.page, "topology");
  await button("Add a shard").click();
  assert.equal(await drawer().getByLabel("Name of the shard").inputValue(), "s4");
  assert.ok((await drawer().innerText()).includes("shardline shard add s4 --local"));
  await drawer().getByRole("button", { name: "Add s4" }).click();
  await drawer().getByText("s4 is there").waitFor({ timeout: JOB_MAX_MS });
  await drawer().getByRole("button", { name: "Rebalance onto it" }).click();
  await tab.page.getByRole("heading", { name: "Rebalance", exact: true }).waitFor();
  no_faults();
});

test("a rebalance is planned, started, watched and finished in the browser", async () => {
  await visit(tab.page, "rebalance");
  await button("Make the plan").click();
  const plan = tab.page.getByRole("region", { name: "Plan" });
  await plan.locator("tbody tr").first().waitFor();
  assert.ok((await plan.innerText()).includes("s4"), "the plan moves data to the new shard");
  await button("Start").click();
  await tab.page.getByRole("heading", { name: /^Job \d+$/ }).waitFor();
  await tab.page.screenshot({ path: `${SHOTS}/job-running.png`, fullPage: true });
  await tab.page.locator(".title-line .badge", { hasText: "Watching" }).waitFor({ timeout: JOB_MAX_MS });
  await button("Finish").click();
  assert.ok((await drawer().innerText()).includes("From then on nothing goes back."));
  assert.ok((await drawer().innerText()).includes("CALL shardline.job('finish'"));
  await drawer().getByRole("button", { name: "Finish", exact: true }).click();
  await tab.page.locator(".title-line .badge", { hasText: "Finished" }).waitFor({ timeout: JOB_MAX_MS });
  assert.equal((await phase()).trim(), "Finished");
  await visit(tab.page, "topology/s4");
  const slots = tab.page.locator(".figures > div", { hasText: "Slots" }).locator(".figure-value");
  await tab.page.waitForFunction(() => [...document.querySelectorAll(".figures > div")].some((one) => one.textContent.startsWith("Slots") && !one.textContent.startsWith("Slots0")));
  assert.match(await slots.innerText(), /^4,0\d\d$/);
  no_faults();
});

test("language and theme are switched and kept", async () => {
  await visit(tab.page, "overview");
  await tab.page.getByRole("button", { name: "中文" }).click();
  await tab.page.getByRole("heading", { name: "概览" }).waitFor();
  assert.equal(await tab.page.locator("html").getAttribute("lang"), "zh-CN");
  await tab.page.getByRole("button", { name: /主题/ }).click();
  await tab.page.getByRole("button", { name: /主题/ }).click();
  assert.equal(await tab.page.locator("html").getAttribute("data-theme"), "dark");
  await tab.page.reload();
  await tab.page.getByRole("heading", { name: "概览" }).waitFor();
  assert.equal(await tab.page.locator("html").getAttribute("data-theme"), "dark");
  await tab.page.getByRole("button", { name: "English" }).click();
  await tab.page.getByRole("button", { name: /Theme/ }).click();
  no_faults();
});

test("the keyboard reaches and closes what the mouse does", async () => {
  await visit(tab.page, "topology");
  await tab.page.keyboard.press("Tab");
  const open = button("As command");
  await open.focus();
  await tab.page.keyboard.press("Enter");
  await drawer().waitFor();
  assert.ok(await tab.page.evaluate(() => document.querySelector("dialog[open]").contains(document.activeElement)));
  await tab.page.keyboard.press("Escape");
  await drawer().waitFor({ state: "detached" });
  assert.ok(await open.evaluate((element) => element === document.activeElement), "the focus is back");
  no_faults();
});

test("a viewer logs in by password, and may only look", async () => {
  const password = "correct horse battery";
  await visit(tab.page, "users");
  await button("Add a user").first().click();
  await drawer().getByLabel("User", { exact: true }).fill("anna");
  await drawer().getByLabel("Password", { exact: true }).fill(password);
  await drawer().getByRole("button", { name: "Add a user" }).click();
  await tab.page.getByRole("row", { name: /anna/ }).waitFor();
  const other = await open_page(browser, cluster.origin);
  await other.page.goto(`${cluster.origin}/#/topology`);
  await other.page.getByLabel("User", { exact: true }).fill("anna");
  await other.page.getByLabel("Password", { exact: true }).fill(password);
  await other.page.keyboard.press("Enter");
  const add = other.page.getByRole("button", { name: "Add a shard", exact: true });
  await add.waitFor();
  assert.equal(await add.getAttribute("aria-disabled"), "true");
  assert.match(await add.getAttribute("title"), /may not change the cluster/);
  await other.page.getByRole("button", { name: "Log out" }).click();
  await other.page.getByRole("heading", { name: "Log in to the console" }).waitFor();
  assert.deepEqual(await axe(other.page), []);
  await other.page.screenshot({ path: `${SHOTS}/login.png` });
  assert.deepEqual(other.faults, []);
  await other.close();
  no_faults();
});

test("the audit log knows who did what, and its chain is whole", async () => {
  await visit(tab.page, "audit");
  await tab.page.getByText(/The chain of [\d,]+ entries is intact/).waitFor();
  await tab.page.getByRole("row", { name: /addShard s4/ }).first().waitFor();
  await tab.page.getByRole("row", { name: /addUser anna/ }).first().waitFor();
  assert.ok(!(await tab.page.locator("main").innerText()).includes("correct horse"));
  no_faults();
});

test("every page is accessible, in both themes and languages, and fits a phone", async () => {
  const pages = await tab.page.locator("nav a.item").evaluateAll((links) => links.map((link) => link.getAttribute("href").slice(2)));
  assert.ok(pages.length >= 3, pages.join());
  pages.push("rebalance", "topology/s1", "jobs/1");
  if (pages.includes("databases")) pages.push("databases/bank/account");
  const faults = [];
  for (const theme of ["light", "dark"]) {
    for (const language of ["en", "zh"]) {
      await tab.page.evaluate(([theme, language]) => {
        localStorage.setItem("shardline.theme", theme);
        localStorage.setItem("shardline.language", language);
      }, [theme, language]);
      await tab.page.reload();
      for (const path of pages) {
        await visit(tab.page, path);
        await tab.page.screenshot({ path: `${SHOTS}/${path.replaceAll("/", "-")}-${theme}-${language}.png`, fullPage: true });
        if (language === "en") faults.push(...(await axe(tab.page)).map((fault) => `${path} ${theme}: ${fault}`));
      }
    }
  }
  await tab.page.setViewportSize({ width: 390, height: 844 });
  for (const path of pages) {
    await visit(tab.page, path);
    const width = await tab.page.evaluate(() => document.documentElement.scrollWidth);
    if (width > 390) faults.push(`${path}: ${width} pixels wide on a phone`);
    await tab.page.screenshot({ path: `${SHOTS}/${path.replaceAll("/", "-")}-phone.png`, fullPage: true });
  }
  await tab.page.setViewportSize({ width: 1360, height: 900 });
  assert.deepEqual(faults, []);
  no_faults();
});
