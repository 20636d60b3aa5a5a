// Drives a Shardline proxy with go-sql-driver: the same steps as every other client.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/go-sql-driver/mysql"
)

func must(err error, step string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", step, err)
		os.Exit(1)
	}
}

func check(good bool, step string, got ...any) {
	if !good {
		fmt.Fprintf(os.Stderr, "%s: unexpected %v\n", step, got)
		os.Exit(1)
	}
}

func number(err error) uint16 {
	var server *mysql.MySQLError
	if errors.As(err, &server) {
		return server.Number
	}
	return 0
}

func open() *sql.DB {
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", os.Getenv("SL_HOST")+":"+os.Getenv("SL_PORT")
	config.User, config.Passwd = os.Getenv("SL_USER"), os.Getenv("SL_PASSWORD")
	config.DBName = os.Getenv("SL_DATABASE")
	if ca := os.Getenv("SL_CA"); ca != "" {
		pem, err := os.ReadFile(ca)
		must(err, "reading the authority")
		roots := x509.NewCertPool()
		check(roots.AppendCertsFromPEM(pem), "authority")
		must(mysql.RegisterTLSConfig("shardline", &tls.Config{RootCAs: roots, ServerName: "localhost"}), "TLS")
		config.TLSConfig = "shardline"
	}
	db, err := sql.Open("mysql", config.FormatDSN())
	must(err, "open")
	must(db.Ping(), "ping")
	return db
}

func schema(db *sql.DB) {
	for _, statement := range []string{
		"CREATE TABLE t_hash (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10,2)) SHARD BY HASH (id)",
		"CREATE TABLE t_range (id INT NOT NULL, day DATE NOT NULL, PRIMARY KEY (id, day)) SHARD BY RANGE (day) " +
			"(VALUES LESS THAN ('2025-01-01') ON s1, VALUES LESS THAN ('2026-01-01') ON s2, VALUES LESS THAN (MAXVALUE) ON s3)",
		"CREATE TABLE t_list (region VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, id INT NOT NULL, " +
			"PRIMARY KEY (region, id)) SHARD BY LIST (region) (VALUES IN ('north') ON s1, VALUES IN ('south') ON s2, DEFAULT ON s3)",
	} {
		_, err := db.Exec(statement)
		must(err, statement)
	}
}

func fill(db *sql.DB) {
	insert, err := db.Prepare("INSERT INTO t_hash (id, name, amount) VALUES (?, ?, ?)")
	must(err, "prepare insert")
	for id := 1; id <= 90; id++ {
		_, err := insert.Exec(id, fmt.Sprintf("name %d", id), fmt.Sprintf("%d.50", id))
		must(err, "insert into t_hash")
	}
	must(insert.Close(), "close")
	for id := 1; id <= 90; id += 3 {
		_, err := db.Exec("INSERT INTO t_range (id, day) VALUES (?, '2024-06-01'), (?, '2025-06-01'), (?, '2026-06-01')", id, id+1, id+2)
		must(err, "insert into t_range")
		_, err = db.Exec("INSERT INTO t_list (region, id) VALUES ('north', ?), ('south', ?), ('west', ?)", id, id+1, id+2)
		must(err, "insert into t_list")
	}
}

func read(db *sql.DB) {
	var name, amount string
	must(db.QueryRow("SELECT name, amount FROM t_hash WHERE id = ?", 42).Scan(&name, &amount), "by key")
	check(name == "name 42" && amount == "42.50", "by key", name, amount)
	rows, err := db.Query("SELECT id FROM t_hash ORDER BY id LIMIT 20 OFFSET 5")
	must(err, "ordered scan")
	for want := 6; rows.Next(); want++ {
		var id int
		must(rows.Scan(&id), "scan")
		check(id == want, "order", id, want)
	}
	must(rows.Err(), "rows")
	var count int
	var sum string
	must(db.QueryRow("SELECT COUNT(*), SUM(amount) FROM t_hash").Scan(&count, &sum), "aggregate")
	check(count == 90 && sum == "4140.00", "aggregate", count, sum)
	var regions int
	groups, err := db.Query("SELECT region, COUNT(*) FROM t_list GROUP BY region ORDER BY region")
	must(err, "group by")
	for ; groups.Next(); regions++ {
		var region string
		must(groups.Scan(&region, &count), "scan")
		check(count == 30, "group", region, count)
	}
	check(regions == 3, "groups", regions)
}

func write(db *sql.DB) {
	tx, err := db.Begin()
	must(err, "begin")
	_, err = tx.Exec("UPDATE t_hash SET amount = amount + 1 WHERE id = ?", 7)
	must(err, "update")
	must(tx.Commit(), "commit")
	tx, err = db.Begin()
	must(err, "begin")
	_, err = tx.Exec("DELETE FROM t_hash WHERE id = ?", 7)
	must(err, "delete")
	must(tx.Rollback(), "rollback")
	var amount string
	must(db.QueryRow("SELECT amount FROM t_hash WHERE id = 7").Scan(&amount), "after rollback")
	check(amount == "8.50", "after rollback", amount)
}

func fail(db *sql.DB) {
	_, err := db.Exec("INSERT INTO t_hash (id, name) VALUES (1, 'again')")
	check(number(err) == 1062, "duplicate key", err)
	_, err = db.Exec("SELECT * FROM t_missing")
	check(number(err) == 1146, "missing table", err)
	var one int
	must(db.QueryRow("SELECT 1").Scan(&one), "after errors")
}

func main() {
	db := open()
	defer db.Close()
	schema(db)
	fill(db)
	read(db)
	write(db)
	fail(db)
	fmt.Println("ok")
}
