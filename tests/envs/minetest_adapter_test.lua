-- Tests of envs/minetest/adapter.lua against mocks of the module `midlane` and of the server's API.
-- The chunk gets the adapter's path and returns a table of test functions.
local adapter_path = ...

local NONE, FORWARD, BACK, LEFT, RIGHT, HIGHER, LOWER, DIG, PLACE = 0, 1, 2, 3, 4, 5, 6, 7, 8
local GROUND = 8  -- y of the highest node of earth; a piece of map is 80 nodes wide, the middle one from -32 on

local function equal(actual, expected, what)
  if actual ~= expected then
    error(("%s: %s in place of %s"):format(what, tostring(actual), tostring(expected)), 2)
  end
end

local function near(actual, expected, what)
  if math.abs(actual - expected) > 1e-6 then
    error(("%s: %s in place of %s"):format(what, tostring(actual), tostring(expected)), 2)
  end
end

-- The host's side of the channel: every exchange is recorded, and waits until the test answers it.
local function new_host(changed)
  local host = {exchanges = {}, quits = 0, act = NONE}
  host.settings = {map_seed = "1", start = "anywhere", goal_wood = "3", timesteps = "500", frame_skip = "5", seed = "4"}
  for name, value in pairs(changed or {}) do host.settings[name] = value end
  local slot, posted = {reward = {}, metric = {}}, nil
  local m = {FIRST = 4, TERMINATED = 8, TRUNCATED = 16, MATCH_OVER = 32}

  local function write(tensor, first, values, count)
    local declared = host.spec.observations[tensor]
    slot[declared.name] = slot[declared.name] or {}
    for i = 1, count do
      local value = values[i]
      if type(value) == "boolean" then value = value and 1 or 0 end
      assert(value >= declared.min and value <= declared.max, declared.name .. " is out of bounds")
      slot[declared.name][first + i - 1] = value
    end
  end

  function m.declare(spec) host.spec = spec end
  function m.settings()
    local copy = {}
    for name, value in pairs(host.settings) do copy[name] = value end
    return copy
  end
  function m.seed() return 12345 end
  function m.observe(agent, tensor, ...)
    local elements = 1
    for _, size in ipairs(host.spec.observations[tensor].shape) do elements = elements * size end
    assert(agent == 1 and select("#", ...) == elements, "count of elements")
    write(tensor, 1, {...}, elements)
  end
  function m.observe_at(agent, tensor, first, ...)
    assert(agent == 1 and select("#", ...) <= 200, "elements at once")
    write(tensor, first, {...}, select("#", ...))
  end
  function m.reward(agent, term, x)
    assert(agent == 1 and x >= 0, "reward")
    local name = host.spec.rewards[term]
    slot.reward[name] = (slot.reward[name] or 0) + x
  end
  function m.metric(_, metric, x)
    if type(x) == "boolean" then x = x and 1 or 0 end
    slot.metric[host.spec.metrics[metric]] = x
  end
  function m.post(_, flags) posted = flags end
  function m.exchange(frame)
    local exchange = {frame = frame, flags = assert(posted)}
    for name, value in pairs(slot) do
      exchange[name] = {}
      for key, element in pairs(value) do exchange[name][key] = element end
    end
    slot.reward, posted = {}, nil
    host.exchanges[#host.exchanges + 1] = exchange
    return coroutine.yield("exchange")
  end
  function m.action() return host.act end
  function m.effect(_, frame) host.exchanges[#host.exchanges].effect = frame end
  function m.quit() host.quits = host.quits + 1 end
  host.module = m

  function host.last() return host.exchanges[#host.exchanges] end
  return host
end

local function stack_of(name, count)
  local stack = {}
  function stack:get_name() return count > 0 and name or "" end
  function stack:get_count() return count end
  function stack:is_empty() return count == 0 end
  function stack:take_item() count = count - 1 end
  function stack:add(n) count = count + n end
  return stack
end

local function new_inventory()
  local inventory, list = {}, {}
  local function resize(size) for i = #list + 1, size do list[i] = stack_of("", 0) end end
  function inventory:set_size(_, size) resize(size) end
  function inventory:get_list() return list end
  function inventory:set_list(_, stacks)
    local size = #list
    list = stacks
    resize(size)
  end
  function inventory:set_stack(_, slot, stack) list[slot] = stack end
  function inventory:add_item(_, item)
    for slot, stack in ipairs(list) do
      if stack:get_name() == item then
        stack:add(1)
        return stack_of(item, 0)
      elseif stack:is_empty() then
        list[slot] = stack_of(item, 1)
        return stack_of(item, 0)
      end
    end
    return stack_of(item, 1)
  end
  return inventory
end

local NODES = {
  air = {walkable = false, buildable_to = true, pointable = false, diggable = false},
  grass = {walkable = false, buildable_to = true, groups = {snappy = 3}},
  earth = {groups = {crumbly = 3, soil = 1}},
  stone = {groups = {cracky = 3}},
  log = {groups = {tree = 1, choppy = 2}},
  leaves = {groups = {leaves = 1, snappy = 3}, drop = "apple"},
  water = {walkable = false, buildable_to = true, diggable = false, liquidtype = "source"},
}
local HAND = {crumbly = 0.7, snappy = 0.4, choppy = 3.5}  -- seconds

-- A server: flat earth with trees; everything but the middle of the map is unknown until it is asked for.
local function new_game(host, options)
  options = options or {}
  local game = {steps = {}, liquids = {}, kept = 0, dropped = {}, entities = {}, pieces = 0, seeds = 0}
  local nodes, logs, low, high = {}, {}, nil, nil
  local core = {luaentities = {}, registered_items = {[""] = {tool_capabilities = HAND}}, registered_nodes = {}}
  for name, definition in pairs(NODES) do core.registered_nodes[name] = definition end

  function core.hash_node_position(p) return (p.x + 32768) + (p.y + 32768) * 65536 + (p.z + 32768) * 4294967296 end
  local function name_at(p)
    local inside = low and p.x >= low.x and p.x <= high.x and p.y >= low.y and p.y <= high.y and p.z >= low.z and
        p.z <= high.z
    if not inside then return "ignore" end
    local default = p.y < 0 and "stone" or p.y <= GROUND and "earth" or "air"
    return nodes[core.hash_node_position(p)] or default
  end
  local function put(p, node)
    local nearest = {x = math.floor(p.x + 0.5), y = math.floor(p.y + 0.5), z = math.floor(p.z + 0.5)}
    local key = core.hash_node_position(nearest)
    nodes[key], logs[key] = node.name, node.name == "log" and nearest or nil
  end
  function core.get_node(p) return {name = name_at(p)} end
  function core.get_node_or_nil(p) return name_at(p) ~= "ignore" and {name = name_at(p)} or nil end
  core.set_node, core.add_node, core.swap_node = put, put, put
  function core.remove_node(p) put(p, {name = "air"}) end
  function core.bulk_set_node(all, node) for _, p in ipairs(all) do put(p, node) end end
  function core.get_item_group(name, group)
    return core.registered_nodes[name] and (core.registered_nodes[name].groups or {})[group] or 0
  end
  function core.get_dig_params(groups, hand)
    for group in pairs(groups) do
      if hand[group] then return {diggable = true, time = hand[group]} end
    end
    return {diggable = false, time = 0}
  end
  function core.find_nodes_in_area(from, to, wanted)
    equal(wanted, "group:tree", "nodes looked for")
    local found = {}
    for _, p in pairs(logs) do
      if p.x >= from.x and p.x <= to.x and p.y >= from.y and p.y <= to.y and p.z >= from.z and p.z <= to.z then
        found[#found + 1] = p
      end
    end
    table.sort(found, function(a, b) return core.hash_node_position(a) < core.hash_node_position(b) end)
    return found
  end
  function core.emerge_area(from, to, callback)
    game.pieces = game.pieces + 1
    low, high, game.emerge = from, to, function()
      callback({}, 0, 1)
      callback({}, 0, 0)
    end
  end
  function core.forceload_block(_, transient)
    assert(transient)
    game.kept = game.kept + 1
    return game.kept <= (options.blocks or 1000)
  end
  function core.create_detached_inventory()
    game.inventory = new_inventory()
    return game.inventory
  end
  function core.handle_node_drops(_, drops) for _, item in pairs(drops) do table.insert(game.dropped, item) end end
  function core.dig_node(p)
    local definition = core.registered_nodes[name_at(p)]
    if game.refuses then return false end
    core.handle_node_drops(p, {definition.drop or name_at(p)}, nil)
    core.remove_node(p)
    return true
  end
  function core.item_place_node(stack, placer, pointed)
    equal(placer, nil, "placer")
    if game.refuses then return stack, nil end
    core.add_node(pointed.under, {name = stack:get_name()})
    stack:take_item()
    return stack, pointed.under
  end
  function core.is_protected(p) return game.protects and game.protects(p) or false end
  function core.register_on_liquid_transformed(f) game.flow = f end
  function core.register_globalstep(f) game.steps[#game.steps + 1] = f end
  function core.register_entity(name) game.entity = name end
  function core.add_entity(position, name)
    equal(":" .. name, game.entity, "entity")
    local object = {position = position}
    function object:get_pos() return self.position end
    function object:set_pos(p) self.position = p end
    function object:set_yaw(yaw) self.yaw = yaw end
    function object:remove() self.position = nil end
    table.insert(game.entities, object)
    core.luaentities[#game.entities] = {name = name, object = object}
    return object
  end
  function core.set_timeofday(day) game.day = day end

  function game.set(x, y, z, name) put({x = x, y = y, z = z}, {name = name}) end
  function game.name(x, y, z) return name_at({x = x, y = y, z = z}) end

  -- The server runs until its frame ends or it waits for the host.
  local waiting = false
  local server = coroutine.create(function()
    while true do
      for _, step in ipairs(game.steps) do step(0.1) end
      coroutine.yield("frame")
    end
  end)
  local function run(answer)
    local ok, what = coroutine.resume(server, answer)
    if not ok then error(what, 0) end
    waiting = what == "exchange"
  end

  -- The next exchange that waits; an error where none comes.
  function game.observe()
    for _ = 1, 1000 do
      if waiting then return host.last() end
      run()
    end
    error("nothing is exchanged")
  end
  -- Answers the exchange that waits; the next one.
  function game.answer(answer)
    game.observe()
    run(answer)
    return game.observe()
  end
  function game.act(...)
    for _, act in ipairs({...}) do
      equal(game.observe().act_mask[act + 1], 1, "mask of " .. act)
      host.act = act
      game.answer("step")
    end
    return host.last()
  end
  -- Frames of a server that exchanges nothing.
  function game.frames(n)
    for _ = 1, n do
      run()
      assert(not waiting, "something is exchanged")
    end
  end
  -- Lets the map appear, up to the first exchange.
  function game.start()
    game.frames(1)
    game.emerge()
    return game.observe()
  end

  local random = {randomseed = function() game.seeds = game.seeds + 1 end}
  game.env = {core = core, minetest = core, math = random, INIT = options.init or "game"}
  game.core = core
  -- Twelve trees of four logs, far from each other.
  for i = 0, 11 do
    for y = GROUND + 1, GROUND + 4 do
      if not options.bare then game.set(-20 + i % 4 * 15, y, -20 + math.floor(i / 4) * 15, "log") end
    end
  end
  local chunk = assert(loadfile(adapter_path, "t", setmetatable({}, {__index = _G})))
  chunk(host.module).loaded(options.chunk or "/usr/share/builtin/init.lua", game.env)
  return game
end

local function feet_of(game)
  local position = game.entities[#game.entities].position
  return position.x, position.y + 0.5, position.z
end

-- A match that has begun: the agent stands at (feet.x, GROUND + 1, feet.z), far from trees, and looks towards +z.
local function new_match(changed)
  local host = new_host(changed)
  local game = new_game(host)
  game.start()
  game.act(NONE)
  while math.abs(game.entities[1].yaw) > 1e-9 do game.act(RIGHT) end
  local feet = {}
  feet.x, feet.y, feet.z = feet_of(game)
  game.front = {x = feet.x, y = feet.y + 1, z = feet.z + 1}  -- the node before the head
  function game.put_before(name)
    game.set(game.front.x, game.front.y, game.front.z, name)
    game.act(NONE)
  end
  function game.before() return game.name(game.front.x, game.front.y, game.front.z) end
  return host, game, feet
end

-- Whether channel (1 walkable, 2 wood, 3 dug by hand, 4 liquid) of the node so far right of, ahead of and above the
-- head is seen.
local function sees(exchange, right, far, up, channel)
  return exchange.nodes[(((up + 2) * 5 + far + 2) * 5 + right + 2) * 4 + channel] == 1
end

local tests = {}

function tests.nothing_is_exchanged_before_the_map_is_there()
  local host = new_host()
  local game = new_game(host)
  game.frames(50)
  equal(game.pieces, 1, "pieces of map asked for")
  equal(game.start().flags, 4, "flags")
  equal(game.pieces, 1, "pieces of map asked for")
  equal(game.kept, 125, "blocks kept")
end

function tests.pieces_of_map_without_woods_are_passed_by()
  local game = new_game(new_host(), {bare = true})
  for _ = 1, 25 do
    game.frames(1)
    game.emerge()
  end
  equal(game.pieces, 25, "pieces of map asked for")
  local ok, message = pcall(game.frames, 1)
  assert(not ok and message:find("map_seed 1 has no woods"), message)
end

function tests.too_few_kept_blocks_are_an_error()
  local game = new_game(new_host(), {blocks = 16})
  local ok, message = pcall(game.start)
  assert(not ok and message:find("max_forceloaded_blocks"), message)
end

function tests.other_states_and_games_without_a_host_are_left_alone()
  local host = new_host()
  equal(#new_game(host, {init = "async_game"}).steps, 0, "globalsteps of a worker's state")
  equal(#new_game(host, {chunk = "/usr/share/builtin/game/item.lua"}).steps, 0, "globalsteps")
  host.settings = {}
  equal(#new_game(host).steps, 0, "globalsteps without a host")
  equal(host.spec, nil, "spec")
end

function tests.a_decision_acts_in_the_frame_that_it_saw()
  local host, game = new_match({frame_skip = "3"})
  game.act(LEFT, RIGHT)
  local exchanges = host.exchanges
  for i = 2, #exchanges do
    equal(exchanges[i].frame - exchanges[i - 1].frame, 3, "frames a timestep")
    equal(exchanges[i - 1].effect, exchanges[i - 1].frame, "effect frame")
    equal(exchanges[i].flags, 0, "flags")
  end
end

function tests.it_starts_on_the_ground_near_a_tree()
  local host = new_host({start = "tree", seed = "0", timesteps = "1"})
  local game = new_game(host)
  game.start()
  for _ = 1, 40 do
    game.act(NONE)
    local x, y, z = feet_of(game)
    equal(y, GROUND + 1, "height of the feet")
    equal(game.name(x, y, z), "air", "node at the feet")
    local found = game.core.find_nodes_in_area({x = x - 4, y = y, z = z - 4}, {x = x + 4, y = y, z = z + 4},
                                               "group:tree")
    assert(#found > 0, "no tree is near")
    game.answer("reset")
  end
end

function tests.it_starts_anywhere_on_the_ground_but_in_water()
  local host = new_host({seed = "0", timesteps = "1"})
  local game = new_game(host)
  for x = -32, 47 do
    for z = -32, 47 do
      local tree = x % 15 == 10 and z % 15 == 10
      if not tree then game.set(x, z < 8 and GROUND + 1 or GROUND + 6, z, z < 8 and "water" or "leaves") end
    end
  end
  game.start()
  for _ = 1, 40 do
    game.act(NONE)
    local _, y, z = feet_of(game)
    assert(z >= 8, "in water")
    equal(y, GROUND + 1, "height of the feet, under the leaves")
    game.answer("reset")
  end
end

function tests.it_walks_forward_and_back()
  local host, game, feet = new_match()
  game.act(FORWARD, FORWARD)
  local x, y, z = feet_of(game)
  equal(x, feet.x, "x")
  equal(y, feet.y, "y")
  equal(z, feet.z + 2, "z")
  game.act(RIGHT, BACK)
  x, y, z = feet_of(game)
  equal(x, feet.x - 1, "x")
  equal(z, feet.z + 2, "z")
  equal(host.last().reward.height, nil, "height")
end

function tests.it_steps_up_forward_where_there_is_room()
  local _, game, feet = new_match()
  game.set(feet.x, feet.y, feet.z + 1, "stone")
  game.set(feet.x, feet.y, feet.z - 1, "stone")
  game.set(feet.x, feet.y + 2, feet.z, "leaves")
  equal(game.act(NONE).act_mask[FORWARD + 1], 0, "forward under a ceiling")
  game.set(feet.x, feet.y + 2, feet.z, "air")
  equal(game.act(NONE).act_mask[BACK + 1], 0, "back")
  local seen = game.act(FORWARD)
  local _, y, z = feet_of(game)
  equal(y, feet.y + 1, "y")
  equal(z, feet.z + 1, "z")
  equal(seen.reward.height, 1, "height")
  near(seen.self[1], 1 / 16, "height over the start")
  game.set(feet.x, y, feet.z + 2, "stone")
  game.set(feet.x, y + 1, feet.z + 2, "stone")
  equal(game.act(NONE).act_mask[FORWARD + 1], 0, "forward before two nodes")
end

function tests.it_falls_a_node_a_frame_and_can_do_nothing_then()
  local host, game, feet = new_match({frame_skip = "2"})
  for y = GROUND, GROUND - 5, -1 do game.set(feet.x, y, feet.z, "air") end
  local before, depth = #host.exchanges, 0
  game.act(NONE)
  local seen = game.act(NONE)
  equal(seen.self[4], 1, "falling")
  for choice = 1, 9 do equal(seen.act_mask[choice], choice == 1 and 1 or 0, "mask of " .. choice - 1) end
  local _, y = feet_of(game)
  equal(y, feet.y - 4, "y")
  game.act(NONE, NONE)
  for i = before + 1, #host.exchanges do depth = depth + (host.exchanges[i].reward.depth or 0) end
  _, y = feet_of(game)
  equal(y, feet.y - 6, "y")
  equal(depth, 6, "depth")
  equal(host.last().metric.depth, 6, "metric depth")
  equal(host.last().self[4], 0, "falling")
end

function tests.it_floats_on_water()
  local _, game, feet = new_match()
  game.set(feet.x, feet.y - 1, feet.z, "water")
  local seen = game.act(NONE, NONE)
  local _, y = feet_of(game)
  equal(y, feet.y, "y")
  equal(sees(seen, 0, 0, -2, 4), true, "water under the feet")
end

function tests.the_unknown_is_a_wall()
  local _, game, feet = new_match()
  for z = feet.z + 1, 47 do
    for y = feet.y, feet.y + 1 do game.set(feet.x, y, z, "air") end
  end
  for _ = feet.z + 1, 47 do game.act(FORWARD) end
  local seen = game.act(NONE)
  local _, _, z = feet_of(game)
  equal(z, 47, "z")
  equal(seen.act_mask[FORWARD + 1], 0, "forward")
  equal(sees(seen, 0, 1, 0, 1), true, "wall ahead")
  equal(seen.pointed[5], 1, "hard")
end

function tests.it_sees_in_its_own_directions()
  local _, game, feet = new_match()
  game.set(feet.x, feet.y + 1, feet.z + 1, "log")
  game.set(feet.x + 2, feet.y + 1, feet.z, "leaves")
  game.set(feet.x, feet.y + 3, feet.z - 1, "stone")
  local seen = game.act(NONE)
  -- After so many turns to the right, what was ahead is so many quarters to the left.
  local function check(turns)
    local function at(right, far, up, channel)
      for _ = 1, turns do right, far = -far, right end
      return sees(seen, right, far, up, channel)
    end
    local what = turns .. " turns: "
    equal(at(0, 1, 0, 2), true, what .. "wood ahead")
    equal(at(0, 1, 0, 3), true, what .. "wood is dug by hand")
    equal(at(2, 0, 0, 1), true, what .. "leaves to the right")
    equal(at(2, 0, 0, 2), false, what .. "leaves are no wood")
    equal(at(0, -1, 2, 1), true, what .. "stone behind")
    equal(at(0, -1, 2, 3), false, what .. "stone is not dug by hand")
    equal(at(-2, 0, 0, 1), false, what .. "nothing to the left")
    equal(sees(seen, 0, 0, -2, 1), true, what .. "ground")
  end
  check(0)
  equal(seen.wood_near[1], 1, "there is wood")
  near(seen.wood_near[2], 1 / 8, "wood ahead")
  near(seen.wood_near[3], 0, "wood to the right")
  near(seen.wood_near[4], 1 / 8, "wood over the feet")
  seen = game.act(RIGHT)
  check(1)
  near(seen.wood_near[2], 0, "wood ahead")
  near(seen.wood_near[3], -1 / 8, "wood to the right")
  seen = game.act(RIGHT)
  check(2)
  seen = game.act(RIGHT)
  check(3)
  near(seen.wood_near[3], 1 / 8, "wood to the right")
end

function tests.it_looks_at_four_places()
  local _, game, feet = new_match()
  game.set(feet.x, feet.y + 2, feet.z, "stone")
  game.set(feet.x, feet.y + 1, feet.z + 1, "log")
  game.set(feet.x, feet.y, feet.z + 1, "leaves")
  game.set(feet.x, feet.y - 1, feet.z, "water")
  local seen = game.act(NONE)
  local function pointed(look, class)
    for i = 1, 4 do equal(seen.look[i], i == look and 1 or 0, "look " .. i) end
    for i = 1, 5 do equal(seen.pointed[i], i == class and 1 or 0, "pointed " .. i) end
  end
  pointed(3, 2)
  seen = game.act(HIGHER)
  pointed(4, 5)
  equal(seen.act_mask[HIGHER + 1], 0, "higher")
  seen = game.act(LOWER, LOWER)
  pointed(2, 3)
  seen = game.act(LOWER)
  pointed(1, 4)
  equal(seen.act_mask[LOWER + 1], 0, "lower")
  equal(seen.act_mask[DIG + 1], 0, "digging water")
end

function tests.a_hand_needs_its_time_and_must_not_let_go()
  local host, game = new_match()
  game.put_before("log")
  near(game.act(DIG).self[2], 5 / 35, "digging done")
  near(game.act(DIG).self[2], 10 / 35, "digging done")
  near(game.act(NONE).self[2], 0, "digging done")
  for i = 1, 6 do near(game.act(DIG).self[2], i * 5 / 35, "digging done") end
  equal(game.before(), "log", "node before the head")
  local seen = game.act(DIG)
  equal(game.before(), "air", "node before the head")
  equal(seen.reward.dug, 1, "dug")
  equal(seen.reward.wood, 1, "wood")
  equal(seen.metric.wood, 1, "metric wood")
  near(seen.bag[1], 1 / 8, "wood in the bag")
  equal(#game.dropped, 0, "drops in the world")
  equal(game.seeds, 1, "times that the game's random numbers were seeded")
  local chopped = 0
  for _, exchange in ipairs(host.exchanges) do chopped = chopped + (exchange.reward.chopped or 0) end
  near(chopped, 1, "chopped")
end

function tests.another_node_is_begun_anew()
  local _, game = new_match()
  game.put_before("log")
  near(game.act(DIG).self[2], 5 / 35, "digging done")
  game.set(game.front.x, game.front.y, game.front.z, "earth")
  near(game.act(DIG).self[2], 5 / 7, "digging done")
end

function tests.what_may_not_be_dug_stays()
  local _, game = new_match()
  game.put_before("stone")
  equal(game.act(NONE).act_mask[DIG + 1], 0, "digging stone")
  game.put_before("earth")
  local key = game.core.hash_node_position
  game.protects = function(p) return key(p) == key(game.front) end
  equal(game.act(NONE).act_mask[DIG + 1], 0, "digging what is protected")
  game.protects, game.refuses = nil, true
  local seen = game.act(NONE, DIG, DIG)
  equal(game.before(), "earth", "node before the head")
  equal(seen.reward.dug, nil, "dug")
  equal(seen.bag[2], 0, "in the bag")
end

-- Digs what is put before the head.
local function gather(game, name)
  game.put_before(name)
  while game.before() == name do game.act(DIG) end
  return game.observe()
end

function tests.the_bag_knows_three_kinds_of_things()
  local host, game = new_match()
  for _, name in ipairs({"leaves", "earth", "earth", "log"}) do gather(game, name) end
  near(host.last().bag[1], 1 / 8, "wood")
  near(host.last().bag[2], 2 / 16, "what can be placed")
  near(host.last().bag[3], 1 / 16, "others")
end

function tests.what_does_not_fit_the_bag_falls_to_the_ground()
  local _, game = new_match()
  for slot = 1, 32 do game.inventory:set_stack("main", slot, stack_of("thing" .. slot, 1)) end
  gather(game, "earth")
  equal(#game.dropped, 1, "drops in the world")
  equal(game.dropped[1]:get_name(), "earth", "drop")
end

function tests.what_others_dig_drops_as_always()
  local _, game = new_match()
  game.core.handle_node_drops({x = 0, y = 0, z = 0}, {"apple"}, {})
  equal(game.dropped[1], "apple", "drop")
end

function tests.placing_needs_something_to_hold_on_to()
  local _, game, feet = new_match()
  equal(game.observe().act_mask[PLACE + 1], 0, "placing from an empty bag")
  equal(gather(game, "log").act_mask[PLACE + 1], 0, "placing wood")
  gather(game, "earth")
  equal(gather(game, "earth").act_mask[PLACE + 1], 0, "placing in the air")
  game.set(feet.x, feet.y, feet.z + 1, "grass")
  equal(game.act(LOWER).act_mask[PLACE + 1], 1, "placing on the ground")
  local seen = game.act(PLACE)
  equal(game.name(feet.x, feet.y, feet.z + 1), "earth", "node before the feet")
  equal(seen.reward.placed, 1, "placed")
  near(seen.bag[2], 1 / 16, "left to place")
  equal(seen.act_mask[PLACE + 1], 0, "placing where something stands")
  equal(game.act(HIGHER).act_mask[PLACE + 1], 1, "placing on it")
end

function tests.looking_down_it_builds_itself_up()
  local _, game, feet = new_match()
  gather(game, "earth")
  gather(game, "earth")
  game.set(feet.x, feet.y + 2, feet.z, "stone")
  equal(game.act(LOWER, LOWER).act_mask[PLACE + 1], 0, "placing under a ceiling")
  game.set(feet.x, feet.y + 2, feet.z, "air")
  local seen = game.act(NONE, PLACE)
  local _, y = feet_of(game)
  equal(y, feet.y + 1, "y")
  equal(game.name(feet.x, feet.y, feet.z), "earth", "node under the feet")
  equal(seen.reward.height, 1, "height")
  game.refuses = true
  seen = game.act(PLACE)
  _, y = feet_of(game)
  equal(y, feet.y + 1, "y where the game refuses")
  equal(seen.reward.placed, nil, "placed")
end

function tests.enough_wood_wins_at_once()
  local _, game = new_match({goal_wood = "1", frame_skip = "20"})
  game.put_before("log")
  local before = game.observe().frame
  local last = game.act(DIG, DIG)
  equal(last.flags, 8 + 32, "flags")
  equal(last.frame - before, 35, "frames to the match's end")
  equal(last.metric.won, 1, "won")
  equal(last.metric.lost, 0, "lost")
  equal(last.metric.wood, 1, "wood")
  local next_match = game.answer("reset")
  equal(next_match.flags, 4, "flags")
  equal(next_match.metric.won, 0, "won")
end

function tests.time_runs_out()
  local host = new_host({timesteps = "7"})
  local game = new_game(host)
  near(game.start().self[3], 1, "time left")
  for _ = 1, 6 do equal(game.act(NONE).flags, 0, "flags") end
  local last = game.act(NONE)
  equal(last.flags, 16 + 32, "flags")
  equal(last.metric.lost, 1, "lost")
  equal(last.metric.won, 0, "won")
  near(last.self[3], 0, "time left")
  local next_match = game.answer("reset")
  equal(next_match.flags, 4, "flags")
  near(next_match.self[3], 1, "time left")
end

function tests.a_reset_puts_everything_back()
  local _, game, feet = new_match()
  local core = game.core
  game.put_before("log")
  for _ = 1, 7 do game.act(DIG) end
  equal(game.before(), "air", "the dug node")
  core.set_node({x = 0, y = 20, z = 0}, {name = "stone"})
  core.bulk_set_node({{x = 1, y = 20, z = 0}, {x = 2, y = 20, z = 0}}, {name = "stone"})
  core.swap_node({x = 3, y = GROUND, z = 0}, {name = "leaves"})
  core.swap_node({x = 3, y = GROUND, z = 0}, {name = "water"})
  game.set(4, GROUND, 0, "water")
  game.flow({{x = 4, y = GROUND, z = 0}}, {{name = "earth"}})
  local falling = {}
  function falling:remove() self.gone = true end
  core.luaentities[99] = {name = "__builtin:falling_node", object = falling}
  local first = game.answer("reset")
  equal(first.flags, 4, "flags")
  equal(first.bag[1], 0, "wood in the bag")
  equal(game.before(), "log", "the dug node")
  for x = 0, 2 do equal(game.name(x, 20, 0), "air", "a placed node") end
  equal(game.name(3, GROUND, 0), "earth", "a swapped node")
  equal(game.name(4, GROUND, 0), "earth", "a flooded node")
  equal(falling.gone, true, "a falling node is gone")
  game.act(NONE)
  local x, y, z = feet_of(game)
  equal(x == feet.x and y == feet.y and z == feet.z, true, "it begins where it began")
end

function tests.changes_between_nodes_are_those_of_the_nearest()
  local _, game = new_match()
  game.core.set_node({x = 7.4, y = 19.6, z = 0}, {name = "stone"})
  equal(game.name(7, 20, 0), "stone", "a placed node")
  game.answer("reset")
  equal(game.name(7, 20, 0), "air", "a placed node")
end

function tests.a_seed_draws_the_start()
  local function starts(seed)
    local game = new_game(new_host({seed = seed, timesteps = "1"}))
    local places = {}
    game.start()
    for i = 1, 8 do
      game.act(NONE)
      places[i] = table.concat({feet_of(game)}, " ") .. " " .. game.entities[1].yaw
      game.answer("reset")
    end
    return places
  end
  local fixed, free, again = starts("3"), starts("0"), starts("0")
  for i = 2, 8 do
    equal(fixed[i], fixed[1], "start of the same seed")
    equal(free[i], again[i], "start of the same match")
    assert(free[i] ~= free[i - 1], "two matches begin in the same place")
  end
end

function tests.a_reset_before_anything_happened_keeps_the_match()
  local host = new_host({seed = "0", start = "tree"})
  local game = new_game(host)
  local function see(exchange)
    equal(exchange.flags, 4, "flags")
    return table.concat(exchange.nodes) .. table.concat(exchange.wood_near, " ")
  end
  local before = see(game.start())
  equal(see(game.answer("reset")), before, "what is seen")
  equal(see(game.answer("reset")), before, "what is seen")
  game.act(NONE)
  assert(see(game.answer("reset")) ~= before, "another match begins like the one before")
end

function tests.settings_are_read_anew_for_the_next_match()
  local host, game = new_match()
  host.settings.frame_skip, host.settings.timesteps = "2", "4"
  local first = game.answer("reset")
  equal(first.flags, 4, "flags")
  equal(game.act(NONE).frame - first.frame, 2, "frames a timestep")
  equal(game.act(NONE, NONE, NONE).flags, 16 + 32, "flags after four timesteps")
end

function tests.the_day_goes_with_the_match()
  local host, game = new_match()
  local day = game.day
  game.act(NONE, NONE)
  near(game.day - day, 10 / 12000, "share of a day")
  near(host.last().self[5], math.sin(2 * math.pi * game.day), "sin")
  near(host.last().self[6], math.cos(2 * math.pi * game.day), "cos")
  game.answer("reset")
  near(game.day, 0.3, "time of day")
end

function tests.a_lost_body_is_made_anew()
  local _, game, feet = new_match()
  game.entities[1]:remove()
  game.act(NONE)
  equal(#game.entities, 2, "bodies")
  equal(game.entities[2].position.x, feet.x, "x")
end

function tests.close_ends_the_game()
  local host, game = new_match()
  local exchanges = #host.exchanges
  assert(not pcall(game.answer, "close"), "something is exchanged")
  game.frames(30)
  equal(#host.exchanges, exchanges, "exchanges")
  equal(host.quits, 1, "quits")
end

return tests
