-- What no merge of the shards' rows answers: joins of every kind, subqueries anywhere, set
-- operations, windows, other aggregates.
-- Whether a server sorts in a table of its own, which the columns show, depends on its statistics.
#! loosely
CREATE TABLE cu (id INT NOT NULL PRIMARY KEY, name VARCHAR(20) COLLATE utf8mb4_general_ci, city VARCHAR(20) CHARACTER SET latin1, credit DECIMAL(10,2), born DATE NULL, boss INT NULL, KEY (city)) /*!999999 SHARD BY HASH (id) */;
CREATE TABLE co (id INT NOT NULL AUTO_INCREMENT, cu_id INT NOT NULL, made DATETIME(3) NULL, status ENUM('open','paid','late') NULL, amount DECIMAL(12,4) NULL, note TEXT NULL, PRIMARY KEY (id, cu_id), KEY (cu_id)) /*!999999 SHARD BY HASH (cu_id) */;
CREATE TABLE cl (co_id INT NOT NULL, line INT NOT NULL, code CHAR(3) NOT NULL, n INT UNSIGNED NOT NULL DEFAULT 1, price FLOAT NULL, PRIMARY KEY (co_id, line)) /*!999999 SHARD BY HASH (co_id) */;
CREATE TABLE cb (code CHAR(3) NOT NULL PRIMARY KEY, name VARCHAR(20), n INT) /*!999999 BROADCAST */;
CREATE TABLE c1 (id INT NOT NULL PRIMARY KEY, v VARCHAR(20)) /*!999999 SINGLE ON s1 */;
CREATE TABLE c3 (id INT NOT NULL PRIMARY KEY, v VARCHAR(20)) /*!999999 SINGLE ON s3 */;
INSERT INTO cu VALUES (1, 'Ann', 'Bern', 10.50, '1980-01-02', NULL), (2, 'bob', 'Köln', NULL, '1990-12-31', 1), (3, 'Cid', 'bern', -3.25, NULL, 1), (4, 'ann ', NULL, 0.00, '2000-02-29', 2), (5, NULL, 'Ulm', 99.99, '1970-07-07', 3), (6, 'Eve', 'Ulm', 1.00, '1999-09-09', 2), (7, 'fay', 'Köln', 7.77, '1980-01-02', 9);
INSERT INTO co VALUES (1, 1, '2024-01-01 10:00:00.123', 'open', 10.5000, 'first'), (2, 1, '2024-02-01 00:00:00', 'paid', 20.2500, NULL), (3, 2, '2024-02-03 23:59:59.999', 'late', -1.0001, 'it''s \\ "late"'), (4, 3, NULL, NULL, NULL, ''), (5, 5, '2024-03-01 12:00:00', 'paid', 1000.0000, 'ä€'), (6, 5, '2024-03-02 12:00:00', 'paid', 1000.0000, 'x'), (7, 8, '2024-04-01 12:00:00', 'open', 3.3333, 'orphan');
INSERT INTO cl VALUES (1, 1, 'EUR', 2, 1.1), (1, 2, 'USD', 1, 2.345678), (2, 1, 'EUR', 5, NULL), (3, 1, 'CHF', 4294967295, 3e30), (5, 1, 'XXX', 0, -0.5), (6, 1, 'USD', 7, 0.1), (9, 1, 'EUR', 1, 9);
INSERT INTO cb VALUES ('EUR', 'Euro', 1), ('USD', 'Dollar', 2), ('CHF', NULL, 3);
INSERT INTO c1 VALUES (1, 'one'), (2, 'two'), (5, 'five');
INSERT INTO c3 VALUES (1, 'eins'), (3, 'drei'), (5, NULL);
-- Joins.
SELECT cu.id, co.id FROM cu JOIN co ON cu.id = co.id ORDER BY 1, 2;
SELECT cu.*, co.* FROM cu JOIN co ON co.cu_id = cu.id ORDER BY co.id;
SELECT * FROM cu JOIN co ON co.cu_id = cu.id JOIN cl ON cl.co_id = co.id ORDER BY co.id, cl.line;
SELECT a.name, b.name AS boss FROM cu a JOIN cu b ON a.boss = b.id ORDER BY a.id;
SELECT a.name, b.name AS boss FROM cu a LEFT JOIN cu b ON a.boss = b.id ORDER BY a.id;
SELECT a.id, b.id FROM cu a RIGHT JOIN cu b ON a.boss = b.id ORDER BY b.id, a.id;
SELECT a.id, b.id, c.id FROM cu a LEFT JOIN (cu b LEFT JOIN cu c ON b.boss = c.id) ON a.boss = b.id ORDER BY 1;
SELECT cu.id, cl.line FROM cu, cl WHERE cu.id > cl.n ORDER BY 1, 2, cl.co_id;
SELECT COUNT(*) FROM cu CROSS JOIN co CROSS JOIN cl;
SELECT * FROM cu NATURAL JOIN co ORDER BY id;
SELECT * FROM cu NATURAL LEFT JOIN co ORDER BY id;
SELECT * FROM co NATURAL RIGHT JOIN cu ORDER BY id;
SELECT id, cu.name, co.status FROM cu JOIN co USING (id) ORDER BY id;
SELECT * FROM cb LEFT JOIN cl ON cl.code = cb.code ORDER BY cb.code, cl.co_id, cl.line;
SELECT cb.code, cl.co_id FROM cl RIGHT JOIN cb USING (code) ORDER BY 1, 2;
SELECT c1.v, c3.v FROM c1 JOIN c3 USING (id) ORDER BY id;
SELECT c1.id, c3.id FROM c1 LEFT JOIN c3 USING (id) ORDER BY c1.id;
SELECT cu.name, c1.v FROM cu JOIN c1 ON c1.id = cu.id ORDER BY cu.id;
SELECT cu.name, c1.v, c3.v FROM cu LEFT JOIN c1 ON c1.id = cu.id LEFT JOIN c3 ON c3.id = cu.id ORDER BY cu.id;
SELECT cu.id, co.id FROM cu LEFT JOIN co ON co.cu_id = cu.id AND co.status = 'paid' WHERE cu.id < 6 ORDER BY 1, 2;
SELECT cu.id, co.id FROM cu LEFT JOIN co ON co.cu_id = cu.id WHERE co.status IS NULL ORDER BY 1, 2;
SELECT cu.id, co.id FROM cu LEFT JOIN co ON co.cu_id = cu.id WHERE co.status = 'paid' ORDER BY 1, 2;
SELECT cu.id, co.id FROM cu LEFT JOIN co ON co.id = cu.id WHERE co.cu_id = 1 OR co.cu_id IS NULL ORDER BY 1, 2;
SELECT a.id, b.id FROM cu a LEFT JOIN cu b ON b.id = a.boss AND b.id = 1 WHERE a.credit >= 0 ORDER BY 1;
SELECT a.id, b.id FROM cu a RIGHT JOIN cu b ON a.boss = b.id WHERE b.id IN (1, 2, 3) ORDER BY 2, 1;
SELECT a.id, b.id, c.id FROM cu a JOIN cu b ON b.boss = a.id JOIN cu c ON c.boss = b.id WHERE a.id = 1 ORDER BY 1, 2, 3;
SELECT a.id, b.id FROM cu a STRAIGHT_JOIN co b ON b.id = a.id ORDER BY a.id;
SELECT cu.id FROM cu JOIN co ON cu.id = co.id WHERE cu.id = 1 AND co.cu_id = 1;
SELECT cu.id, co.id FROM cu JOIN co ON cu.id = co.id WHERE cu.id = 3 AND co.cu_id = 3;
-- Subqueries.
SELECT id FROM cu WHERE id IN (SELECT cu_id FROM co) ORDER BY id;
SELECT id FROM cu WHERE id NOT IN (SELECT cu_id FROM co) ORDER BY id;
SELECT id FROM cu WHERE id NOT IN (SELECT boss FROM cu) ORDER BY id;
SELECT id FROM cu WHERE EXISTS (SELECT 1 FROM co WHERE co.cu_id = cu.id) ORDER BY id;
SELECT id FROM cu WHERE NOT EXISTS (SELECT 1 FROM co WHERE co.cu_id = cu.id AND co.amount > 5) ORDER BY id;
SELECT id FROM cu WHERE id = 1 OR EXISTS (SELECT 1 FROM co WHERE co.id = cu.id AND status = 'late') ORDER BY id;
SELECT id, (SELECT COUNT(*) FROM co WHERE co.cu_id = cu.id) AS n FROM cu ORDER BY id;
SELECT id, (SELECT MAX(amount) FROM co) FROM cu ORDER BY id;
SELECT (SELECT SUM(cu.credit) FROM co LIMIT 1) FROM cu;
SELECT id FROM cu WHERE credit > ALL (SELECT amount FROM co WHERE amount < 10) ORDER BY id;
SELECT id FROM cu WHERE credit > ANY (SELECT amount FROM co) ORDER BY id;
SELECT id FROM cu WHERE credit = SOME (SELECT credit FROM cu b WHERE b.id > cu.id) ORDER BY id;
SELECT id FROM cu WHERE (id, boss) IN (SELECT id, boss FROM cu WHERE boss = 1) ORDER BY id;
SELECT id FROM cu WHERE credit = (SELECT MAX(credit) FROM cu);
SELECT id FROM cu ORDER BY (SELECT COUNT(*) FROM co WHERE co.cu_id = cu.id) DESC, id;
#! unordered
SELECT COUNT(*), (SELECT 1) FROM cu GROUP BY (SELECT status FROM co WHERE co.id = cu.id);
SELECT a.id FROM cu a JOIN cu b ON b.id = (SELECT MIN(co.cu_id) FROM co WHERE co.cu_id > a.id) ORDER BY 1;
SELECT a.id, b.id FROM cu a LEFT JOIN cu b ON b.id IN (SELECT cu_id FROM co WHERE co.id = a.id) ORDER BY 1, 2;
SELECT id FROM cu WHERE id IN (SELECT cu_id FROM co WHERE id IN (SELECT co_id FROM cl WHERE code IN (SELECT code FROM cb WHERE n = 2))) ORDER BY id;
SELECT id FROM cu WHERE 2 = (SELECT COUNT(*) FROM co WHERE cu_id = cu.id) AND id < 5;
SELECT id FROM cu WHERE id = 5 AND EXISTS (SELECT 1 FROM co WHERE co.cu_id = cu.id AND co.id > 5);
#! error 1242
SELECT id FROM cu WHERE id = (SELECT cu_id FROM co);
#! error 1241
SELECT id FROM cu WHERE id IN (SELECT id, cu_id FROM co);
#! error 1054
SELECT id FROM cu WHERE id IN (SELECT nosuch FROM co);
#! error 1052
SELECT id FROM cu JOIN co ON cu.id = co.cu_id ORDER BY 1;
-- Derived tables and CTEs.
SELECT * FROM (SELECT id, credit FROM cu WHERE credit > 0) d ORDER BY id;
SELECT d.city, d.n FROM (SELECT city, COUNT(*) AS n FROM cu GROUP BY city) d WHERE d.n > 1 ORDER BY 1;
SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM co GROUP BY cu_id) d;
SELECT cu.id, d.n FROM cu LEFT JOIN (SELECT cu_id, COUNT(*) n FROM co GROUP BY cu_id) d ON d.cu_id = cu.id ORDER BY cu.id;
WITH d AS (SELECT cu_id, SUM(amount) s FROM co GROUP BY cu_id) SELECT cu.name, d.s FROM cu JOIN d ON d.cu_id = cu.id ORDER BY cu.id;
WITH d AS (SELECT id FROM cu), e AS (SELECT id FROM d WHERE id > 3) SELECT * FROM d JOIN e USING (id) ORDER BY id;
WITH cu AS (SELECT id, 'cte' AS tag FROM co) SELECT * FROM cu ORDER BY id;
WITH cu AS (SELECT id, name FROM cu WHERE id > 3) SELECT * FROM cu WHERE id < 6 ORDER BY id;
WITH RECURSIVE t AS (SELECT id, boss, 1 AS depth FROM cu WHERE boss IS NULL UNION ALL SELECT cu.id, cu.boss, t.depth + 1 FROM cu JOIN t ON cu.boss = t.id) SELECT * FROM t ORDER BY id;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT n.i, cu.name FROM n LEFT JOIN cu ON cu.id = n.i * 2 ORDER BY 1;
SELECT cu.id FROM cu, JSON_TABLE('[1, 3, 5]', '$[*]' COLUMNS (j INT PATH '$')) jt WHERE jt.j = cu.id ORDER BY 1;
-- Set operations.
SELECT id FROM cu UNION SELECT cu_id FROM co ORDER BY 1;
SELECT id FROM cu UNION ALL SELECT cu_id FROM co ORDER BY 1;
(SELECT id FROM cu ORDER BY id LIMIT 2) UNION ALL (SELECT cu_id FROM co ORDER BY id DESC LIMIT 2) ORDER BY 1;
#! unordered
SELECT name, id FROM cu UNION SELECT code, n FROM cb;
SELECT id FROM cu UNION (SELECT cu_id FROM co UNION ALL SELECT co_id FROM cl) ORDER BY 1;
SELECT id FROM cu INTERSECT SELECT cu_id FROM co ORDER BY 1;
SELECT id FROM cu EXCEPT SELECT cu_id FROM co ORDER BY 1;
SELECT id FROM cu EXCEPT ALL SELECT cu_id FROM co ORDER BY 1;
SELECT city FROM cu UNION SELECT name FROM cu ORDER BY 1;
SELECT 1 AS x FROM cu UNION SELECT 2 ORDER BY x;
#! error 1222
SELECT id, name FROM cu UNION SELECT cu_id FROM co;
-- Windows.
SELECT id, ROW_NUMBER() OVER (ORDER BY credit DESC, id) r FROM cu ORDER BY id;
SELECT id, city, RANK() OVER (PARTITION BY city ORDER BY id) r, SUM(credit) OVER (PARTITION BY city) s FROM cu ORDER BY id;
SELECT id, LAG(name, 1) OVER w, LEAD(id) OVER w, FIRST_VALUE(born) OVER w FROM cu WINDOW w AS (ORDER BY id) ORDER BY id;
SELECT cu_id, SUM(amount) OVER (PARTITION BY cu_id ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) s FROM co ORDER BY id;
SELECT * FROM (SELECT id, NTILE(3) OVER (ORDER BY id) t FROM cu) d WHERE t = 2 ORDER BY id;
-- Aggregates.
SELECT GROUP_CONCAT(name ORDER BY id SEPARATOR '; ') FROM cu;
SELECT city, GROUP_CONCAT(DISTINCT id ORDER BY id DESC) FROM cu GROUP BY city ORDER BY city;
SELECT BIT_AND(id), BIT_OR(id), BIT_XOR(id), STD(credit), STDDEV_SAMP(credit), VARIANCE(credit), VAR_SAMP(id) FROM cu;
SELECT JSON_ARRAYAGG(id ORDER BY id), JSON_OBJECTAGG(id, 1) IS NULL FROM cu WHERE id < 4;
SELECT city, COUNT(*) c FROM cu GROUP BY city HAVING c > 1 ORDER BY city;
SELECT city, COUNT(*) FROM cu GROUP BY city HAVING COUNT(*) > 1 AND MAX(credit) > 0 ORDER BY 1;
SELECT COUNT(*) FROM cu HAVING COUNT(*) > 100;
SELECT SUM(credit) / COUNT(*), MAX(id) - MIN(id), COALESCE(SUM(credit), 0) + 1 FROM cu;
SELECT IF(COUNT(*) > 3, 'many', 'few') FROM cu;
SELECT city, SUM(credit) FROM cu GROUP BY city WITH ROLLUP;
SELECT status, cu_id, COUNT(*) FROM co GROUP BY status, cu_id WITH ROLLUP;
SELECT COUNT(DISTINCT city), COUNT(DISTINCT city, boss), COUNT(DISTINCT boss) FROM cu;
SELECT city, MIN(name) m FROM cu GROUP BY city ORDER BY m, city;
SELECT DISTINCT city FROM cu WHERE id < 4 ORDER BY born;
SELECT id AS x FROM cu ORDER BY x + 1 DESC;
SELECT COUNT(*) FROM cu WHERE id IN (1, 2) HAVING MAX(id) = 2;
SELECT YEAR(born) y, COUNT(*) FROM cu GROUP BY y HAVING y > 1980 ORDER BY COUNT(*) DESC, y;
SELECT cu.city, SUM(cl.n * cl.price) FROM cu JOIN co ON co.cu_id = cu.id JOIN cl ON cl.co_id = co.id GROUP BY cu.city ORDER BY 2, 1;
-- What the text means stays what it is.
SELECT d.id, d.CREDIT + 1, 'lit', NOW() > '2020-01-01' x FROM (SELECT * FROM cu) d ORDER BY d.id;
SELECT a.id, a.v FROM (SELECT id, UPPER(name) v FROM cu) a ORDER BY a.v, a.id;
SELECT CONCAT(a.name, b.city) FROM cu a JOIN cu b ON a.boss = b.id ORDER BY a.id;
SELECT a.name = b.name, a.city = b.city, a.name COLLATE utf8mb4_bin = b.name FROM cu a JOIN cu b ON a.id = b.id - 3 ORDER BY a.id;
SELECT a.price, a.price * 1e0, a.price = 2.345678, b.n FROM cl a JOIN cl b ON a.co_id = b.co_id + 1 ORDER BY a.co_id, a.line, b.line;
SELECT a.note, HEX(a.note), LENGTH(a.note), a.made, a.status + 0 FROM co a LEFT JOIN co b ON a.id = b.id + 1 ORDER BY a.id;
SELECT shop.cu.id, `cu`.`name` FROM shop.cu JOIN `shop`.`co` ON cu.id = co.id ORDER BY 1;
SELECT id FROM cu WHERE id IN (SELECT cu_id FROM co WHERE made >= '2024-02-01' AND made < DATE '2024-02-01' + INTERVAL 1 MONTH) ORDER BY 1;
SELECT COUNT(*) FROM cu a JOIN cu b ON a.city = b.city WHERE a.credit BETWEEN -5 AND 100 AND b.name LIKE 'a%';
SELECT COUNT(*) FROM cu a JOIN cu b ON a.city = b.city WHERE (a.credit < 5 OR a.credit > 50) AND b.born IS NOT NULL AND a.id <> 3;
SELECT COUNT(*) FROM cu a JOIN cu b ON a.boss = b.id WHERE a.city = 'KÖLN' AND b.name <=> 'ANN';
SELECT a.id, @rank := a.id * 2 FROM cu a JOIN co b ON a.id = b.id ORDER BY a.id;
SELECT @rank;
SELECT COUNT(*) INTO @n FROM cu a JOIN cu b ON a.boss = b.id;
SELECT @n;
SELECT DATABASE(), a.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY a.id LIMIT 2;
SELECT SQL_CALC_FOUND_ROWS a.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY a.id LIMIT 2;
SELECT FOUND_ROWS();
SELECT SQL_CALC_FOUND_ROWS id, CAST('x' AS UNSIGNED) FROM cu ORDER BY id LIMIT 1;
SELECT FOUND_ROWS();
SELECT SQL_CALC_FOUND_ROWS line FROM cl WHERE co_id = 1 ORDER BY line LIMIT 1;
SELECT FOUND_ROWS();
SELECT SQL_CALC_FOUND_ROWS id, @a := id FROM cu ORDER BY id LIMIT 2, 1;
SELECT FOUND_ROWS(), @a;
SELECT id FROM cu UNION SELECT cu_id FROM co LIMIT 0;
SELECT a.id, CAST('x' AS UNSIGNED) FROM cu a JOIN cu b ON a.boss = b.id ORDER BY a.id;
-- In a transaction its own changes are seen.
BEGIN;
INSERT INTO cu VALUES (20, 'new', 'Rom', 1, NULL, 1);
UPDATE co SET status = 'open' WHERE cu_id = 5;
INSERT INTO cb VALUES ('GBP', 'Pound', 4);
UPDATE c1 SET v = 'changed' WHERE id = 1;
SELECT a.id, b.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY 1;
SELECT cu.id, cb.code, c1.v FROM cu JOIN cb ON cb.n = cu.id JOIN c1 ON c1.id = 1 ORDER BY 1;
SELECT status, GROUP_CONCAT(id ORDER BY id) FROM co GROUP BY status HAVING COUNT(*) > 0 ORDER BY 1;
SAVEPOINT p;
DELETE FROM cu WHERE id = 20;
SELECT COUNT(*) + 0 FROM cu;
ROLLBACK TO p;
#! error 1242
SELECT id FROM cu WHERE id = (SELECT cu_id FROM co);
SELECT COUNT(*) + 0 FROM cu;
ROLLBACK;
SELECT a.id, b.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY 1;
SELECT cu.id, cb.code, c1.v FROM cu JOIN cb ON cb.n = cu.id JOIN c1 ON c1.id = 1 ORDER BY 1;
-- Settings of the session.
#! session
SET autocommit = 0;
SELECT a.id, b.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY 1;
COMMIT;
SET autocommit = 1;
SET sql_select_limit = 2;
SELECT a.id, b.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY 1;
SELECT COUNT(*) + 0 FROM (SELECT id FROM cu) d;
SET sql_select_limit = DEFAULT;
SET NAMES latin1;
SELECT a.id, HEX(a.city), b.city FROM cu a JOIN cu b ON a.boss = b.id ORDER BY 1;
SET NAMES utf8mb4;
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,ONLY_FULL_GROUP_BY';
SELECT a."id", a.name || '-' || b.name AS "both" FROM "cu" a JOIN cu b ON a.boss = b.id ORDER BY 1;
#! error 1055
SELECT city, id, COUNT(*) FROM cu GROUP BY city HAVING COUNT(*) > 0;
SET sql_mode = 'NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH';
SELECT a.code, CONCAT('<', a.code, '>'), b.note LIKE '%\%' FROM cl a JOIN co b ON a.co_id = b.id ORDER BY a.co_id, a.line;
SET sql_mode = DEFAULT;
SET time_zone = '+05:30';
CREATE TABLE ct (id INT NOT NULL PRIMARY KEY, ts TIMESTAMP(2) NULL, d DOUBLE, t TIME(1), y YEAR, b BIT(10), s SET('a','b','c'), bin VARBINARY(10), bl BLOB, g INT AS (id * 2) VIRTUAL, h VARCHAR(9) INVISIBLE, j JSON, z INT(6) ZEROFILL, p POINT NULL) /*!999999 SHARD BY HASH (id) */;
INSERT INTO ct (id, ts, d, t, y, b, s, bin, bl, h, j, z) VALUES (1, '2024-10-27 02:30:00.55', -0.0e0, '-838:59:59.0', 1999, b'1000000001', 'a,c', x'00FF27', x'5C00', 'hid', '{"a": [1, 2]}', 42), (2, NULL, 1e-300, '00:00:00.5', 0, 0, '', '', NULL, NULL, NULL, 7), (3, '1970-01-02 00:00:00', 0.1, NULL, 2155, NULL, NULL, NULL, '', 'x', '[]', 0);
SELECT a.*, b.* FROM ct a LEFT JOIN ct b ON a.id = b.id + 1 ORDER BY a.id;
SELECT a.ts, UNIX_TIMESTAMP(a.ts), a.d, HEX(a.b), a.s + 0, HEX(a.bin), a.g, a.h, a.z + 0 FROM ct a JOIN ct b ON a.id = b.id ORDER BY a.id;
SELECT a.g, JSON_EXTRACT(a.j, '$.a[1]') FROM ct a JOIN ct b ON a.g = b.id + 1 ORDER BY 1;
SET time_zone = DEFAULT;
SELECT a.ts FROM ct a JOIN ct b ON a.id = b.id ORDER BY a.id;
SELECT a.ts FROM ct a JOIN ct b ON a.id = b.id WHERE a.ts < '2024-10-26 23:00:00' ORDER BY a.id;
CREATE TABLE cp (id INT NOT NULL, t TEXT, PRIMARY KEY (id), FULLTEXT KEY (t)) /*!999999 SHARD BY HASH (id) */;
CREATE TABLE cq (id INT NOT NULL, d DATE NOT NULL, PRIMARY KEY (id, d)) /*!999999 SHARD BY HASH (id) */ PARTITION BY RANGE (YEAR(d)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO cp VALUES (1, 'some words'), (2, NULL), (3, 'others');
INSERT INTO cq VALUES (1, '2019-01-01'), (2, '2021-01-01'), (3, '2020-01-01');
SELECT * FROM cp JOIN cq ON cp.id = cq.id - 1 ORDER BY 1;
#! session
#! cluster
SET shardline_read_consistency = 'strict';
SELECT a.id, b.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY 1;
BEGIN;
UPDATE cu SET boss = 2 WHERE id = 3;
UPDATE cu SET boss = 1 WHERE id = 5;
SELECT a.id, b.id FROM cu a JOIN cu b ON a.boss = b.id ORDER BY 1;
COMMIT;
SELECT a.id, b.id, c1.v FROM cu a JOIN cu b ON a.boss = b.id LEFT JOIN c1 ON c1.id = a.id ORDER BY 1;
#! cluster
SET shardline_read_consistency = 'committed';
SELECT a.id, b.id, c1.v FROM cu a JOIN cu b ON a.boss = b.id LEFT JOIN c1 ON c1.id = a.id ORDER BY 1;
#! cluster
SET shardline_read_consistency = 'atomic';
SELECT a.id, b.id, cb.name FROM cu a JOIN cu b ON a.boss = b.id LEFT JOIN cb ON cb.n = a.id ORDER BY 1;
#! session
CREATE TABLE cn (`größe` INT NOT NULL, grosse INT NULL, n INT NOT NULL, PRIMARY KEY (n)) /*!999999 SHARD BY HASH (n) */;
INSERT INTO cn VALUES (1, 2, 3), (4, 5, 6);
SELECT a.`größe`, b.n FROM cn a JOIN cn b ON a.n >= b.n ORDER BY 1, 2;
SELECT a.grosse, b.n FROM cn a JOIN cn b ON a.`GRÖße` >= b.n ORDER BY 1, 2;
DROP TABLE cn;
DROP TABLE cp, cq, ct, cu, co, cl, cb, c1, c3;
