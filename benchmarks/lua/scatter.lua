-- One statement over all rows of a table, again and again.

sysbench.cmdline.options = {
   table_size = {"Not used", 0},
   tables = {"Not used: there is one table", 1},
   statement = {"Which: count, group, order or average", "count"},
}

local statements = {
   count = "SELECT COUNT(*) FROM scatter1",
   group = "SELECT g, COUNT(*), SUM(k) FROM scatter1 GROUP BY g ORDER BY g",
   order = "SELECT id, k, c FROM scatter1 ORDER BY c, id LIMIT 10",
   average = "SELECT AVG(k), COUNT(DISTINCT k) FROM scatter1",
}

function thread_init()
   drv = sysbench.sql.driver()
   con = drv:connect()
   statement = assert(statements[sysbench.opt.statement], "no such statement")
end

function thread_done()
   con:disconnect()
end

function event()
   con:query(statement)
end
