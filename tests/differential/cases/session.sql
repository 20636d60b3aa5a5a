-- What belongs to the session.
SELECT DATABASE(), SCHEMA();
#! shape loose
SELECT CONNECTION_ID();
#! shape loose
SELECT USER(), CURRENT_USER(), SESSION_USER(), SYSTEM_USER(), CURRENT_USER;
SELECT CONNECTION_ID() = CONNECTION_ID();
SET @a = 5, @b := 'text', @c = NULL, @d = 1.50, @e = x'4142', @f = 1e3;
SELECT @a, @b, @c, @d, @e, @f, @nosuch;
SELECT @a + 1, CONCAT(@b, '!'), @A;
SET @a = @a + 1;
SELECT @a;
SELECT @x := 7;
SELECT @x, @x := @x + 1, @x;
SELECT 8, 'nine' INTO @y, @z;
SELECT @y, @z;
CREATE TABLE sess (id INT NOT NULL PRIMARY KEY, a INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO sess VALUES (1, 1), (2, 2), (3, 3), (5, 5), (6, 6);
SELECT id FROM sess WHERE id = @a;
SELECT id, @a FROM sess ORDER BY id;
SELECT id FROM sess WHERE id > @y - 4 ORDER BY id;
SELECT a INTO @got FROM sess WHERE id = 3;
SELECT @got;
SELECT @v := a FROM sess WHERE id = 2;
SELECT @v;
UPDATE sess SET a = @a WHERE id = 1;
SELECT a FROM sess WHERE id = 1;
SELECT id FROM sess ORDER BY id LIMIT 3;
#! loose
SELECT FOUND_ROWS();
SELECT id FROM sess WHERE id = 1;
#! loose
SELECT FOUND_ROWS(), ROW_COUNT();
SELECT id, FOUND_ROWS() >= 0 FROM sess ORDER BY id;
SELECT id, DATABASE() FROM sess ORDER BY 2, 1;
SELECT 1; SELECT 2 AS two, 'x';
SELECT id FROM sess WHERE id = 1; SELECT COUNT(*) FROM sess; SELECT id FROM sess ORDER BY id DESC LIMIT 1;
UPDATE sess SET a = 0 WHERE id = 1; SELECT a FROM sess WHERE id = 1;
SET @m = 1; SELECT @m; SET @m = @m + 1; SELECT @m;
BEGIN; UPDATE sess SET a = 99 WHERE id = 1; ROLLBACK; SELECT a FROM sess WHERE id = 1;
SET sql_mode = 'STRICT_ALL_TABLES';
SELECT @@sql_mode, @@session.sql_mode;
SET SESSION sql_mode = '', @q = 3;
SELECT @@sql_mode, @q;
SET sql_mode = DEFAULT;
SELECT @@sql_mode;
SET time_zone = '+03:00';
SELECT @@time_zone, FROM_UNIXTIME(0), UNIX_TIMESTAMP('1970-01-02 00:00:00');
SET time_zone = 'SYSTEM', timestamp = 1000000;
SELECT NOW(), CURRENT_TIMESTAMP, CURDATE(), UNIX_TIMESTAMP();
SET timestamp = DEFAULT;
SET group_concat_max_len = 5;
SELECT @@group_concat_max_len, GROUP_CONCAT(x) FROM (SELECT 'abc' x UNION SELECT 'defg') y;
SET group_concat_max_len = DEFAULT;
SELECT @@autocommit, @@in_transaction;
BEGIN;
SELECT @@in_transaction;
SELECT id FROM sess WHERE id = 1;
COMMIT;
SET lc_time_names = 'de_DE';
SELECT DAYNAME('2024-01-07'), MONTHNAME('2024-03-01');
SET lc_time_names = DEFAULT;
SET div_precision_increment = 8;
#! refused
SELECT 1 / 3, AVG(a) FROM sess WHERE id > 2;
SET div_precision_increment = DEFAULT;
SELECT 1 / 3;
SET sql_select_limit = 2;
SELECT id FROM sess ORDER BY id;
SELECT id FROM sess ORDER BY id LIMIT 4;
SELECT COUNT(*), SUM(id) FROM sess;
SELECT id % 2, COUNT(*), SUM(id) FROM sess GROUP BY id % 2 ORDER BY 1;
SELECT id, COUNT(*) FROM sess GROUP BY id ORDER BY id;
SELECT DISTINCT id % 3 FROM sess ORDER BY 1;
SET sql_select_limit = DEFAULT;
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT @@tx_isolation;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SELECT id FROM sess WHERE id = 1;
SET @`odd name` = 'q';
SELECT @`odd name`, @'odd name';
#! loose
SHOW VARIABLES LIKE 'sql_mode';
#! loose
SHOW WARNINGS;
SELECT 1 + 'x';
#! loose
SHOW WARNINGS;
#! loose
SHOW COUNT(*) WARNINGS;
SELECT @@warning_count;
SELECT id FROM sess WHERE id = 1;
#! loose
SHOW WARNINGS;
#! error 1146
SELECT * FROM nosuch;
#! loose
SHOW ERRORS;
SELECT @@error_count;
#! loose
SHOW TABLES LIKE 'sess';
#! loose
SHOW COLUMNS FROM sess;
#! loose
DESCRIBE sess;
#! loose
SHOW DATABASES LIKE 'shop';
USE shop;
SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'sess';
SELECT VERSION() LIKE '10.%', @@version LIKE '10.%';
