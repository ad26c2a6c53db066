-- What scripts do on an ordinary day, in words that every dialect from 5.1 to LuaJIT knows. Reads
-- stdin to its end, prints on stdout and stderr, and ends as its argument says: `return`, `exit`
-- (status 7), `error` (an error of text that nobody catches), `object` (an error that is no text).
local ending = ...
print(_VERSION, #arg, arg[0]:match("[^/]+$"), ending)

-- Coroutines: values both ways, a wrapped one, an error inside, a dead one.
local echo = coroutine.create(function(first, ...)
  local got = first
  while got do got = coroutine.yield(got * 2, select("#", ...)) end
  return "over"
end)
print(coroutine.resume(echo, 1, nil, nil))
print(coroutine.resume(echo, 21))
print(coroutine.resume(echo, nil))
print(coroutine.status(echo), coroutine.resume(echo))
for value in coroutine.wrap(function() for i = 1, 300 do coroutine.yield(i) end end) do
  if value % 100 == 0 then io.write(value, " ") end
end
local faulty = coroutine.create(function() local nothing = nil; return nothing.field end)
print(coroutine.resume(faulty))
print(debug.traceback(faulty))

-- Errors: of every kind, through pcall and xpcall, with a traceback, as deep as the stack goes.
print(pcall(error, "text"), pcall(error, nil), select("#", pcall(error)))
print(select(2, pcall(error, {code = 42})).code)
print(xpcall(function() return 1 + {} end, function(text) return debug.traceback(text, 1) end))
local function deep(n) return 1 + deep(n + 1) end
print((select(2, pcall(deep, 1)):match("stack overflow")))
print(pcall(setmetatable({}, {__call = function(_, ...) error("called with " .. ...) end}), "one"))

-- Text.
print(string.format("%5.2f|%-8s|%08x|%q|%c|%e|%%", math.pi, "left", 48879, 'a "b"\n\\', 65, 1e100))
print(("one two  three"):gsub("%s+", "_"), ("key = value"):match("^(%w+)%s*=%s*(%w+)$"))
print(tostring(2 ^ 53), tonumber("0x10"), tonumber("z", 36), 7 % -3, -7 % 3, 1e15, 2 ^ 63)
local sorted = {}
for i = 1, 500 do sorted[i] = (i * 7919) % 1009 end
table.sort(sorted, function(a, b) return a > b end)
print(table.concat(sorted, ",", 1, 20), #sorted)

-- Code that is made at run time, dumped, and loaded by name.
local compile = loadstring or load
print(compile("return ... + 1", "=made")(41), compile("return return", "=broken"))
print((loadstring or load)(string.dump(function(x) return x * x end))(12))
package.preload.apart = function(name) return {name = name} end
print(require("apart").name, pcall(require, "no.such.module") == false)

-- The system: files, time, environment, programs, memory.
local path = os.tmpname()
local file = assert(io.open(path, "w"))
file:write("first\n", 2, "\n", 3.5, "\nlast")
file:close()
for line in io.lines(path) do io.write("[", line, "]") end
file = io.open(path, "rb")
print(file:seek("end"), file:seek("set", 6), file:read("*n", "*l", "*a"))
file:close()
print(os.remove(path), (select(2, os.remove(path)):gsub(path, "PATH")), io.open(path) == nil)
print(os.date("!%Y-%m-%d %H:%M:%S", 86400 * 365), os.getenv("EVERYDAY"), os.getenv("NOT_SET"))
print(os.time() > 1e9, os.clock() >= 0, os.difftime(10, 4))
io.stdout:flush()
print(os.execute("echo said by a child; exit 3"))
local pipe = io.popen("echo piped; cat /dev/null")
print(pipe:read("*a"), pipe:close())
local freed = 0
for _ = 1, 100 do
  local garbage = newproxy and newproxy(true) or setmetatable({}, {})
  getmetatable(garbage).__gc = function() freed = freed + 1 end
  if not newproxy then setmetatable(garbage, getmetatable(garbage)) end
end
collectgarbage()
collectgarbage()
print(freed > 90, collectgarbage("count") > 0)
math.randomseed(5)
print(math.random(1, 1), math.floor(-0.5), math.max(3, 9, 4))

local lines = 0
for line in io.lines() do
  lines = lines + 1
  io.stderr:write("read ", line, "\n")
end
print("lines", lines)
io.stdout:flush()

if ending == "exit" then os.exit(7) end
if ending == "object" then error({}) end
local function last() error("last words") end
if ending == "error" then last() end
