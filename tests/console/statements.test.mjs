// What a server tells of statements and sessions, in a real browser: a slow statement is found, a session ended.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open_page, visit } from "./browser.mjs";
import { sql, start } from "./cluster.mjs";

let cluster;
let browser;
let tab;

before(async () => {
  [cluster, browser] = await Promise.all([start(), launch()]);
  tab = await open_page(browser, cluster.origin);
  await tab.page.goto(cluster.url);
  await tab.page.locator(".health .sentence").waitFor();
});

after(async () => {
  await browser?.close();
  await cluster?.stop();
});

function no_faults() {
  assert.deepEqual(tab.faults.splice(0), []);
}

test("databases show where their rows are", async () => {
  await visit(tab.page, "databases");
  const account = tab.page.getByRole("row", { name: /account sharded hash\(customer_id\)/ });
  await account.waitFor();
  assert.match(await account.locator(".spread").getAttribute("aria-label"), /s1: [\d,]+, s2: [\d,]+, s3: [\d,]+/);
  await account.getByRole("link", { name: "account" }).click();
  await tab.page.getByRole("heading", { name: "bank.account" }).waitFor();
  await tab.page.getByRole("row", { name: /s3/ }).waitFor();
  no_faults();
});

test("the statements of the load are there by weight", async () => {
  await visit(tab.page, "sql");
  const row = tab.page.getByRole("row", { name: /UPDATE account SET balance/ });
  await row.waitFor();
  assert.ok(!(await row.innerText()).includes("customer_id = 4"), "values are masked");
  no_faults();
});

test("a slow statement is found while it is new, with its time on the shards", async () => {
  await visit(tab.page, "sql/slow");
  const slow = sql(cluster.sql_port, "SELECT SLEEP(1.2) FROM account WHERE customer_id = 42 LIMIT 1");
  const row = tab.page.getByRole("row", { name: /SELECT SLEEP/ }).first();
  await row.waitFor();
  assert.match(await row.innerText(), /1\.\d+ s/);
  assert.match(await row.innerText(), /s[123] 1\.\d+ s/);
  assert.equal((await slow.done).code, 0);
  no_faults();
});

test("where a statement goes is explained without running it", async () => {
  await visit(tab.page, "sql/explain");
  await tab.page.getByLabel("Database", { exact: true }).fill("bank");
  await tab.page.getByLabel("Statement", { exact: true }).fill("DELETE FROM account WHERE customer_id = 42");
  await tab.page.getByRole("button", { name: "Explain" }).last().click();
  await tab.page.locator("pre.diff").waitFor();
  assert.match(await tab.page.locator("pre.diff").innerText(), /s[123]/);
  const left = await sql(cluster.sql_port, "SELECT COUNT(*) FROM account WHERE customer_id = 42").done;
  assert.notEqual(left.answer, "0");
  no_faults();
});

test("a session is ended from the browser, after a look at what that does", async () => {
  const victim = sql(cluster.sql_port, "SELECT SLEEP(60) FROM account WHERE customer_id = 42 LIMIT 1");
  await visit(tab.page, "sessions");
  const row = tab.page.getByRole("row", { name: /SELECT SLEEP/ });
  await row.getByRole("button", { name: "Kill" }).click();
  const drawer = tab.page.locator("dialog[open]");
  assert.match(await drawer.innerText(), /Its open transaction is rolled back/);
  assert.match(await drawer.innerText(), /KILL \d+/);
  await drawer.getByRole("button", { name: "Kill" }).click();
  const end = await victim.done;
  assert.notEqual(end.code, 0, "the client was told");
  await row.waitFor({ state: "detached" });
  no_faults();
});
