-- Writes that need rows of several shards in one place.
CREATE TABLE ax (id INT NOT NULL PRIMARY KEY, g INT, v VARCHAR(20), d DECIMAL(10,2), ts TIMESTAMP(3) NULL ON UPDATE CURRENT_TIMESTAMP(3), h VARCHAR(5) AS (LEFT(v, 3)) VIRTUAL) /*!999999 SHARD BY HASH (id) */;
CREATE TABLE ay (id INT NOT NULL, k INT NOT NULL, f FLOAT, dd DOUBLE, b VARBINARY(10), l VARCHAR(10) CHARACTER SET latin1, e ENUM('x','y','z'), s SET('p','q'), t TIME(2), y YEAR, bi BIT(5), PRIMARY KEY (k, id)) /*!999999 SHARD BY RANGE (k) (VALUES LESS THAN (3) ON s1, VALUES LESS THAN (6) ON s2, VALUES LESS THAN (MAXVALUE) ON s3) */;
CREATE TABLE az (id INT NOT NULL PRIMARY KEY, n INT, UNIQUE KEY (n)) /*!999999 SINGLE ON s2 */;
CREATE TABLE aw (id INT NOT NULL PRIMARY KEY, n INT, c CHAR(4)) /*!999999 BROADCAST */;
CREATE TABLE ai (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, v INT, w VARCHAR(10)) /*!999999 SHARD BY HASH (id) */;
CREATE TABLE aj (id INT NOT NULL AUTO_INCREMENT, k INT NOT NULL, v INT, PRIMARY KEY (id), KEY (k)) /*!999999 SHARD BY HASH (k) */;
CREATE TABLE al (k VARCHAR(10) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, n INT) /*!999999 SHARD BY LIST (k) (VALUES IN (_utf8mb4 0x61, _utf8mb4 0x62) ON s1, VALUES IN (_utf8mb4 0x63) ON s2) */;
INSERT INTO ax (id, g, v, d) VALUES (1, 1, 'one', 1.5), (2, 1, 'two', 2.5), (3, 2, 'three', NULL), (4, 2, NULL, 4), (5, 3, 'five', 5), (6, 3, 'six', 6), (7, 1, 'seven', 7), (8, 2, 'eight', 8), (9, 3, 'nine', 9);
INSERT INTO ay VALUES (1, 1, 1.1, 0.1, x'00ff', 'é', 'x', 'p,q', '10:11:12.34', 2001, b'101'), (2, 2, -0.3, 1e300, '', '', 'y', '', '-01:00:00', 1999, 0), (3, 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (4, 7, 16777217, 0.30000000000000004, '\\\'', 'ÿ', 'z', 'q', '100:00:00.99', 2155, 31);
INSERT INTO az VALUES (1, 10), (2, 20), (3, 30);
#! loose
INSERT INTO aw VALUES (1, 100, 'a'), (2, 200, 'b'), (3, 300, NULL);
-- INSERT by a query.
INSERT INTO ai (v, w) SELECT id, v FROM ax WHERE g = 1 ORDER BY id;
#! loose
SELECT LAST_INSERT_ID();
SELECT v, w FROM ai ORDER BY id;
#! loose
SELECT v FROM ai WHERE id = LAST_INSERT_ID();
INSERT INTO ai (id, v) SELECT 1000 + id, id FROM ax WHERE id < 3 ORDER BY id;
INSERT INTO ai (v) SELECT g FROM ax WHERE FALSE;
INSERT INTO ai SELECT NULL, n, 'z' FROM az;
INSERT INTO ai (v, w) SELECT COUNT(*), MAX(v) FROM ax;
INSERT INTO ai (v) SELECT v FROM ai WHERE w = 'z';
SELECT v, w FROM ai ORDER BY id;
INSERT INTO aj (k, v) SELECT g, id FROM ax ORDER BY id;
SELECT k, v FROM aj ORDER BY id;
SELECT COUNT(DISTINCT id) FROM aj;
INSERT INTO ax (id, g, v) SELECT id + 100, n, c FROM aw;
INSERT INTO ax (id, g, v) SELECT id + 200, n, NULL FROM az WHERE n > 10;
INSERT INTO az SELECT id + 10, g FROM ax WHERE id BETWEEN 100 AND 102;
#! error 1062
INSERT INTO az SELECT id + 20, 1 FROM ax;
#! error 1062
INSERT INTO ax (id) SELECT id FROM ay;
INSERT IGNORE INTO ax (id, g) SELECT id, k FROM ay;
INSERT IGNORE INTO ax (id, g) SELECT id + 7, k FROM ay;
#! loose
SHOW COUNT(*) WARNINGS;
REPLACE INTO ax (id, g, v) SELECT id, g + 10, UPPER(v) FROM ax WHERE id < 4;
INSERT INTO ax (id, g) SELECT id, 77 FROM ay ON DUPLICATE KEY UPDATE g = ax.g + VALUES(g), v = 'dup';
INSERT INTO aw SELECT id + 10, g, 'new' FROM ax WHERE id IN (5, 6);
INSERT INTO ay (id, k, f, dd, b, l, e, s, t, y, bi) SELECT id + 10, 8 - k, f, dd, b, l, e, s, t, y, bi FROM ay;
SELECT id, k, f, dd, HEX(b), HEX(l), e, s, t, y, HEX(bi) FROM ay ORDER BY id, k;
SELECT id, g, v, d, h FROM ax ORDER BY id;
SELECT * FROM aw ORDER BY id;
SELECT * FROM az ORDER BY id;
INSERT INTO ax (id, g) VALUES (300 + 1, (SELECT MAX(n) FROM az)), (400, (SELECT COUNT(*) FROM ay));
INSERT INTO ax (id, g) VALUES ('302', ABS(-3)), (1 + 302, 4);
INSERT INTO ax SET id = 1000 + 1, v = (SELECT v FROM ax AS o WHERE o.id = 5);
#! error 1048
INSERT INTO ax (id) VALUES (NULL + 1);
INSERT INTO al SELECT 'A', id FROM ax WHERE id = 1;
-- UPDATE and DELETE.
UPDATE ax SET g = 0, v = 'limited' WHERE g > 0 ORDER BY id LIMIT 3;
UPDATE ax SET g = -1 ORDER BY id DESC LIMIT 2;
UPDATE ax SET d = (SELECT SUM(dd) FROM ay WHERE dd < 1) WHERE id = 1;
UPDATE ax JOIN az ON ax.id = az.id SET ax.v = CONCAT('z', az.n), az.n = az.n + 1;
UPDATE ax, ay SET ax.g = ay.k WHERE ax.id = ay.id AND ay.e = 'x';
UPDATE ax LEFT JOIN az ON az.id = ax.id SET ax.v = 'none' WHERE az.id IS NULL AND ax.id > 100;
UPDATE aw SET n = n + 1 WHERE id IN (SELECT id FROM ax);
UPDATE aw SET n = 5 ORDER BY id LIMIT 2;
UPDATE ay SET b = 'new', e = 2 WHERE k IN (SELECT g FROM ax);
UPDATE ax SET v = v WHERE id IN (SELECT id FROM ay);
UPDATE ax SET id = id + 5000 WHERE id < 5;
UPDATE ay SET k = k + 1 WHERE id = 1;
UPDATE ay SET k = 9 - k WHERE id > 10;
#! error 1062
UPDATE ax SET id = 5005 WHERE id IN (6, 7);
UPDATE ax SET id = 6000 + id, g = id WHERE g = 3 ORDER BY id DESC LIMIT 2;
UPDATE al SET k = 'C';
UPDATE al SET k = 'B', n = n + 1;
SELECT id, g, v, d, h FROM ax ORDER BY id;
SELECT id, k, f, dd, HEX(b), HEX(l), e, s, t, y, HEX(bi) FROM ay ORDER BY id, k;
SELECT * FROM aw ORDER BY id;
SELECT * FROM az ORDER BY id;
SELECT * FROM al;
UPDATE ax SET g = 1 WHERE id = 5 ORDER BY id LIMIT 1;
SET @seen = 0;
UPDATE ax SET g = (@seen := @seen + 1) ORDER BY id LIMIT 5;
SELECT @seen;
DELETE FROM ax WHERE g > 2 ORDER BY id LIMIT 2;
DELETE FROM ax ORDER BY id DESC LIMIT 1;
DELETE FROM ax WHERE id IN (SELECT id FROM ay) OR v IN (SELECT c FROM aw);
DELETE ax FROM ax JOIN az ON ax.g = az.id;
DELETE ay, az FROM ay JOIN az ON ay.id = az.id WHERE az.n > 20;
DELETE FROM aw WHERE id IN (SELECT id FROM ax);
DELETE FROM aw ORDER BY id LIMIT 1;
#! unordered
DELETE FROM ax WHERE id > 5000 RETURNING id, v;
INSERT INTO ax (id, v) VALUES (7001, 'a'), (7002, 'b'), (7003, 'c') RETURNING id, v, h;
#! unordered
REPLACE INTO ax (id, v) VALUES (7001, 'x'), (7004, 'y') RETURNING *;
SELECT id, g, v, d, h FROM ax ORDER BY id;
SELECT COUNT(*), SUM(id), SUM(k) FROM ay;
SELECT * FROM aw ORDER BY id;
SELECT * FROM az ORDER BY id;
-- In transactions.
BEGIN;
INSERT INTO ax (id, g) SELECT id + 9000, k FROM ay;
UPDATE ax SET g = g + 1 WHERE id > 9000 ORDER BY id LIMIT 2;
SAVEPOINT here;
#! error 1062
INSERT INTO ax (id, g) SELECT 9100 + id, 1 FROM ax UNION ALL SELECT 9001, 2;
SELECT id, g FROM ax WHERE id > 9000 ORDER BY id;
DELETE FROM ax WHERE id > 9000 AND id IN (SELECT id + 9000 FROM ay WHERE id > 3);
ROLLBACK TO here;
SELECT id, g FROM ax WHERE id > 9000 ORDER BY id;
UPDATE ax SET id = id + 100 WHERE id > 9000;
COMMIT;
SELECT id, g FROM ax WHERE id > 9000 ORDER BY id;
BEGIN;
DELETE FROM ax ORDER BY id LIMIT 3;
UPDATE ay SET k = k + 1;
ROLLBACK;
SELECT id, g FROM ax ORDER BY id;
SELECT id, k FROM ay ORDER BY id, k;
SET autocommit = 0;
UPDATE ax SET id = id + 1 ORDER BY id DESC;
SELECT id FROM ax ORDER BY id;
ROLLBACK;
SET autocommit = 1;
SELECT id FROM ax ORDER BY id;
START TRANSACTION READ ONLY;
#! error 1792
INSERT INTO ax (id) SELECT id + 20000 FROM ay;
COMMIT;
DROP TABLE ax, ay, az, aw, ai, aj, al;
-- Foreign keys that the shard key ties.
CREATE TABLE fp (a INT NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (a) */;
CREATE TABLE fc (id INT NOT NULL, a INT NOT NULL, PRIMARY KEY (a, id), FOREIGN KEY (a) REFERENCES fp (a)) /*!999999 SHARD BY HASH (a) COLOCATE (fp) */;
INSERT INTO fp VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6);
INSERT INTO fc VALUES (1, 1), (2, 2), (3, 3);
#! error 1452
INSERT INTO fc VALUES (9, 4), (9, 5), (9, 99);
#! error 1452
INSERT INTO fc SELECT v, a + 50 FROM fp;
INSERT INTO fc SELECT v + 10, a FROM fp WHERE a < 3;
#! error 1451
DELETE FROM fp WHERE a IN (1, 6);
#! error 1451
DELETE FROM fp ORDER BY a LIMIT 2;
#! error 1452
UPDATE fc SET a = a + 20 ORDER BY id LIMIT 1;
UPDATE fc SET a = a + 1 WHERE a = 3;
#! refused error 1451
UPDATE fp SET a = a + 100 WHERE a = 1;
SELECT * FROM fc ORDER BY a, id;
SELECT * FROM fp ORDER BY a;
DROP TABLE fc, fp;
