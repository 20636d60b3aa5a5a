-- Point selects spread over many tables and many statement shapes (each with an alias of its own).
sysbench.cmdline.options = {
  tables = {"Number of tables", 1},
  table_size = {"Rows of each table", 4},
  shapes = {"Number of different statement texts, values aside", 1},
}

local function prepare()
  local con = sysbench.sql.driver():connect()
  for t = sysbench.tid % sysbench.opt.threads + 1, sysbench.opt.tables, sysbench.opt.threads do
    con:query(string.format(
      "CREATE TABLE sbtest%d (id INT NOT NULL PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL)", t))
    con:bulk_insert_init(string.format("INSERT INTO sbtest%d (id, k, c) VALUES", t))
    for id = 1, sysbench.opt.table_size do
      con:bulk_insert_next(string.format("(%d, %d, '%s')", id, id, string.rep("shard", 24)))
    end
    con:bulk_insert_done()
  end
end

sysbench.cmdline.commands = {prepare = {prepare, sysbench.cmdline.PARALLEL_COMMAND}}

function thread_init()
  con = sysbench.sql.driver():connect()
end

function event()
  con:query(string.format("SELECT c AS a%d FROM sbtest%d WHERE id=%d",
    sysbench.rand.uniform(1, sysbench.opt.shapes), sysbench.rand.uniform(1, sysbench.opt.tables),
    sysbench.rand.uniform(1, sysbench.opt.table_size)))
end
