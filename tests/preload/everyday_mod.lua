-- A mod of a Minetest world: has a piece of land made, says what it is of, uses the server's Lua API
-- for text, timers and files, and writes the file `ready` into the world when all is done.
local CORNER, OPPOSITE = vector.new(-32, -32, -32), vector.new(31, 47, 31)

local function census()
  local area = VoxelManip(CORNER, OPPOSITE)
  local counts, names = {}, {}
  for _, id in ipairs(area:get_data()) do counts[id] = (counts[id] or 0) + 1 end
  for id, count in pairs(counts) do
    names[#names + 1] = minetest.get_name_from_content_id(id) .. "=" .. count
  end
  table.sort(names)
  return table.concat(names, " ")
end

local function ready(answer)
  minetest.log("action", "everyday: " .. answer)
  minetest.safe_file_write(minetest.get_worldpath() .. "/ready", answer)
end

minetest.register_chatcommand("everyday", {func = function() return true, "not called" end})
minetest.register_on_shutdown(function() minetest.log("action", "everyday: shutdown") end)
minetest.register_on_mods_loaded(function()
  minetest.log("action", "everyday: " .. minetest.sha1("text") .. " " ..
    minetest.write_json({1, {a = "b"}}) .. " " .. minetest.serialize({x = {1, 2}}))
  print("everyday: ", pcall(error, "caught"), jit and jit.version)
end)
minetest.after(0, function()
  local settled = coroutine.wrap(function(left)
    while left > 0 do left = coroutine.yield(false) end
    return true
  end)
  minetest.emerge_area(CORNER, OPPOSITE, function(_, _, left)
    if settled(left) then minetest.after(0.5, function() ready(census()) end) end
  end)
end)
