-- Literals of other types beside keys of every type.
CREATE TABLE ki (id INT NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO ki VALUES (0, 0), (1, 1), (-1, -1), (5, 5), (7, 7), (10, 10), (12, 12), (13, 13), (100, 100), (2147483647, 1), (-2147483648, 2);
CREATE TABLE ku (id BIGINT UNSIGNED NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO ku VALUES (0, 0), (1, 1), (18446744073709551615, 2), (9223372036854775807, 3), (9223372036854775808, 4), (12, 12);
CREATE TABLE kb (id VARCHAR(20) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO kb VALUES ('a', 1), ('A', 2), ('b', 4), ('12', 5), ('12abc', 6), ('', 7), ('1e1', 8), ('10', 9), ('é', 10), ('0', 11);
CREATE TABLE kc (id VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO kc VALUES ('a', 1), ('b ', 4), ('12', 5), ('12abc', 6), ('', 7), ('É', 10), ('ss', 11), ('Z', 12);
CREATE TABLE kd (id DECIMAL(12,2) NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO kd VALUES (0, 0), (1.5, 1), (2.50, 2), (-1.5, 3), (100, 4), (0.1, 5), (9999999999.99, 6);
CREATE TABLE kt (id DATE NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO kt VALUES ('2024-01-07', 1), ('2024-02-29', 2), ('1999-12-31', 3), ('0001-01-01', 4), ('9999-12-31', 5);
CREATE TABLE kdt (id DATETIME(3) NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY HASH (id) */;
INSERT INTO kdt VALUES ('2024-01-07 00:00:00', 1), ('2024-01-07 10:11:12.5', 2), ('2024-01-07 10:11:12.123', 3);
CREATE TABLE kr (id INT NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY RANGE (id) (VALUES LESS THAN (0) ON s1, VALUES LESS THAN (10) ON s2, VALUES LESS THAN (MAXVALUE) ON s3) */;
INSERT INTO kr VALUES (-5, 1), (-1, 2), (0, 3), (5, 4), (9, 5), (10, 6), (11, 7), (1000, 8);
CREATE TABLE kl (id VARCHAR(10) NOT NULL PRIMARY KEY, v INT) /*!999999 SHARD BY LIST (id) (VALUES IN (_utf8mb4 0x61, _utf8mb4 0x62) ON s1, VALUES IN (_utf8mb4 0x63) ON s2, DEFAULT ON s3) */;
INSERT INTO kl VALUES ('A', 1), ('b ', 2), ('C', 3), ('d', 4), ('', 5);
#! loose unordered
SELECT * FROM ki WHERE id = '12';
#! loose unordered
SELECT * FROM ki WHERE id = '12abc';
#! loose unordered
SELECT * FROM ki WHERE id = ' 12 ';
#! loose unordered
SELECT * FROM ki WHERE id = 12.0;
#! loose unordered
SELECT * FROM ki WHERE id = 12.4;
#! loose unordered
SELECT * FROM ki WHERE id = 1e1;
#! loose unordered
SELECT * FROM ki WHERE id = '1e1';
#! loose unordered
SELECT * FROM ki WHERE id = 0x0C;
#! loose unordered
SELECT * FROM ki WHERE id = x'0C';
#! loose unordered
SELECT * FROM ki WHERE id = b'1100';
#! loose unordered
SELECT * FROM ki WHERE id = TRUE;
#! loose unordered
SELECT * FROM ki WHERE id = FALSE;
#! loose unordered
SELECT * FROM ki WHERE id = NULL;
#! loose unordered
SELECT * FROM ki WHERE id <=> NULL;
#! loose unordered
SELECT * FROM ki WHERE id = '';
#! loose unordered
SELECT * FROM ki WHERE id = 'abc';
#! loose unordered
SELECT * FROM ki WHERE id = -0;
#! loose unordered
SELECT * FROM ki WHERE id = '-0';
#! loose unordered
SELECT * FROM ki WHERE id = - 1;
#! loose unordered
SELECT * FROM ki WHERE id = -(1);
#! loose unordered
SELECT * FROM ki WHERE id = --1;
#! loose unordered
SELECT * FROM ki WHERE id = - -1;
#! loose unordered
SELECT * FROM ki WHERE id = 2147483648;
#! loose unordered
SELECT * FROM ki WHERE id = 99999999999999999999;
#! loose unordered
SELECT * FROM ki WHERE id = -2147483648;
#! loose unordered
SELECT * FROM ki WHERE id = 012;
#! loose unordered
SELECT * FROM ki WHERE id = 1 + 4;
#! loose unordered
SELECT * FROM ki WHERE id + 0 = 5;
#! loose unordered
SELECT * FROM ki WHERE id = ABS(-5);
#! loose unordered
SELECT * FROM ki WHERE id = CAST('5' AS SIGNED);
#! loose unordered
SELECT * FROM ki WHERE id IN ('5', 7.0, NULL, 1e1);
#! loose unordered
SELECT * FROM ki WHERE id IN ('5', '7');
#! loose unordered
SELECT * FROM ki WHERE id IN (5, 'abc');
#! loose unordered
SELECT * FROM ki WHERE id IN (NULL);
#! loose unordered
SELECT * FROM ki WHERE id IN (NULL, 1);
#! loose unordered
SELECT * FROM ki WHERE id NOT IN (NULL, 1);
#! loose unordered
SELECT * FROM ki WHERE id BETWEEN '5' AND '12';
#! loose unordered
SELECT * FROM ki WHERE id BETWEEN 4.5 AND 7.5;
#! loose unordered
SELECT * FROM ki WHERE id = DATE '2024-01-01';
#! loose unordered
SELECT * FROM ki WHERE id = 5 AND id = '5';
#! loose unordered
SELECT * FROM ki WHERE id = 5 AND id = '5.0';
#! loose unordered
SELECT * FROM ki WHERE '5' = id;
#! loose unordered
SELECT * FROM ki WHERE 5.0 <=> id;
#! loose unordered
SELECT * FROM ki WHERE id = (5);
#! loose unordered
SELECT * FROM ki WHERE (id) = ((5));
#! loose unordered refused
SELECT * FROM ki WHERE id = (SELECT 5);
#! loose unordered
SELECT * FROM ki WHERE id LIKE '5';
#! loose unordered
SELECT * FROM ki WHERE id LIKE '1%';
#! loose unordered
SELECT * FROM ki WHERE id IS TRUE;
#! loose unordered
SELECT * FROM ki WHERE id;
#! loose unordered
SELECT * FROM ku WHERE id = 18446744073709551615;
#! loose unordered
SELECT * FROM ku WHERE id = -1;
#! loose unordered
SELECT * FROM ku WHERE id = '18446744073709551615';
#! loose unordered
SELECT * FROM ku WHERE id = 18446744073709551615.0;
#! loose unordered
SELECT * FROM ku WHERE id = 18446744073709551616;
#! loose unordered
SELECT * FROM ku WHERE id = 9223372036854775808;
#! loose unordered
SELECT * FROM ku WHERE id = 9.223372036854775807e18;
#! loose unordered
SELECT * FROM ku WHERE id = '9223372036854775808.0';
#! loose unordered
SELECT * FROM ku WHERE id > 9223372036854775807;
#! loose unordered
SELECT * FROM ku WHERE id = ~0;
#! loose unordered
SELECT * FROM kb WHERE id = 'a ';
#! loose unordered
SELECT * FROM kb WHERE id = 'A';
#! loose unordered
SELECT * FROM kb WHERE id = 12;
#! loose unordered
SELECT * FROM kb WHERE id = 12.0;
#! loose unordered
SELECT * FROM kb WHERE id = 10;
#! loose unordered
SELECT * FROM kb WHERE id = 0;
#! loose unordered
SELECT * FROM kb WHERE id = x'61';
#! loose unordered
SELECT * FROM kb WHERE id = 0x61;
#! loose unordered
SELECT * FROM kb WHERE id = _latin1'a';
#! loose unordered
SELECT * FROM kb WHERE id = _latin1 x'E9';
#! loose unordered
SELECT * FROM kb WHERE id = N'a';
#! loose unordered
SELECT * FROM kb WHERE id = 'a' COLLATE utf8mb4_general_ci;
#! loose unordered
SELECT * FROM kb WHERE id COLLATE utf8mb4_general_ci = 'a';
#! loose unordered
SELECT * FROM kb WHERE BINARY id = 'a';
#! loose unordered
SELECT * FROM kb WHERE id = BINARY 'a ';
#! loose unordered
SELECT * FROM kb WHERE id = 'a' 'b';
#! loose unordered
SELECT * FROM kb WHERE id = CONCAT('a', '');
#! loose unordered
SELECT * FROM kb WHERE id = "b";
#! loose unordered
SELECT * FROM kb WHERE id IN ('a', 'b', 12);
#! loose unordered
SELECT * FROM kb WHERE id IN ('a', x'62', _latin1'A');
#! loose unordered
SELECT * FROM kb WHERE id BETWEEN 'a' AND 12;
#! loose unordered
SELECT * FROM kb WHERE id > 'A' AND id <= 'b';
#! loose unordered
SELECT * FROM kb WHERE id LIKE 'a';
#! loose unordered
SELECT * FROM kb WHERE id = '\a';
#! loose unordered
SELECT * FROM kb WHERE id = 'é';
#! loose unordered
SELECT * FROM kc WHERE id = 'A';
#! loose unordered
SELECT * FROM kc WHERE id = 'a   ';
#! loose unordered
SELECT * FROM kc WHERE id = 'B';
#! loose unordered
SELECT * FROM kc WHERE id = 'e';
#! loose unordered
SELECT * FROM kc WHERE id = 'ß';
#! loose unordered
SELECT * FROM kc WHERE id = 'SS';
#! loose unordered
SELECT * FROM kc WHERE id = 12;
#! loose unordered
SELECT * FROM kc WHERE id = 'a' COLLATE utf8mb4_bin;
#! loose unordered
SELECT * FROM kc WHERE id = _utf8mb4'A' COLLATE utf8mb4_bin;
#! loose unordered
SELECT * FROM kc WHERE id = BINARY 'A';
#! loose unordered
SELECT * FROM kc WHERE id = x'41';
#! loose unordered
SELECT * FROM kc WHERE id IN ('A', 'z', 'É ');
#! loose unordered
SELECT * FROM kc WHERE id = TRUE;
#! loose unordered
SELECT * FROM kd WHERE id = 1.5;
#! loose unordered
SELECT * FROM kd WHERE id = '1.50';
#! loose unordered
SELECT * FROM kd WHERE id = 1.500;
#! loose unordered
SELECT * FROM kd WHERE id = 15e-1;
#! loose unordered
SELECT * FROM kd WHERE id = 1.501;
#! loose unordered
SELECT * FROM kd WHERE id = '1.5x';
#! loose unordered
SELECT * FROM kd WHERE id = 100;
#! loose unordered
SELECT * FROM kd WHERE id = -0.0;
#! loose unordered
SELECT * FROM kd WHERE id = .1;
#! loose unordered
SELECT * FROM kd WHERE id = 0.1e0;
#! loose unordered
SELECT * FROM kd WHERE id = 9999999999.990;
#! loose unordered
SELECT * FROM kt WHERE id = '2024-01-07';
#! loose unordered
SELECT * FROM kt WHERE id = 20240107;
#! loose unordered
SELECT * FROM kt WHERE id = '20240107';
#! loose unordered
SELECT * FROM kt WHERE id = '2024-1-7';
#! loose unordered
SELECT * FROM kt WHERE id = '24-01-07';
#! loose unordered
SELECT * FROM kt WHERE id = 240107;
#! loose unordered
SELECT * FROM kt WHERE id = DATE '2024-01-07';
#! loose unordered refused
SELECT * FROM kt WHERE id = {d '2024-01-07'};
#! loose unordered
SELECT * FROM kt WHERE id = '2024-01-07 00:00:00';
#! loose unordered
SELECT * FROM kt WHERE id = '2024-01-07 10:00:00';
#! loose unordered
SELECT * FROM kt WHERE id = TIMESTAMP '2024-01-07 00:00:00';
#! loose unordered
SELECT * FROM kt WHERE id = '2024/01/07';
#! loose unordered
SELECT * FROM kt WHERE id = '2024.01.07';
#! loose unordered
SELECT * FROM kt WHERE id = '2024-01-07T00:00:00';
#! loose unordered
SELECT * FROM kt WHERE id = '2024-02-30';
#! loose unordered
SELECT * FROM kt WHERE id = 'nonsense';
#! loose unordered
SELECT * FROM kt WHERE id = 20240107000000;
#! loose unordered
SELECT * FROM kt WHERE id BETWEEN '2024-01-01' AND '2024-12-31';
#! loose unordered
SELECT * FROM kt WHERE id IN ('2024-01-07', 19991231);
#! loose unordered
SELECT * FROM kt WHERE YEAR(id) = 2024;
#! loose unordered
SELECT * FROM kdt WHERE id = '2024-01-07';
#! loose unordered
SELECT * FROM kdt WHERE id = '2024-01-07 10:11:12.5';
#! loose unordered
SELECT * FROM kdt WHERE id = '2024-01-07 10:11:12.500000';
#! loose unordered
SELECT * FROM kdt WHERE id = '2024-01-07 10:11:12.1234';
#! loose unordered
SELECT * FROM kdt WHERE id = DATE '2024-01-07';
#! loose unordered
SELECT * FROM kdt WHERE id = 20240107101112.5;
#! loose unordered
SELECT * FROM kdt WHERE id = TIMESTAMP '2024-01-07 10:11:12.123';
#! loose unordered
SELECT * FROM kr WHERE id < 0;
#! loose unordered
SELECT * FROM kr WHERE id <= 0;
#! loose unordered
SELECT * FROM kr WHERE id > 9;
#! loose unordered
SELECT * FROM kr WHERE id > 9.5;
#! loose unordered
SELECT * FROM kr WHERE id >= '10';
#! loose unordered
SELECT * FROM kr WHERE id BETWEEN 5 AND 10;
#! loose unordered
SELECT * FROM kr WHERE id BETWEEN '5' AND 9.9;
#! loose unordered
SELECT * FROM kr WHERE id BETWEEN -1 AND 'x';
#! loose unordered
SELECT * FROM kr WHERE 0 > id;
#! loose unordered
SELECT * FROM kr WHERE NOT id BETWEEN 0 AND 9;
#! loose unordered
SELECT * FROM kr WHERE id NOT BETWEEN 0 AND 9;
#! loose unordered
SELECT * FROM kr WHERE id > 5 AND id < 5;
#! loose unordered
SELECT * FROM kr WHERE id > -9223372036854775808 AND id < 18446744073709551615;
#! loose unordered
SELECT * FROM kr WHERE id = 10 OR id < 0;
SELECT * FROM kr ORDER BY id DESC LIMIT 3;
#! loose unordered
SELECT * FROM kl WHERE id = 'a';
#! loose unordered
SELECT * FROM kl WHERE id = 'B';
#! loose unordered
SELECT * FROM kl WHERE id IN ('c', 'D', '');
#! loose unordered
SELECT * FROM kl WHERE id = 0;
#! loose unordered
SELECT * FROM kl WHERE id > 'a';
UPDATE ki SET v = 50 WHERE id = '5';
UPDATE ki SET v = 51 WHERE id = 7.0;
DELETE FROM kc WHERE id = 'B';
UPDATE kb SET v = 100 WHERE id = 'a ';
UPDATE kt SET v = v + 1 WHERE id = '2024-1-7';
SELECT * FROM ki ORDER BY id;
SELECT * FROM kc ORDER BY id;
SELECT * FROM kb ORDER BY id;
SELECT * FROM kt ORDER BY id;
