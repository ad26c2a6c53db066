-- Adapter of Minetest 5.6.1 with minetest_game. Everything happens in the server's main environment, the one state that
-- may touch the world. The agent is the adapter's own: a body two nodes tall that stands on the node grid and moves,
-- looks and falls by the rules below. The game says what a node is, how long a hand digs it, what drops, and what may
-- be placed; an entity shows the agent to people who join.
--
-- Frame: one globalstep is a tenth of a second of the agent's time, whatever time the server measured. The observation
--   of frame f shows the world before the agent's frame f, in which the action acts: observed frame = effect frame.
-- Own view: ahead, right and up are the agent's own; it does not see where north is.
-- Reset: every node that changes is remembered with what it was, and put back.
local midlane = ...

local FRAMES_PER_SECOND = 10
local DAY_FRAMES = 86400 / 72 * FRAMES_PER_SECOND  -- the game's days have 20 minutes
local MORNING = 0.3                  -- time of day at a match's start

local BLOCK, CHUNK = 16, 80          -- nodes along a block, and along a piece of map that the game makes at once
local CHUNK_MIN = -32                -- least coordinate of the piece in the middle
local ARENA_STRIDE, ARENAS_MAX = 400, 25  -- between pieces that are looked at for trees; how many are
local TREES_MIN = 10                 -- of an arena
local MARGIN = 8                     -- a match begins so far from the arena's edge
local START_DISTANCE = 4             -- from a trunk to the start, along x and z
local DRAWS_MAX = 10000              -- of a start

local SIGHT = 2                      -- nodes that are seen to each side of the head
local WOOD_SIGHT = 8                 -- nodes ahead, behind and aside in which the nearest wood is known,
local WOOD_BELOW, WOOD_ABOVE = 3, 2  -- and below and above the feet
local SLOTS = 32                     -- of the inventory

-- By heading, clockwise from +z.
local AHEAD_X, AHEAD_Z = {0, 1, 0, -1}, {1, 0, -1, 0}
-- By look: the node below the feet, before the feet, before the head, above the head.
local LOOK_AHEAD, LOOK_UP = {0, 1, 1, 0}, {-1, 0, 1, 2}
local BELOW, BEFORE_HEAD, ABOVE = 1, 3, 4

local AGENT = 1
local NONE, FORWARD, BACK, TURN_LEFT, TURN_RIGHT, LOOK_HIGHER, LOOK_LOWER, DIG, PLACE = 0, 1, 2, 3, 4, 5, 6, 7, 8
local NODES, WOOD_NEAR, POINTED, LOOK, SELF, BAG, MASK = 1, 2, 3, 4, 5, 6, 7  -- tensors
local WOOD, CHOPPED, DUG, PLACED, DEPTH, HEIGHT = 1, 2, 3, 4, 5, 6            -- reward terms
local WON, LOST, WOOD_HELD, DEEPEST = 1, 2, 3, 4                              -- metrics

local WIDTH, CHANNELS = 2 * SIGHT + 1, 4
local LAYER = WIDTH * WIDTH * CHANNELS

local function spec()
  return {
    environment = "minetest",
    agents = {"agent"},
    frames_per_second = FRAMES_PER_SECOND,
    frame_skip = 5,
    observations = {
      -- [up][ahead][right] about the head, from the least to the greatest: walkable, wood, dug by hand, liquid
      {name = "nodes", shape = {WIDTH, WIDTH, WIDTH, CHANNELS}, dtype = "u8", min = 0, max = 1},
      {name = "wood_near", shape = {4}, dtype = "f32", min = -1, max = 1},  -- there is some; ahead, right, up
      {name = "pointed", shape = {5}, dtype = "u8", min = 0, max = 1},      -- nothing, wood, dug by hand, liquid, hard
      {name = "look", shape = {4}, dtype = "u8", min = 0, max = 1},         -- below, before feet, before head, above
      -- height over the start, digging done, time left, falling, time of day as sin and cos
      {name = "self", shape = {6}, dtype = "f32", min = -1, max = 1},
      {name = "bag", shape = {3}, dtype = "f32", min = 0, max = 1},         -- wood, what can be placed, others
      {name = "act_mask", shape = {9}, dtype = "u8", min = 0, max = 1},
    },
    actions = {{name = "act", choices = 9, mask = "act_mask"}},
    rewards = {"wood", "chopped", "dug", "placed", "depth", "height"},
    metrics = {"won", "lost", "wood", "depth"},
  }
end

local math_abs, math_floor, math_max, math_min = math.abs, math.floor, math.max, math.min
local unpack = unpack or table.unpack

local function clamp(value, limit)
  if value > limit then return limit end
  if value < -limit then return -limit end
  return value
end

-- A source of whole numbers, the same in every Lua (Park and Miller's).
local function new_random(seed)
  local state = seed % 2147483646 + 1
  return function(low, high)
    state = state * 48271 % 2147483647
    return low + state % (high - low + 1)
  end
end

-- The seed of the match that is about to begin: the world setting, else drawn from the world's seed and the number of
-- the match in this process.
local function match_seed(settings, number)
  local fixed = tonumber(settings.seed or 0) or 0
  if fixed ~= 0 then return fixed end
  return (midlane.seed() % 2147483648 * 48271 + number * 69621) % 2147483647
end

-- Places on a square spiral: (0, 0), (1, 0), (1, 1), (0, 1), (-1, 1), ...
local function new_spiral()
  local x, z, dx, dz, leg, left, second_leg = 0, 0, 1, 0, 1, 1, false
  return function()
    local at_x, at_z = x, z
    x, z, left = x + dx, z + dz, left - 1
    if left == 0 then
      dx, dz = -dz, dx
      if second_leg then leg = leg + 1 end
      second_leg, left = not second_leg, leg
    end
    return at_x, at_z
  end
end

-- What the agent needs to know of each node, by name; `frames` are those that a hand digs, nil where it does not. The
-- end of the known world is a wall.
local function new_kinds(core)
  local kinds = {ignore = {walkable = true, wood = false, liquid = false, buildable = false}}
  return setmetatable(kinds, {__index = function(_, name)
    local definition = core.registered_nodes[name] or {}
    local groups = definition.groups or {}
    local dig = core.get_dig_params(groups, core.registered_items[""].tool_capabilities)
    local kind = {
      walkable = definition.walkable ~= false,
      wood = (groups.tree or 0) > 0,
      liquid = (definition.liquidtype or "none") ~= "none",
      buildable = definition.buildable_to == true,
    }
    if dig.diggable and definition.diggable ~= false then
      kind.frames = math_max(1, math_floor(dig.time * FRAMES_PER_SECOND + 0.5))
    end
    kinds[name] = kind
    return kind
  end})
end

-- Remembers what every node was that changes from watch() on; restore() puts all of them back.
local function watch_changes(core)
  local changes, watching = {}, false
  local seen, positions, nodes = {}, {}, {}
  local swap_node, bulk_set_node = core.swap_node, core.bulk_set_node

  local function remember(position, node)
    local key = core.hash_node_position(position)
    if not watching or seen[key] then return end
    seen[key] = true
    positions[#positions + 1], nodes[#nodes + 1] = position, node
  end

  local function remember_at(given)
    local position = {x = math_floor(given.x + 0.5), y = math_floor(given.y + 0.5), z = math_floor(given.z + 0.5)}
    local node = core.get_node_or_nil(position)
    if node then remember(position, node) end
  end

  for _, name in ipairs({"set_node", "add_node", "remove_node", "swap_node"}) do
    local change = core[name]
    core[name] = function(position, ...)
      remember_at(position)
      return change(position, ...)
    end
  end
  core.bulk_set_node = function(given, ...)
    for _, position in ipairs(given) do remember_at(position) end
    return bulk_set_node(given, ...)
  end
  core.register_on_liquid_transformed(function(changed, before)
    for i, position in ipairs(changed) do remember(position, before[i]) end
  end)

  function changes.watch() watching = true end

  function changes.restore()
    for i, position in ipairs(positions) do swap_node(position, nodes[i]) end
    seen, positions, nodes = {}, {}, {}
  end

  return changes
end

-- The piece of map that is played on. The game makes maps on a thread of its own, which takes real time.
local function new_arena(core, kinds)
  local arena = {}
  local low, high             -- its corners
  local trunks = {}           -- lowest nodes of its trees
  local next_piece, looked_at, emerged = new_spiral(), 0, true

  local function find_trunks()
    trunks = {}
    for _, trunk in ipairs(core.find_nodes_in_area({x = low.x + MARGIN, y = low.y + 1, z = low.z + MARGIN},
                                                   {x = high.x - MARGIN, y = high.y, z = high.z - MARGIN},
                                                   "group:tree")) do
      local below = core.get_node({x = trunk.x, y = trunk.y - 1, z = trunk.z})
      if core.get_item_group(below.name, "soil") > 0 then trunks[#trunks + 1] = trunk end
    end
  end

  local function keep_loaded()
    for x = low.x, high.x, BLOCK do
      for y = low.y, high.y, BLOCK do
        for z = low.z, high.z, BLOCK do
          if not core.forceload_block({x = x, y = y, z = z}, true) then
            error("the server keeps too few blocks loaded: raise max_forceloaded_blocks")
          end
        end
      end
    end
  end

  -- True once there is an arena; until then to be asked again.
  function arena.find()
    if not emerged then return false end
    if low then
      find_trunks()
      if #trunks >= TREES_MIN then
        keep_loaded()
        return true
      end
    end
    if looked_at == ARENAS_MAX then
      error("the land of map_seed " .. midlane.settings().map_seed ..
            " has no woods about its middle: choose another map_seed")
    end
    local x, z = next_piece()
    looked_at, emerged = looked_at + 1, false
    low = {x = CHUNK_MIN + x * ARENA_STRIDE, y = CHUNK_MIN, z = CHUNK_MIN + z * ARENA_STRIDE}
    high = {x = low.x + CHUNK - 1, y = low.y + CHUNK - 1, z = low.z + CHUNK - 1}
    core.emerge_area(low, high, function(_, _, remaining) emerged = remaining == 0 end)
    return false
  end

  local function kind_at(x, y, z) return kinds[core.get_node({x = x, y = y, z = z}).name] end

  local function can_stand(x, y, z)
    local below, feet = kind_at(x, y - 1, z), kind_at(x, y, z)
    return below.walkable and not below.wood and not feet.walkable and not feet.liquid and
        not kind_at(x, y + 1, z).walkable
  end

  -- y over the ground, trees aside; nil over water.
  local function surface(x, z)
    for y = high.y - 2, low.y + 1, -1 do
      local name = core.get_node({x = x, y = y, z = z}).name
      local kind = kinds[name]
      if kind.liquid then return nil end
      if kind.walkable and not kind.wood and core.get_item_group(name, "leaves") == 0 then return y + 1 end
    end
    return nil
  end

  -- Where the feet are at a match's start. The same numbers lead to the same place: the world is as it was made.
  function arena.draw_start(random, anywhere)
    for _ = 1, DRAWS_MAX do
      local x, y, z
      if anywhere then
        x, z = random(low.x + MARGIN, high.x - MARGIN), random(low.z + MARGIN, high.z - MARGIN)
        y = surface(x, z)
      else
        local trunk = trunks[random(1, #trunks)]
        x, z = trunk.x + random(-START_DISTANCE, START_DISTANCE), trunk.z + random(-START_DISTANCE, START_DISTANCE)
        y = trunk.y + random(-1, 1)
      end
      if y and can_stand(x, y, z) then return x, y, z end
    end
    error("map_seed " .. midlane.settings().map_seed .. " leaves no place to begin a match: choose another")
  end

  return arena
end

-- What the agent carries. Drops of what it digs go there, not into the world.
local function new_bag(core, kinds)
  local bag = {wood = 0, placeable = 0, others = 0}
  local inventory = core.create_detached_inventory("midlane:agent", {})
  inventory:set_size("main", SLOTS)
  local taking = false

  local handle_node_drops = core.handle_node_drops
  core.handle_node_drops = function(position, drops, digger)
    if not taking then return handle_node_drops(position, drops, digger) end
    local rest = {}
    for _, item in pairs(drops) do
      local left = inventory:add_item("main", item)
      if not left:is_empty() then rest[#rest + 1] = left end
    end
    return handle_node_drops(position, rest, digger)
  end

  -- Wood is what the agent is here for: it is not placed.
  local function placeable(name)
    return core.registered_nodes[name] ~= nil and kinds[name].walkable and not kinds[name].wood
  end

  local function count()
    bag.wood, bag.placeable, bag.others = 0, 0, 0
    for _, stack in ipairs(inventory:get_list("main")) do
      local name = stack:get_name()
      local class = kinds[name].wood and "wood" or placeable(name) and "placeable" or "others"
      bag[class] = bag[class] + stack:get_count()
    end
  end

  function bag.empty()
    inventory:set_list("main", {})
    count()
  end

  -- True where the game let the node be dug.
  function bag.dig(position)
    taking = true
    local dug = core.dig_node(position)
    taking = false
    count()
    return dug
  end

  -- True where the game let a node be placed.
  function bag.place(position)
    for slot, stack in ipairs(inventory:get_list("main")) do
      if placeable(stack:get_name()) then
        local pointed = {type = "node", under = position, above = position}
        local left, placed = core.item_place_node(stack, nil, pointed)
        inventory:set_stack("main", slot, left)
        count()
        return placed ~= nil
      end
    end
    return false
  end

  return bag
end

-- Takes the server over. `env` is the environment of the game's scripts; its mods are yet to be loaded.
local function attach(env)
  local core = env.core
  local observe, observe_at, reward, metric = midlane.observe, midlane.observe_at, midlane.reward, midlane.metric
  local kinds = new_kinds(core)
  local changes, arena, bag = watch_changes(core), new_arena(core, kinds), new_bag(core, kinds)

  local frame, matches = 0, 0             -- since the server started
  local stage                             -- what a globalstep does
  local random, skip, limit, goal         -- of this match
  local first, decisions = midlane.FIRST, 0
  local choice, fresh, wait = NONE, false, 0  -- the action; it has not acted yet; frames that it has left
  local x, y, z, heading, look = 0, 0, 0, 1, BEFORE_HEAD  -- x, y, z: of the feet
  local start_y, lowest, highest = 0, 0, 0
  local dig_key, dig_kind, dig_frames     -- what is dug at, and for how long
  local chopped = {}                      -- largest share of each node of wood that was dug
  local body

  local at = {x = 0, y = 0, z = 0}
  local function kind_at(node_x, node_y, node_z)
    at.x, at.y, at.z = node_x, node_y, node_z
    return kinds[core.get_node(at).name]
  end

  local function free(node_x, node_y, node_z) return not kind_at(node_x, node_y, node_z).walkable end

  local function protected(node_x, node_y, node_z)
    return core.is_protected({x = node_x, y = node_y, z = node_z}, "")
  end

  -- It floats on liquids.
  local function supported()
    local below = kind_at(x, y - 1, z)
    return below.walkable or below.liquid
  end

  local function ahead(distance) return x + AHEAD_X[heading] * distance, z + AHEAD_Z[heading] * distance end

  local function pointed()
    local node_x, node_z = ahead(LOOK_AHEAD[look])
    return node_x, y + LOOK_UP[look], node_z
  end

  -- Where a step forward (1) or back (-1) leads; nil where it leads nowhere.
  local function step_target(direction)
    local to_x, to_z = ahead(direction)
    if not free(to_x, y + 1, to_z) then return nil end
    if free(to_x, y, to_z) then return to_x, y, to_z end
    if direction > 0 and free(to_x, y + 2, to_z) and free(x, y + 2, z) then return to_x, y + 1, to_z end
    return nil
  end

  local function touches_ground(node_x, node_y, node_z)
    return kind_at(node_x, node_y - 1, node_z).walkable or kind_at(node_x, node_y + 1, node_z).walkable or
        kind_at(node_x - 1, node_y, node_z).walkable or kind_at(node_x + 1, node_y, node_z).walkable or
        kind_at(node_x, node_y, node_z - 1).walkable or kind_at(node_x, node_y, node_z + 1).walkable
  end

  -- Where a node would be placed; nil where none can be. Looking down it jumps and places under itself.
  local function place_target()
    if bag.placeable == 0 then return nil end
    local node_x, node_y, node_z = pointed()
    if look == BELOW then
      if not free(x, y + 2, z) then return nil end
      node_y = y
    end
    local kind = kind_at(node_x, node_y, node_z)
    if kind.walkable or not kind.buildable or not touches_ground(node_x, node_y, node_z) or
        protected(node_x, node_y, node_z) then
      return nil
    end
    return node_x, node_y, node_z
  end

  local function place()
    local node_x, node_y, node_z = place_target()
    if not node_x or not bag.place({x = node_x, y = node_y, z = node_z}) then return end
    if look == BELOW then y = y + 1 end
    reward(AGENT, PLACED, 1)
  end

  local function step(direction)
    local to_x, to_y, to_z = step_target(direction)
    if to_x then x, y, z = to_x, to_y, to_z end
  end

  local function can_dig()
    local node_x, node_y, node_z = pointed()
    return kind_at(node_x, node_y, node_z).frames ~= nil and not protected(node_x, node_y, node_z)
  end

  -- One frame of holding the dig button.
  local function dig()
    local node_x, node_y, node_z = pointed()
    local kind = kind_at(node_x, node_y, node_z)
    local key = core.hash_node_position(at)
    if not kind.frames then
      dig_key = nil
      return
    end
    if key ~= dig_key or kind ~= dig_kind then dig_key, dig_kind, dig_frames = key, kind, 0 end
    dig_frames = dig_frames + 1
    local share = dig_frames / kind.frames
    if kind.wood and share > (chopped[key] or 0) then
      reward(AGENT, CHOPPED, share - (chopped[key] or 0))
      chopped[key] = share
    end
    if dig_frames < kind.frames then return end
    dig_key = nil
    local wood = bag.wood
    env.math.randomseed(random(0, 2147483646))  -- some nodes drop by chance
    if not bag.dig({x = node_x, y = node_y, z = node_z}) then return end
    reward(AGENT, DUG, 1)
    reward(AGENT, WOOD, bag.wood - wood)
  end

  local act_once = {
    [FORWARD] = function() step(1) end,
    [BACK] = function() step(-1) end,
    [TURN_LEFT] = function() heading = (heading + 2) % 4 + 1 end,
    [TURN_RIGHT] = function() heading = heading % 4 + 1 end,
    [LOOK_HIGHER] = function() look = math_min(look + 1, ABOVE) end,
    [LOOK_LOWER] = function() look = math_max(look - 1, BELOW) end,
    [PLACE] = place,
  }

  -- One frame of the agent's life.
  local function live()
    local falling = not supported()
    if falling then
      y = y - 1
    elseif choice == DIG then
      dig()
    elseif fresh and act_once[choice] then
      act_once[choice]()
    end
    if falling or choice ~= DIG then dig_key = nil end
    fresh = false
    if y < lowest then
      reward(AGENT, DEPTH, lowest - y)
      lowest = y
    elseif y > highest then
      reward(AGENT, HEIGHT, y - highest)
      highest = y
    end
  end

  local function show_body()
    local position = {x = x, y = y - 0.5, z = z}
    if not (body and body:get_pos()) then body = core.add_entity(position, "midlane:agent") end
    if not body then return end
    body:set_pos(position)
    body:set_yaw((1 - heading) * math.pi / 2)
  end

  local seen = {}
  local function observe_nodes()
    local ahead_x, ahead_z = AHEAD_X[heading], AHEAD_Z[heading]
    local n = 0
    for up = -SIGHT, SIGHT do
      for far = -SIGHT, SIGHT do
        for right = -SIGHT, SIGHT do
          local kind = kind_at(x + far * ahead_x + right * ahead_z, y + 1 + up, z + far * ahead_z - right * ahead_x)
          seen[n + 1] = kind.walkable
          seen[n + 2] = kind.wood
          seen[n + 3] = kind.frames ~= nil
          seen[n + 4] = kind.liquid
          n = n + CHANNELS
        end
      end
    end
    for i = 1, n, LAYER do observe_at(AGENT, NODES, i, unpack(seen, i, i + LAYER - 1)) end
  end

  local function observe_nearest_wood()
    local best, best_distance
    for _, wood in ipairs(core.find_nodes_in_area({x = x - WOOD_SIGHT, y = y - WOOD_BELOW, z = z - WOOD_SIGHT},
                                                  {x = x + WOOD_SIGHT, y = y + WOOD_ABOVE, z = z + WOOD_SIGHT},
                                                  "group:tree")) do
      local distance = math_abs(wood.x - x) + math_abs(wood.y - y - 0.5) + math_abs(wood.z - z)
      if not best or distance < best_distance then best, best_distance = wood, distance end
    end
    if not best then return observe(AGENT, WOOD_NEAR, 0, 0, 0, 0) end
    local dx, dz, ahead_x, ahead_z = best.x - x, best.z - z, AHEAD_X[heading], AHEAD_Z[heading]
    observe(AGENT, WOOD_NEAR, 1, (dx * ahead_x + dz * ahead_z) / WOOD_SIGHT,
            (dx * ahead_z - dz * ahead_x) / WOOD_SIGHT, (best.y - y) / WOOD_SIGHT)
  end

  local function observe_pointed()
    local kind = kind_at(pointed())
    local soft = kind.frames ~= nil and not kind.wood
    local hard = kind.walkable and not kind.wood and not soft
    observe(AGENT, POINTED, not (kind.wood or soft or kind.liquid or hard), kind.wood, soft, kind.liquid, hard)
  end

  local function observe_all(day)
    local falling = not supported()
    observe_nodes()
    observe_nearest_wood()
    observe_pointed()
    observe(AGENT, LOOK, look == 1, look == 2, look == 3, look == 4)
    observe(AGENT, SELF, clamp((y - start_y) / 16, 1), dig_key and dig_frames / dig_kind.frames or 0,
            1 - decisions / limit, falling, math.sin(2 * math.pi * day), math.cos(2 * math.pi * day))
    observe(AGENT, BAG, clamp(bag.wood / 8, 1), clamp(bag.placeable / 16, 1), clamp(bag.others / 16, 1))
    if falling then
      observe(AGENT, MASK, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    else
      observe(AGENT, MASK, 1, step_target(1) ~= nil, step_target(-1) ~= nil, 1, 1, look < ABOVE, look > BELOW,
              can_dig(), place_target() ~= nil)
    end
  end

  local function record_metrics()
    metric(AGENT, WON, bag.wood >= goal)
    metric(AGENT, LOST, bag.wood < goal and decisions >= limit)
    metric(AGENT, WOOD_HELD, bag.wood)
    metric(AGENT, DEEPEST, start_y - lowest)
  end

  local function remove_debris()
    for _, entity in pairs(core.luaentities) do
      if string.find(entity.name, "^__builtin:") then entity.object:remove() end
    end
  end

  local function begin_match()
    changes.restore()
    remove_debris()
    bag.empty()
    local settings = midlane.settings()
    random = new_random(match_seed(settings, matches))
    skip, limit, goal = tonumber(settings.frame_skip), tonumber(settings.timesteps), tonumber(settings.goal_wood)
    x, y, z = arena.draw_start(random, settings.start == "anywhere")
    heading, look = random(1, 4), BEFORE_HEAD
    start_y, lowest, highest = y, y, y
    choice, fresh, wait, dig_key, chopped = NONE, false, 0, nil, {}
    first, decisions = midlane.FIRST, 0
  end

  -- Observes and waits for the host, through as many beginnings as it wishes to see. False where it wishes the end.
  local function decide()
    while true do
      local day = (MORNING + decisions * skip / DAY_FRAMES) % 1
      core.set_timeofday(day)
      local flags = first
      if bag.wood >= goal then
        flags = flags + midlane.TERMINATED + midlane.MATCH_OVER
      elseif decisions >= limit then
        flags = flags + midlane.TRUNCATED + midlane.MATCH_OVER
      end
      observe_all(day)
      record_metrics()
      midlane.post(AGENT, flags)
      local answer = midlane.exchange(frame)
      if answer == "step" then break end
      if answer == "close" then return false end
      if decisions > 0 then matches = matches + 1 end
      begin_match()
    end
    choice, fresh, wait = midlane.action(AGENT, 1), true, skip
    midlane.effect(AGENT, frame)
    first, decisions = 0, decisions + 1
    return true
  end

  local function play()
    if wait <= 0 and not decide() then
      stage = function() end
      return midlane.quit()
    end
    live()
    frame, wait = frame + 1, bag.wood < goal and wait - 1 or 0
    show_body()
  end

  core.register_entity(":midlane:agent", {
    initial_properties = {
      visual = "mesh", mesh = "character.b3d", textures = {"character.png"}, visual_size = {x = 1, y = 1},
      collisionbox = {-0.3, 0, -0.3, 0.3, 1.7, 0.3}, physical = false, static_save = false,
    },
    on_punch = function() return true end,
  })
  stage = function()
    if not arena.find() then return end
    changes.watch()
    begin_match()
    stage = play
  end
  core.register_globalstep(function() stage() end)
end

return {
  loaded = function(name, env)
    if not string.find(name, "builtin[/\\]init%.lua$") or rawget(env, "INIT") ~= "game" then return end
    if next(midlane.settings()) == nil then return end
    midlane.declare(spec())
    attach(env)
  end,
}
