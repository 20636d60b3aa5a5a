-- Transactions of ten statements that all name one shard key, as an application writes that
-- shards by customer: six reads, two updates, a delete and an insert between BEGIN and COMMIT.

sysbench.cmdline.options = {
   table_size = {"Rows of the table", 100000},
   tables = {"Not used: there is one table", 1},
   customer_rows = {"Rows of each customer", 100},
   range_size = {"Rows of a range", 10},
}

local t = sysbench.sql.type

local statements = {
   begin = {"BEGIN"},
   commit = {"COMMIT"},
   point = {"SELECT c FROM ledger1 WHERE customer=? AND id=?", t.INT, t.INT},
   range = {"SELECT c FROM ledger1 WHERE customer=? AND id BETWEEN ? AND ?", t.INT, t.INT, t.INT},
   sum = {"SELECT SUM(k) FROM ledger1 WHERE customer=? AND id BETWEEN ? AND ?", t.INT, t.INT, t.INT},
   index = {"UPDATE ledger1 SET k=k+1 WHERE customer=? AND id=?", t.INT, t.INT},
   text = {"UPDATE ledger1 SET c=? WHERE customer=? AND id=?", {t.CHAR, 120}, t.INT, t.INT},
   delete = {"DELETE FROM ledger1 WHERE customer=? AND id=?", t.INT, t.INT},
   insert = {"INSERT INTO ledger1 (customer, id, k, c, pad) VALUES (?, ?, ?, ?, ?)",
      t.INT, t.INT, t.INT, {t.CHAR, 120}, {t.CHAR, 60}},
}

local c_template = string.rep("###########-", 9) .. "###########"
local pad_template = string.rep("###########-", 4) .. "###########"

function thread_init()
   drv = sysbench.sql.driver()
   con = drv:connect()
   prepared, bound = {}, {}
   for name, definition in pairs(statements) do
      prepared[name] = con:prepare(definition[1])
      bound[name] = {}
      for place = 2, #definition do
         local kind = definition[place]
         if type(kind) == "table" then
            bound[name][place - 1] = prepared[name]:bind_create(kind[1], kind[2])
         else
            bound[name][place - 1] = prepared[name]:bind_create(kind)
         end
      end
      if #definition > 1 then
         prepared[name]:bind_param(unpack(bound[name]))
      end
   end
end

function thread_done()
   for _, statement in pairs(prepared) do
      statement:close()
   end
   con:disconnect()
end

local function execute(name, ...)
   for place, value in ipairs({...}) do
      if value == c_template or value == pad_template then
         bound[name][place]:set_rand_str(value)
      else
         bound[name][place]:set(value)
      end
   end
   prepared[name]:execute()
end

function event()
   local rows = sysbench.opt.customer_rows
   local customer = sysbench.rand.uniform(1, math.floor(sysbench.opt.table_size / rows))
   local range = sysbench.opt.range_size
   local function id() return sysbench.rand.uniform(1, rows) end

   execute("begin")
   for _ = 1, 4 do
      execute("point", customer, id())
   end
   local first = sysbench.rand.uniform(1, rows - range + 1)
   execute("range", customer, first, first + range - 1)
   execute("sum", customer, first, first + range - 1)
   execute("index", customer, id())
   execute("text", c_template, customer, id())
   local replaced = id()
   execute("delete", customer, replaced)
   execute("insert", customer, replaced, sysbench.rand.uniform(1, sysbench.opt.table_size),
      c_template, pad_template)
   execute("commit")
end
