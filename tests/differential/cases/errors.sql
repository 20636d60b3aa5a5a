-- Error numbers and states.
CREATE TABLE e (id INT NOT NULL PRIMARY KEY, n INT NOT NULL, s VARCHAR(3), d DATE, en ENUM('a'), t TINYINT UNSIGNED) /*!999999 SHARD BY HASH (id) */;
INSERT INTO e VALUES (1, 1, 'a', '2024-01-01', 'a', 1), (2, 2, 'b', NULL, NULL, NULL);
#! error 1064
SELECT;
#! error 1064
SELECT * FORM e;
#! error 1064
SELEC 1;
#! error 1064
SELECT * FROM e WHERE;
#! error 1064
SELECT * FROM e WHERE id = 1 AND;
#! error 1064
INSERT INTO e VALUES (3, 3;
#! error 1064
UPDATE e SET WHERE id = 1;
#! error 1064
SELECT * FROM e ORDER BY;
#! error 1064
SELECT * FROM e LIMIT -1;
#! error 1064
SELECT * FROM e LIMIT 'a';
#! error 1146
SELECT * FROM nosuch;
#! error 1146
SELECT * FROM e JOIN nosuch ON e.id = nosuch.id;
#! error 1146
INSERT INTO nosuch VALUES (1);
#! error 1146
UPDATE nosuch SET a = 1;
#! error 1146
DELETE FROM nosuch;
#! error 1146
SELECT * FROM nodb.e;
#! error 1049
USE nodb;
#! error 1051
DROP TABLE nosuch;
#! error 1050
CREATE TABLE e (id INT NOT NULL PRIMARY KEY) /*!999999 SHARD BY HASH (id) */;
#! error 1007
CREATE DATABASE shop;
#! error 1008
DROP DATABASE nodb;
#! error 1054
SELECT nosuch FROM e;
#! error 1054
SELECT id FROM e WHERE nosuch = 1;
#! error 1054
SELECT id FROM e WHERE id = 1 ORDER BY nosuch;
#! error 1054
SELECT id FROM e ORDER BY nosuch;
#! error 1054
SELECT id FROM e ORDER BY 2;
#! error 1054
SELECT COUNT(*) FROM e GROUP BY nosuch;
#! error 1054
SELECT x.id FROM e;
#! error 1054
UPDATE e SET nosuch = 1 WHERE id = 1;
#! error 1054
INSERT INTO e (id, nosuch) VALUES (3, 1);
#! error 1052
SELECT id FROM e a JOIN e b ON a.id = b.id;
#! error 1066
SELECT 1 FROM e JOIN e ON 1 = 1;
#! error 1136
INSERT INTO e VALUES (3);
#! error 1136
INSERT INTO e (id, n) VALUES (3, 1), (4);
#! error 1110
INSERT INTO e (id, id) VALUES (3, 3);
#! error 1062
INSERT INTO e VALUES (1, 1, 'a', NULL, NULL, NULL);
#! error 1048
INSERT INTO e VALUES (3, NULL, 'a', NULL, NULL, NULL);
#! error 1048
INSERT INTO e VALUES (NULL, 1, 'a', NULL, NULL, NULL);
#! error 1364
INSERT INTO e (id) VALUES (3);
#! error 1364
INSERT INTO e (n) VALUES (3);
#! error 1406
INSERT INTO e VALUES (3, 1, 'abcd', NULL, NULL, NULL);
#! error 1366
INSERT INTO e VALUES (3, 'x', 'a', NULL, NULL, NULL);
#! error 1292
INSERT INTO e VALUES (3, 1, 'a', '2024-02-31', NULL, NULL);
#! error 1265
INSERT INTO e VALUES (3, 1, 'a', NULL, 'q', NULL);
#! error 1264
INSERT INTO e VALUES (3, 1, 'a', NULL, NULL, 256);
#! error 1264
INSERT INTO e VALUES (3, 99999999999, 'a', NULL, NULL, 1);
#! error 1048
UPDATE e SET n = NULL WHERE id = 1;
#! error 1264
UPDATE e SET t = 300 WHERE id = 1;
#! error 1690
SELECT 9223372036854775807 + 1;
#! error 1690
SELECT 18446744073709551615 + id FROM e WHERE id = 1;
#! error 1305
SELECT nosuch(1);
#! error 1582
SELECT ABS(1, 2);
#! error 1111
SELECT id FROM e WHERE COUNT(*) > 1 AND id = 1;
#! error 1111
SELECT id FROM e WHERE SUM(n) > 1;
#! error 1056
SELECT COUNT(*) FROM e GROUP BY 1;
#! error 4078
SELECT id FROM e WHERE id = (1, 2);
#! error 1241
SELECT (1, 2) FROM e;
#! error 1242
SELECT (SELECT 1 UNION SELECT 2);
#! error 1193
SET nosuch = 1;
#! error 1231
SET sql_mode = 'nosuch';
#! error 1115
SET NAMES nosuch;
#! error 1298
SET time_zone = 'nosuch/zone';
#! error 1305
ROLLBACK TO nosuch;
#! error 1072
CREATE TABLE e2 (id INT NOT NULL, PRIMARY KEY (nosuch)) /*!999999 SHARD BY HASH (id) */;
#! error 1060
CREATE TABLE e2 (id INT NOT NULL PRIMARY KEY, id INT) /*!999999 SHARD BY HASH (id) */;
#! error 1091
ALTER TABLE e DROP COLUMN nosuch;
#! error 1060
ALTER TABLE e ADD COLUMN n INT;
#! error 1146
ALTER TABLE nosuch ADD COLUMN n INT;
#! error 1061
ALTER TABLE e ADD KEY k1 (n), ADD KEY k1 (s);
#! session
SELECT * FROM e ORDER BY id;
