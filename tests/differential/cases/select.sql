-- Order, groups, limits and names of results over several shards.
CREATE TABLE s (id INT NOT NULL PRIMARY KEY, a INT NULL, b INT NULL, v VARCHAR(20) NULL, d DECIMAL(10,2) NULL) /*!999999 SHARD BY HASH (id) */;
CREATE TABLE t (id INT NOT NULL, n INT NOT NULL, w VARCHAR(20), PRIMARY KEY (id, n)) /*!999999 SHARD BY HASH (id) COLOCATE (s) */;
CREATE TABLE br (code CHAR(3) NOT NULL PRIMARY KEY, name VARCHAR(20), n INT) /*!999999 BROADCAST */;
CREATE TABLE one (id INT NOT NULL PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20)) /*!999999 SINGLE ON s2 */;
CREATE TABLE nothing (id INT NOT NULL PRIMARY KEY, v VARCHAR(20), x DOUBLE, e ENUM('b','a')) /*!999999 SHARD BY HASH (id) */;
INSERT INTO s VALUES (1, 3, NULL, 'a', 1.10), (2, NULL, 5, 'B', 2.20), (3, 1, 2, NULL, NULL), (4, 3, 4, 'A ', 0.05), (5, NULL, NULL, 'b', -1.00), (6, 2, 9, 'c', 100.00), (7, 1, 2, 'a', 7.77), (8, 8, 8, '', 0.00), (9, 0, 1, 'é', 12.34), (10, 5, 5, 'E', 5.50), (11, -1, NULL, 'z', -0.01), (12, 3, 3, 'Z', 3.00);
INSERT INTO t VALUES (1, 1, 'one'), (1, 2, 'two'), (2, 1, 'x'), (4, 1, 'y'), (4, 2, 'y'), (4, 3, NULL), (13, 1, 'orphan'), (14, 1, 'orphan');
#! loose
INSERT INTO br VALUES ('EUR', 'Euro', 1), ('USD', 'Dollar', 2), ('CHF', NULL, 3);
INSERT INTO one (v) VALUES ('x'), ('y'), ('z');
SELECT * FROM s ORDER BY a, id;
SELECT * FROM s ORDER BY a DESC, id DESC;
SELECT id, a FROM s ORDER BY a IS NULL, a, id;
SELECT id, a FROM s ORDER BY -a, id;
SELECT id, a FROM s ORDER BY 2, 1;
SELECT id, a FROM s ORDER BY 1;
SELECT id, -id FROM s ORDER BY 2;
SELECT id, -id FROM s ORDER BY 1;
SELECT a, b, COUNT(*) FROM s GROUP BY 1, 2 ORDER BY 1, 2;
#! unordered loose
SELECT a, MAX(b) FROM s GROUP BY 1;
SELECT b AS a, id FROM s ORDER BY a, id;
SELECT b AS a, id FROM s ORDER BY s.a, id;
SELECT id AS `a b`, v 'w' FROM s ORDER BY `a b`;
SELECT id AS "x y" FROM s ORDER BY `x y`;
SELECT id 'alias', a AS 'other one' FROM s ORDER BY alias;
SELECT id, v FROM s ORDER BY v, id;
SELECT id, v FROM s ORDER BY v DESC, id LIMIT 5;
SELECT id, v FROM s ORDER BY v COLLATE utf8mb4_bin, id;
SELECT id, v FROM s ORDER BY BINARY v, id;
SELECT id, v FROM s ORDER BY UPPER(v) DESC, id;
SELECT id FROM s ORDER BY v LIKE 'a%' DESC, id;
SELECT id FROM s ORDER BY CASE WHEN a > 2 THEN 0 ELSE 1 END, id;
SELECT id FROM s ORDER BY FIELD(id, 7, 3, 11) DESC, id;
#! session
SELECT id FROM s ORDER BY id LIMIT 0;
SELECT id FROM s ORDER BY id LIMIT 3 OFFSET 10;
SELECT id FROM s ORDER BY id LIMIT 3 OFFSET 100;
SELECT id FROM s ORDER BY id LIMIT 100, 3;
SELECT id FROM s ORDER BY id LIMIT 2, 3;
SELECT id FROM s ORDER BY id LIMIT 18446744073709551615;
SELECT id FROM s ORDER BY id LIMIT 18446744073709551615 OFFSET 11;
SELECT COUNT(*) FROM s LIMIT 0;
SELECT COUNT(*) FROM s LIMIT 1 OFFSET 1;
SELECT COUNT(*), COUNT(a), SUM(a), MIN(a), MAX(a), AVG(a) FROM s;
SELECT COUNT(*), COUNT(a), SUM(a), MIN(a), MAX(a), AVG(a) FROM s WHERE id > 100;
SELECT COUNT(*), SUM(id), MIN(v), MAX(v), AVG(x), SUM(x), MIN(e), MAX(e) FROM nothing;
SELECT v, COUNT(*) FROM nothing GROUP BY v;
SELECT * FROM nothing;
SELECT * FROM nothing ORDER BY v LIMIT 5;
SELECT DISTINCT v FROM nothing;
SELECT SUM(d), AVG(d), MIN(d), MAX(d), SUM(d) AS total FROM s;
SELECT sum(id) , Avg( id ), count( * ), COUNT(id+1), MIN( v ) FROM s;
SELECT COUNT(*)+0 FROM s WHERE id = 1;
#! loose
SELECT MIN(v), MAX(v) FROM s WHERE v <> '' AND id NOT IN (4, 12);
SELECT a, COUNT(*) c FROM s GROUP BY a ORDER BY c DESC, a;
SELECT a, COUNT(*) c FROM s GROUP BY a ORDER BY 2, 1 DESC LIMIT 3;
SELECT a, COUNT(*) c FROM s GROUP BY a ORDER BY COUNT(*), a;
SELECT a + 1 AS g, SUM(b) FROM s GROUP BY g ORDER BY g;
SELECT a % 2, SUM(b) FROM s GROUP BY a % 2 ORDER BY a % 2;
SELECT a % 2 AS m, SUM(b) FROM s GROUP BY m ORDER BY m DESC LIMIT 1, 1;
SELECT id, COUNT(*) FROM s GROUP BY id HAVING COUNT(*) > 0 ORDER BY id;
SELECT id, SUM(a) + 1 FROM s GROUP BY id ORDER BY SUM(a), id;
SELECT id, GROUP_CONCAT(w ORDER BY n) FROM t GROUP BY id ORDER BY id;
SELECT DISTINCT a FROM s ORDER BY a;
SELECT DISTINCT a FROM s ORDER BY a DESC LIMIT 2, 3;
SELECT DISTINCT a, b FROM s ORDER BY b, a;
SELECT DISTINCT a IS NULL FROM s ORDER BY 1;
SELECT DISTINCT 1 FROM s;
SELECT DISTINCT id, v FROM s ORDER BY v, id;
SELECT DISTINCT UPPER(TRIM(v)) AS u FROM s ORDER BY u;
SELECT ALL a FROM s WHERE a = 3 ORDER BY id;
SELECT a.id, b.n FROM s a JOIN t b ON a.id = b.id ORDER BY a.id, b.n;
SELECT a.id, b.n FROM s a LEFT JOIN t b ON a.id = b.id ORDER BY a.id, b.n;
SELECT a.id, b.id FROM s a RIGHT JOIN t b ON a.id = b.id ORDER BY b.id, b.n;
SELECT * FROM s JOIN t USING (id) ORDER BY id, n;
#! refused
SELECT id, n, v FROM s NATURAL JOIN t ORDER BY id, n;
SELECT s.*, br.name FROM s, br WHERE br.n = s.a ORDER BY s.id;
SELECT s.id, t.n, br.code FROM s JOIN t ON t.id = s.id JOIN br ON br.n = t.n ORDER BY s.id, t.n;
SELECT t.*, s.v FROM t LEFT JOIN s ON s.id = t.id ORDER BY t.id, t.n;
SELECT a.id FROM s a LEFT JOIN t b ON a.id = b.id WHERE b.id IS NULL ORDER BY 1;
SELECT a.a, COUNT(b.n) FROM s a LEFT JOIN t b ON b.id = a.id GROUP BY a.a ORDER BY a.a;
SELECT * FROM s WHERE id = 4 UNION SELECT * FROM s WHERE id = 4;
SELECT * FROM one ORDER BY id;
SELECT * FROM one o JOIN br b ON b.n = o.id ORDER BY o.id;
SELECT (SELECT MAX(id) FROM one), (SELECT COUNT(*) FROM br);
SELECT * FROM br ORDER BY code;
SELECT * FROM (SELECT code, n FROM br) x WHERE n > 1 ORDER BY n;
WITH x AS (SELECT 1 AS n UNION ALL SELECT 2) SELECT * FROM x ORDER BY n;
SELECT 1 WHERE 1 = 0;
SELECT NULL, 1, 1.0, 1e0, 'a', x'41', DATE '2024-01-01', TRUE;
SELECT 'a' 'b', "c", N'd', _utf8mb4'e', _latin1'f';
VALUES (1, 'a'), (2, 'b');
-- Comments and spaces in odd places; columns keep their names.
SELECT/**/id/* x */FROM/*;*/s/*'*/WHERE/**/id=4;
SELECT /*! id, */ a FROM s WHERE id = 4;
SELECT id /*!50701 , nosuch */ FROM s WHERE id = 4;
SELECT id, a /*!100100 , b */ FROM s ORDER BY /*!50000 id */;
SELECT id /*M!100100 , a */ FROM s ORDER BY id;
SELECT id -- to the end
FROM s # another
ORDER BY id
;
SELECT a  +  1,  a/* x */+2 , ( a ) , (a) FROM s ORDER BY id;
SELECT
  id
  ,
  a	+	1
FROM s ORDER BY 1;
SELECT id, COUNT( * ), MAX( a ) FROM s GROUP BY id ORDER BY 1;
SELECT a+0, count(*), max( d ) FROM s GROUP BY a+0 ORDER BY a+0;
SELECT `id`, `s`.`a`, `shop`.`s`.`b`, s . v FROM `shop`.`s` ORDER BY `id`;
SELECT - id, + id, !id, ~id, NOT id FROM s ORDER BY id;
SELECT ID, S_.A, S_.V FROM s AS S_ ORDER BY id;
#! session
SELECT id FROM s WHERE a IN (1, NULL) ORDER BY id;
SELECT id FROM s WHERE a NOT IN (1, NULL) ORDER BY id;
SELECT id FROM s WHERE a = NULL ORDER BY id;
SELECT id FROM s WHERE a <=> NULL ORDER BY id;
SELECT id FROM s WHERE NOT a ORDER BY id;
SELECT id FROM s WHERE a = 3 OR b = 2 AND d > 2 ORDER BY id;
SELECT id FROM s WHERE id = 1 OR id = 4 AND a = 3 ORDER BY id;
SELECT id FROM s WHERE id = 1 || id = 5 ORDER BY id;
SELECT id FROM s WHERE id = 1 XOR a = 3 ORDER BY id;
SELECT id FROM s WHERE id = 4 AND a = 3 XOR b = 2 ORDER BY id;
SELECT id FROM s WHERE id = 4 AND BINARY v = 'x' OR id = 5 ORDER BY id;
SELECT id FROM s WHERE id = 4 = 1 ORDER BY id;
SELECT id FROM s WHERE id = (4 = 1) ORDER BY id;
SELECT id FROM s WHERE NOT id = 4 ORDER BY id;
SELECT id FROM s WHERE ! (id = 4) ORDER BY id;
SELECT id FROM s WHERE id = 4 IS NULL ORDER BY id;
SELECT id FROM s WHERE id = 4 | 1 ORDER BY id;
SELECT id FROM s WHERE id = 4 DIV 1 ORDER BY id;
SELECT id FROM s WHERE id IN (4) = 0 ORDER BY id;
SELECT id FROM s WHERE id BETWEEN 4 AND 6 AND a = 2 ORDER BY id;
SELECT id FROM s WHERE id BETWEEN 6 AND 4 ORDER BY id;
SELECT id FROM s WHERE id BETWEEN NULL AND 4 ORDER BY id;
SELECT id FROM s WHERE (id, a) = (4, 3) ORDER BY id;
SELECT id FROM s WHERE (id, a) IN ((4, 3), (6, 2), (1, 1)) ORDER BY id;
SELECT id FROM s WHERE id > 5 AND id < 3 ORDER BY id;
SELECT id FROM s WHERE id = 5 AND id = 6;
SELECT COUNT(*) FROM s WHERE id = 5 AND id = 6;
SELECT COUNT(*), MAX(id) FROM s WHERE FALSE;
SELECT id FROM s WHERE TRUE ORDER BY id LIMIT 1;
SELECT id, id = 4, id IN (1, 2), a IS NOT NULL, v LIKE 'a%' FROM s ORDER BY id;
SELECT IF(a > 2, 'big', 'small') AS size, COUNT(*) FROM s GROUP BY size ORDER BY size;
SELECT COALESCE(a, b, 0) AS c, MIN(id) FROM s GROUP BY c ORDER BY c;
#! unordered
SELECT id FROM s FOR UPDATE;
#! unordered
SELECT id FROM s LOCK IN SHARE MODE;
SELECT SQL_NO_CACHE id FROM s ORDER BY id;
SELECT HIGH_PRIORITY id FROM s ORDER BY id LIMIT 2;
#! loose
SELECT COUNT(DISTINCT a) FROM s;
#! refused unordered
SELECT a, COUNT(*) FROM s GROUP BY a HAVING COUNT(*) > 1;
#! refused unordered
SELECT id FROM s WHERE id IN (SELECT id FROM t);
#! refused unordered
SELECT SUM(a) / COUNT(*) FROM s;
#! refused unordered
SELECT a FROM s UNION SELECT b FROM s;
#! refused unordered
SELECT a, COUNT(*) FROM s GROUP BY a WITH ROLLUP;
#! refused unordered
SELECT id, ROW_NUMBER() OVER (ORDER BY id) FROM s;
#! refused unordered
SELECT s.id, one.v FROM s JOIN one ON one.id = s.id;
#! refused unordered
SELECT br.code, s.id FROM br LEFT JOIN s ON s.a = br.n;
#! refused unordered
SELECT GROUP_CONCAT(v ORDER BY id) FROM s;
#! refused unordered
SELECT * FROM (SELECT a, COUNT(*) c FROM s GROUP BY a) x WHERE c > 1;
#! refused unordered
SELECT BIT_OR(a), STD(a), VARIANCE(a) FROM s;
#! refused unordered
(SELECT id FROM s) ORDER BY id;
