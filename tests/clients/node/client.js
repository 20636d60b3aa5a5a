// Drives a Shardline proxy with mysql2: the same steps as every other client.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const mysql = require('mysql2/promise');

const env = process.env;

function connect() {
  return mysql.createConnection({
    host: env.SL_HOST,
    port: Number(env.SL_PORT),
    user: env.SL_USER,
    password: env.SL_PASSWORD,
    database: env.SL_DATABASE,
    ssl: env.SL_CA ? { ca: fs.readFileSync(env.SL_CA), servername: 'localhost' } : undefined,
  });
}

async function schema(db) {
  await db.query(
    'CREATE TABLE t_hash (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10,2)) ' +
      'SHARD BY HASH (id)',
  );
  await db.query(
    'CREATE TABLE t_range (id INT NOT NULL, day DATE NOT NULL, PRIMARY KEY (id, day)) SHARD BY RANGE (day) ' +
      "(VALUES LESS THAN ('2025-01-01') ON s1, VALUES LESS THAN ('2026-01-01') ON s2, " +
      'VALUES LESS THAN (MAXVALUE) ON s3)',
  );
  await db.query(
    'CREATE TABLE t_list (region VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, ' +
      'id INT NOT NULL, PRIMARY KEY (region, id)) SHARD BY LIST (region) ' +
      "(VALUES IN ('north') ON s1, VALUES IN ('south') ON s2, DEFAULT ON s3)",
  );
}

async function fill(db) {
  for (let id = 1; id <= 90; id += 1) {
    await db.execute('INSERT INTO t_hash (id, name, amount) VALUES (?, ?, ?)', [id, `name ${id}`, `${id}.50`]);
  }
  for (let id = 1; id <= 90; id += 3) {
    const ids = [id, id + 1, id + 2];
    await db.query("INSERT INTO t_range (id, day) VALUES (?, '2024-06-01'), (?, '2025-06-01'), (?, '2026-06-01')", ids);
    await db.execute("INSERT INTO t_list (region, id) VALUES ('north', ?), ('south', ?), ('west', ?)", ids);
  }
}

async function read(db) {
  const [[row]] = await db.execute('SELECT name, amount FROM t_hash WHERE id = ?', [42]);
  assert.deepStrictEqual({ ...row }, { name: 'name 42', amount: '42.50' });
  const [scan] = await db.query('SELECT id FROM t_hash ORDER BY id LIMIT 20 OFFSET 5');
  assert.deepStrictEqual(scan.map((each) => each.id), Array.from({ length: 20 }, (_, index) => index + 6));
  const [[sums]] = await db.query('SELECT COUNT(*) AS n, SUM(amount) AS total FROM t_hash');
  assert.deepStrictEqual({ ...sums }, { n: 90, total: '4140.00' });
  const [groups] = await db.query('SELECT region, COUNT(*) AS n FROM t_list GROUP BY region ORDER BY region');
  assert.deepStrictEqual(groups.map((each) => [each.region, each.n]), [['north', 30], ['south', 30], ['west', 30]]);
}

async function write(db) {
  await db.beginTransaction();
  const [updated] = await db.execute('UPDATE t_hash SET amount = amount + 1 WHERE id = ?', [7]);
  assert.strictEqual(updated.affectedRows, 1);
  await db.commit();
  await db.beginTransaction();
  await db.execute('DELETE FROM t_hash WHERE id = ?', [7]);
  await db.rollback();
  const [[row]] = await db.query('SELECT amount FROM t_hash WHERE id = 7');
  assert.strictEqual(row.amount, '8.50');
}

async function fail(db) {
  await assert.rejects(db.query("INSERT INTO t_hash (id, name) VALUES (1, 'again')"), { errno: 1062 });
  await assert.rejects(db.execute('SELECT * FROM t_missing'), { errno: 1146 });
  const [[row]] = await db.query('SELECT 1 AS one');
  assert.strictEqual(row.one, 1);
}

async function main() {
  const db = await connect();
  for (const step of [schema, fill, read, write, fail]) {
    await step(db);
  }
  await db.end();
  console.log('ok');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
