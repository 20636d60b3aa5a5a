"""The steps that every Python driver is put through, by the DB-API."""

import os
from decimal import Decimal

SCHEMA = [
    "CREATE TABLE t_hash (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(40), amount DECIMAL(10,2)) "
    "SHARD BY HASH (id)",
    "CREATE TABLE t_range (id INT NOT NULL, day DATE NOT NULL, PRIMARY KEY (id, day)) "
    "SHARD BY RANGE (day) (VALUES LESS THAN ('2025-01-01') ON s1, "
    "VALUES LESS THAN ('2026-01-01') ON s2, VALUES LESS THAN (MAXVALUE) ON s3)",
    "CREATE TABLE t_list (region VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, "
    "id INT NOT NULL, PRIMARY KEY (region, id)) SHARD BY LIST (region) "
    "(VALUES IN ('north') ON s1, VALUES IN ('south') ON s2, DEFAULT ON s3)",
]


def address():
    """Where to connect and as whom."""
    return {
        "host": os.environ["SL_HOST"],
        "port": int(os.environ["SL_PORT"]),
        "user": os.environ["SL_USER"],
        "password": os.environ["SL_PASSWORD"],
        "database": os.environ["SL_DATABASE"],
    }


def autocommit(connection, on):
    """A method in one driver, a property in another."""
    if callable(connection.autocommit):
        connection.autocommit(on)
    else:
        connection.autocommit = on


def fetch(cursor, statement, parameters=()):
    cursor.execute(statement, parameters)
    return list(cursor.fetchall())


def fill(connection, cursor):
    for number in range(1, 91):
        cursor.execute(
            "INSERT INTO t_hash (id, name, amount) VALUES (%s, %s, %s)",
            (number, f"name {number}", Decimal(number) + Decimal("0.50")),
        )
        # These drivers begin with autocommit off: each row is its own transaction.
        connection.commit()
    autocommit(connection, True)
    for number in range(1, 91, 3):
        ids = (number, number + 1, number + 2)
        cursor.execute(
            "INSERT INTO t_range (id, day) VALUES (%s, '2024-06-01'), (%s, '2025-06-01'), (%s, '2026-06-01')",
            ids,
        )
        cursor.execute(
            "INSERT INTO t_list (region, id) VALUES ('north', %s), ('south', %s), ('west', %s)", ids
        )
    autocommit(connection, False)


def read(cursor):
    by_key = fetch(cursor, "SELECT name, amount FROM t_hash WHERE id = %s", (42,))
    assert by_key == [("name 42", Decimal("42.50"))], by_key
    scan = fetch(cursor, "SELECT id FROM t_hash ORDER BY id LIMIT 20 OFFSET 5")
    assert scan == [(number,) for number in range(6, 26)], scan
    sums = fetch(cursor, "SELECT COUNT(*), SUM(amount) FROM t_hash")
    assert sums == [(90, Decimal("4140.00"))], sums
    groups = fetch(cursor, "SELECT region, COUNT(*) FROM t_list GROUP BY region ORDER BY region")
    assert groups == [("north", 30), ("south", 30), ("west", 30)], groups


def write(connection, cursor):
    connection.rollback()
    cursor.execute("UPDATE t_hash SET amount = amount + 1 WHERE id = %s", (7,))
    assert cursor.rowcount == 1, cursor.rowcount
    connection.commit()
    cursor.execute("DELETE FROM t_hash WHERE id = %s", (7,))
    connection.rollback()
    assert fetch(cursor, "SELECT amount FROM t_hash WHERE id = 7") == [(Decimal("8.50"),)]


def expect_error(cursor, number, statement):
    try:
        cursor.execute(statement)
    except Exception as error:  # each driver has classes of its own
        assert error.args[0] == number, error
        return
    raise AssertionError(f"no error from {statement}")


def run(connection, prepared=None):
    """All steps; `prepared` is a cursor that uses the binary protocol, when there is one."""
    cursor = connection.cursor()
    for statement in SCHEMA:
        cursor.execute(statement)
    fill(connection, cursor)
    read(cursor)
    if prepared is not None:
        read(prepared)
    write(connection, cursor)
    expect_error(cursor, 1062, "INSERT INTO t_hash (id, name) VALUES (1, 'again')")
    expect_error(cursor, 1146, "SELECT * FROM t_missing")
    assert fetch(cursor, "SELECT 1") == [(1,)]
    connection.close()
    print("ok")
