-- INSERT of many rows in one statement, with keys that the server gives.

sysbench.cmdline.options = {
   table_size = {"Not used: tables begin empty", 0},
   tables = {"Tables that rows go to", 1},
   rows = {"Rows of one statement", 100},
}

local c_template = string.rep("###########-", 9) .. "###########"
local pad_template = string.rep("###########-", 4) .. "###########"

function thread_init()
   drv = sysbench.sql.driver()
   con = drv:connect()
end

function thread_done()
   con:disconnect()
end

function event()
   local values = {}
   for number = 1, sysbench.opt.rows do
      values[number] = string.format("(%d, '%s', '%s')", sysbench.rand.uniform(1, 100000),
         sysbench.rand.string(c_template), sysbench.rand.string(pad_template))
   end
   con:query(string.format("INSERT INTO sbtest%d (k, c, pad) VALUES %s",
      sysbench.rand.uniform(1, sysbench.opt.tables), table.concat(values, ",")))
end
