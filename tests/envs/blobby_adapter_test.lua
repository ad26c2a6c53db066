-- Tests of envs/blobby/adapter.lua against mocks of the module `midlane` and of the game's rules state.
-- The chunk gets the adapter's path and returns a table of test functions.
local adapter_path = ...

local LEFT, RIGHT = 0, 1

local function defaults(changed)
  local settings = {left = "agent", right = "reduced", left_strength = "0", right_strength = "0", episode = "rally",
                    points_to_win = "15", frame_skip = "4", seed = "0"}
  for name, value in pairs(changed or {}) do settings[name] = value end
  return settings
end

-- The host's side of the channel: records every post; `answers` are given in order, then "step".
local function new_host(settings)
  local host = {settings = settings, exchanges = {}, answers = {}, keys = {}, actions = {0, 0}, quit = 0, shared = {},
                declared = 0}
  local pending = {}
  local slots = {{}, {}}
  local m = {FIRST = 4, TERMINATED = 8, TRUNCATED = 16, MATCH_OVER = 32, PASSIVE = 2, state = 1, shared = host.shared}
  function m.declare(spec) host.spec, host.declared = spec, host.declared + 1 end
  function m.settings()
    local copy = {}
    for name, value in pairs(host.settings) do copy[name] = value end
    return copy
  end
  function m.observe(agent, tensor, ...)
    assert(select("#", ...) == host.spec.observations[tensor].shape[1], "count of elements")
    slots[agent][tensor] = {...}
    for i, value in ipairs(slots[agent][tensor]) do
      local bound = host.spec.observations[tensor]
      assert(value >= bound.min and value <= bound.max,
             ("%s[%d] = %g is out of bounds"):format(bound.name, i, value))
    end
  end
  function m.observe_all(agent, ...)
    local first, values = 0, {...}
    for tensor, spec in ipairs(host.spec.observations) do
      m.observe(agent, tensor, table.unpack(values, first + 1, first + spec.shape[1]))
      first = first + spec.shape[1]
    end
    assert(first == #values, "count of elements")
  end
  function m.reward(agent, term, x)
    slots[agent].rewards = slots[agent].rewards or {}
    local rewards = slots[agent].rewards
    rewards[host.spec.rewards[term]] = (rewards[host.spec.rewards[term]] or 0) + x
  end
  function m.metric(agent, metric, x)
    assert(type(x) == "number")
    slots[agent].metrics = slots[agent].metrics or {}
    slots[agent].metrics[host.spec.metrics[metric]] = x
  end
  function m.post(agent, flags) pending[agent] = flags end
  function m.exchange(frame)
    local exchange = {frame = frame}
    for agent, flags in pairs(pending) do
      local slot = {flags = flags, rewards = slots[agent].rewards or {}, metrics = {}}
      for name, value in pairs(slots[agent].metrics or {}) do slot.metrics[name] = value end
      for tensor, spec in ipairs(host.spec.observations) do slot[spec.name] = slots[agent][tensor] end
      exchange[agent] = slot
      slots[agent].rewards = nil
    end
    pending = {}
    host.exchanges[#host.exchanges + 1] = exchange
    return table.remove(host.answers, 1) or "step"
  end
  function m.action(agent, head) return host.actions[agent] end
  function m.effect(agent, frame) host.effect = frame end
  function m.advance(seconds) host.advanced = (host.advanced or 0) + seconds end
  function m.keys(name) host.keys[#host.keys + 1] = name end
  function m.quit() host.quit = host.quit + 1 end
  function m.seed() return 7 end
  host.module = m
  return host
end

local function Last(host) return host.exchanges[#host.exchanges] end

-- A rules state of the game: a world that stands still unless a test moves it.
local function new_match(host, left_script, right_script)
  local game = {ball = {x = 200, y = 299.5, vx = 0, vy = 0}, running = false, serving = -1, score_left = 0,
                score_right = 0, winner = nil, inputs = {}, seeds = {}}
  game[LEFT] = {x = 200, y = 455.5, vx = 0, vy = 0}
  game[RIGHT] = {x = 600, y = 455.5, vx = 0, vy = 0}
  local env = {LEFT_PLAYER = LEFT, RIGHT_PLAYER = RIGHT}
  function env.ballx() return game.ball.x end
  function env.bally() return game.ball.y end
  function env.bspeedx() return game.ball.vx end
  function env.bspeedy() return game.ball.vy end
  function env.posx(p) return game[p].x end
  function env.posy(p) return game[p].y end
  function env.speedx(p) return game[p].vx end
  function env.speedy(p) return game[p].vy end
  function env.isgamerunning() return game.running end
  function env.servingplayer() return game.serving end
  function env.IsWinning(l, r) return math.max(l, r) >= 15 and math.abs(l - r) >= 2 end
  function env.OnBallHitsPlayer(player) end
  function env.HandleInput(player, l, r, j) return l, r, j end
  function env.score(player, amount)
    if player == LEFT then game.score_left = game.score_left + amount end
    if player == RIGHT then game.score_right = game.score_right + amount end
    if env.IsWinning(game.score_left, game.score_right) then game.winner = player end
  end
  function game.frame(left_input, right_input)
    game.inputs[LEFT] = {env.HandleInput(LEFT, table.unpack(left_input or {false, false, false}))}
    game.inputs[RIGHT] = {env.HandleInput(RIGHT, table.unpack(right_input or {false, false, false}))}
  end
  function game.frames(n) for _ = 1, n do game.frame() end end
  function game.hit(player)
    game.running = true
    env.OnBallHitsPlayer(player)
  end
  function game.point(winner)
    env.score(winner, 1)
    game.serving = winner
  end
  function game.serve() game.running = false end

  local math_table = setmetatable({randomseed = function(x) game.seeds[#game.seeds + 1] = x end}, {__index = math})
  local globals = setmetatable({math = math_table}, {__index = _G})
  for i, name in ipairs({"scripts/" .. (left_script or host.settings.left) .. ".lua",
                         "scripts/" .. (right_script or host.settings.right) .. ".lua", "rules/default.lua"}) do
    local chunk = assert(loadfile(adapter_path, "t", globals))
    chunk(host.module).loaded(name, i == 3 and env or {})
  end
  game.env = env
  return game
end

local function flags(slot)
  if not slot then return "absent" end
  local names = {}
  for _, flag in ipairs({{2, "passive"}, {4, "first"}, {8, "terminated"}, {16, "truncated"}, {32, "match over"}}) do
    if slot.flags % (flag[1] * 2) >= flag[1] then names[#names + 1] = flag[2] end
  end
  return table.concat(names, "+")
end

local function equal(actual, expected, what)
  if actual ~= expected then
    error(("%s: %s in place of %s"):format(what, tostring(actual), tostring(expected)), 2)
  end
end

local function equal_list(actual, expected, what)
  equal(#actual, #expected, what .. ", length")
  for i = 1, #expected do equal(actual[i], expected[i], what .. "[" .. i .. "]") end
end

local tests = {}

function tests.decides_every_fourth_frame_and_acts_in_the_same_frame()
  local host = new_host(defaults())
  local game = new_match(host)
  host.actions[1] = 5
  game.frames(9)
  equal(#host.exchanges, 3, "exchanges in 9 frames")
  equal(host.exchanges[2].frame - host.exchanges[1].frame, 4, "frames a timestep")
  equal(host.effect, host.exchanges[3].frame, "effect frame")
  equal_list(game.inputs[LEFT], {false, true, true}, "left's input")
  equal(flags(host.exchanges[1][1]), "first", "flags")
  equal(host.exchanges[1][1].metrics.points_for, 0, "points of a match that begins")
  equal(flags(host.exchanges[2][1]), "", "flags")
  equal(host.exchanges[1][2], nil, "slot of a bot")
end

function tests.frame_skip_is_a_setting()
  local host = new_host(defaults({frame_skip = "1"}))
  new_match(host).frames(5)
  equal(#host.exchanges, 5, "exchanges in 5 frames")
end

function tests.all_six_actions_from_both_sides()
  local host = new_host(defaults({right = "agent", frame_skip = "1"}))
  local game = new_match(host)
  local expected = {[0] = {false, false, false}, {false, false, true}, {true, false, false}, {true, false, true},
                    {false, true, false}, {false, true, true}}
  for choice = 0, 5 do
    host.actions = {choice, choice}
    game.frame()
    equal_list(game.inputs[LEFT], expected[choice], "left's input of " .. choice)
    local e = expected[choice]
    equal_list(game.inputs[RIGHT], {e[2], e[1], e[3]}, "right's input of " .. choice)
  end
end

function tests.a_bots_input_passes()
  local host = new_host(defaults())
  local game = new_match(host)
  game.frame(nil, {true, false, true})
  equal_list(game.inputs[RIGHT], {true, false, true}, "right's input")
end

function tests.a_bot_that_serves_first_waits_until_the_opening_ends()
  local host = new_host(defaults({left = "reduced", right = "agent"}))
  local game = new_match(host)
  local acted
  for f = 1, 200 do
    game.frame({false, true, true})
    if game.inputs[LEFT][3] and not acted then acted = f end
  end
  equal(acted, 121, "first frame of a bot's serve")
end

function tests.both_sides_look_the_same()
  local function world(mirrored)
    local host = new_host(defaults({right = "agent", frame_skip = "1"}))
    local game = new_match(host)
    local a, b = LEFT, RIGHT
    if mirrored then a, b = b, a end
    local function x(value) return mirrored and 800 - value or value end
    local function vx(value) return mirrored and -value or value end
    local result = {}
    local seed = 12345
    local function random(low, high)
      seed = seed * 16807 % 2147483647
      -- Floats of 24 bits, as the game's.
      local scaled = math.floor(seed / 2147483647 * 16384) / 16384
      return low + math.floor((high - low) * scaled * 1024) / 1024
    end
    game.serving = a
    game.frame()
    game.hit(a)
    for i = 1, 400 do
      game.ball = {x = x(random(31.5, 768.5)), y = random(-100, 468), vx = vx(random(-13, 13)), vy = random(-15, 15)}
      game[a] = {x = x(random(0, 360)), y = random(206, 455), vx = vx(4.5), vy = random(-15, 15)}
      game[b] = {x = x(random(440, 800)), y = random(206, 455), vx = vx(-4.5), vy = random(-15, 15)}
      if i % 50 == 0 then game.hit(i % 100 == 0 and a or b) end
      game.frame()
      result[i] = Last(host)
    end
    return result
  end
  local straight, mirrored = world(false), world(true)
  for i = 1, #straight do
    for _, tensor in ipairs({"ball", "aim", "own", "opponent", "rally"}) do
      equal_list(straight[i][1][tensor], mirrored[i][2][tensor], "left's " .. tensor)
      equal_list(straight[i][2][tensor], mirrored[i][1][tensor], "right's " .. tensor)
    end
  end
end

function tests.predicts_the_landing_over_wall_and_net()
  local function landing(ball)
    local host = new_host(defaults({frame_skip = "1"}))
    local game = new_match(host)
    game.frame()
    game.hit(LEFT)
    game.ball = ball
    game.frame()
    -- Step the game's own motion until the ball is at head height.
    local x, y, vx, vy, frames = ball.x, ball.y, ball.vx, ball.vy, 0
    while not (y >= 379.5 and vy > 0) do
      y, x, vy = y + vy + 0.5 * 0.287, x + vx, vy + 0.287
      if x < 31.5 and vx < 0 then x, vx = 31.5, -vx end
      if x > 768.5 and vx > 0 then x, vx = 768.5, -vx end
      if y > 284 and math.abs(x - 400) < 38.5 then
        vx = -vx
        x = x > 400 and 438.5 or 361.5
      end
      frames = frames + 1
    end
    local seen = Last(host)[1].ball
    assert(math.abs((seen[5] + 1) * 400 - x) <= 14, ("landing %g, simulated %g"):format((seen[5] + 1) * 400, x))
    assert(math.abs(seen[6] * 100 - frames) <= 1.5, ("time %g, simulated %g"):format(seen[6] * 100, frames))
  end
  landing({x = 200, y = 300, vx = 2, vy = -9})   -- free flight
  landing({x = 100, y = 300, vx = -4, vy = -9})  -- left wall
  landing({x = 500, y = 200, vx = 9, vy = -8})   -- right wall
  landing({x = 250, y = 330, vx = 6, vy = -3})   -- net from the left
  landing({x = 550, y = 330, vx = -6, vy = -3})  -- net from the right
  landing({x = 300, y = 200, vx = 8, vy = -8})   -- over the net
end

function tests.a_rally_ends_with_its_point_and_the_next_begins_at_the_serve()
  local host = new_host(defaults({right = "agent"}))
  local game = new_match(host)
  game.frames(4)
  game.hit(LEFT)
  game.frame()
  game.ball = {x = 600, y = 460, vx = 1, vy = 5}
  game.frame()
  host.answers = {"reset"}
  game.point(LEFT)
  local last = Last(host)
  equal(flags(last[1]), "terminated", "left's flags")
  equal(flags(last[2]), "terminated", "right's flags")
  equal(last[1].rewards.point_won, 1, "left's point")
  equal(last[1].rewards.point_lost, nil, "left's loss")
  equal(last[2].rewards.point_lost, 1, "right's loss")
  equal(last[1].rewards.crossing, 1, "left's crossing")
  equal(last[1].metrics.points_for, 1, "points_for")
  equal(last[2].metrics.points_against, 1, "points_against")
  equal(last[1].metrics.won, 0, "won")
  local exchanges = #host.exchanges
  host.actions = {5, 5}
  game.frames(60)
  equal(#host.exchanges, exchanges, "exchanges while the ball is dead")
  equal_list(game.inputs[LEFT], {false, false, false}, "input while the ball is dead")
  game.serve()
  game.frame()
  equal(flags(Last(host)[1]), "first", "flags at the serve")
  equal(next(Last(host)[1].rewards), nil, "rewards of a first timestep")
  equal_list(Last(host)[1].rally, {1, 0, 1 / 15, 0}, "rally")
  equal_list(Last(host)[2].rally, {0, 1, 0, 1 / 15}, "rally")
end

function tests.a_serve_that_does_not_come_cuts_the_match()
  local host = new_host(defaults({right = "agent", serve_limit = "2"}))
  local game = new_match(host)
  game.frames(149)
  equal(flags(Last(host)[1]), "", "flags within the limit")
  game.hit(LEFT)
  game.frames(300)
  equal(flags(Last(host)[1]), "", "flags of a long rally")
  host.answers = {"reset"}
  game.point(LEFT)
  game.frames(60)
  game.serve()
  game.frames(151)
  equal(flags(Last(host)[1]), "", "flags: the wait counts from this serve")
  local exchanges = #host.exchanges
  for _ = 1, 8 do
    host.answers = {"reset"}
    game.frame()
    if #host.exchanges > exchanges then break end
  end
  equal(flags(Last(host)[1]), "truncated+match over", "left's flags")
  equal(flags(Last(host)[2]), "truncated+match over", "right's flags")
  equal(Last(host)[1].metrics.points_for, 1, "points_for")
  equal(Last(host)[1].metrics.won, 0, "won")
  equal_list(host.keys, {"again"}, "keys")
  exchanges = #host.exchanges
  game.frames(500)
  equal(#host.exchanges, exchanges, "exchanges after the cut")
end

function tests.a_serve_may_wait_for_ever_without_a_limit()
  local host = new_host(defaults({serve_limit = "0"}))
  local game = new_match(host)
  game.frames(75 * 600)
  equal(flags(Last(host)[1]), "", "flags after ten minutes")
end

function tests.a_match_episode_goes_on_over_points()
  local host = new_host(defaults({right = "agent", episode = "match"}))
  local game = new_match(host)
  game.frame()
  local exchanges = #host.exchanges
  for i = 1, 13 do
    game.hit(LEFT)
    game.point(LEFT)
    game.hit(RIGHT)
    game.frames(10)
    game.serve()
    game.frame()
    equal(#host.exchanges, exchanges + i, "exchanges")
    equal(flags(Last(host)[1]), "", "flags")
    equal(Last(host)[1].rewards.point_won, 1, "points since the last timestep")
    equal(Last(host)[1].rewards.touch, 1, "touches since the last timestep; none of a dead ball")
    equal(Last(host)[2].rewards.touch, nil, "right's touches")
  end
  for _, winner in ipairs({RIGHT, LEFT}) do
    game.hit(LEFT)
    game.point(winner)
    game.frame()
    game.serve()
    game.frame()
  end
  host.answers = {"reset"}
  equal(#host.keys, 0, "keys before the end")
  game.hit(LEFT)
  game.point(LEFT)
  equal(flags(Last(host)[1]), "terminated+match over", "flags")
  equal(Last(host)[1].metrics.won, 1, "left won")
  equal(Last(host)[2].metrics.lost, 1, "right lost")
  equal(Last(host)[2].metrics.won, 0, "right won")
  equal(Last(host)[1].metrics.points_for, 15, "points for")
  equal(Last(host)[1].metrics.points_against, 1, "points against")
  equal(Last(host)[1].metrics.rallies, 16, "rallies")
  equal_list(host.keys, {"again"}, "keys")
  local count = #host.exchanges
  game.frames(20)
  equal(#host.exchanges, count, "exchanges after the end")
  local frame = Last(host).frame
  local next_match = new_match(host)
  next_match.frame()
  equal(flags(Last(host)[1]), "first", "flags of the next match")
  assert(Last(host).frame > frame, "frames go on")
  equal(host.declared, 1, "declarations")
end

function tests.waiting_at_the_own_serve_is_counted_in_seconds()
  local host = new_host(defaults({right = "agent"}))
  local game = new_match(host)
  game.frames(8)
  game.frame()
  equal(host.exchanges[1][1].rewards.serve_wait, nil, "first timestep")
  equal(Last(host)[1].rewards.serve_wait, 4 / 75, "left waits")
  equal(Last(host)[2].rewards.serve_wait, nil, "right does not")
  game.hit(LEFT)
  game.frames(4)
  equal(Last(host)[1].rewards.serve_wait, nil, "after the serve")
end

function tests.a_crossing_counts_for_the_last_toucher_only()
  local host = new_host(defaults({right = "agent", frame_skip = "1"}))
  local game = new_match(host)
  game.frame()
  game.hit(LEFT)
  game.ball.x = 390
  game.frame()
  equal(Last(host)[1].rewards.crossing, nil, "before the net")
  game.ball.x = 410
  game.frame()
  equal(Last(host)[1].rewards.crossing, 1, "over the net")
  game.ball.x = 390  -- back, without the right side's touch
  game.frame()
  equal(Last(host)[2].rewards.crossing, nil, "came back of itself")
  game.ball.x = 410
  game.hit(RIGHT)
  game.frame()
  game.ball.x = 390
  game.frame()
  equal(Last(host)[2].rewards.crossing, 1, "right's crossing")
end

function tests.touches_are_seen_and_taken_back()
  local host = new_host(defaults({right = "agent", frame_skip = "1"}))
  local game = new_match(host)
  game.frame()
  game.hit(LEFT)
  game.hit(LEFT)
  game.frame()
  equal(Last(host)[1].own[5], 2 / 3, "left's touches")
  equal(Last(host)[2].opponent[5], 2 / 3, "left's touches as right sees them")
  game.hit(RIGHT)
  game.frame()
  equal(Last(host)[1].own[5], 0, "left's touches")
  equal(Last(host)[2].own[5], 1 / 3, "right's touches")
end

function tests.two_bots_are_watched_passively()
  local host = new_host(defaults({left = "com_11"}))
  local game = new_match(host)
  game.frames(700)
  equal(#host.exchanges, 1, "exchanges")
  equal(flags(Last(host)[1]), "passive+first", "flags")
  equal(Last(host)[2], nil, "right's slot")
  game.hit(LEFT)
  host.answers = {"reset"}
  game.point(RIGHT)
  equal(flags(Last(host)[1]), "passive+terminated", "flags")
  equal(Last(host)[1].rewards.point_lost, 1, "point_lost")
  game.serve()
  game.frames(1501)
  equal(#host.exchanges, 5, "exchanges")
end

function tests.a_reset_in_mid_rally_ends_the_match_at_once()
  local host = new_host(defaults())
  local game = new_match(host)
  game.frames(5)
  host.answers = {"reset"}
  game.frames(4)
  equal(game.winner, LEFT, "winner of the cut match")
  equal_list(host.keys, {"again"}, "keys")
  local exchanges = #host.exchanges
  game.frames(4)
  game.point(RIGHT)
  equal(#host.exchanges, exchanges, "exchanges of the cut match")
  new_match(host).frame()
  equal(flags(Last(host)[1]), "first", "flags")
end

function tests.a_reset_before_anything_happened_keeps_the_match()
  local host = new_host(defaults())
  local game = new_match(host)
  host.answers = {"reset"}
  game.frame()
  equal(#host.keys, 0, "keys")
  game.frame()
  equal(#host.exchanges, 2, "exchanges")
  equal(flags(Last(host)[1]), "first", "flags")
  host.answers = {"reset"}
  local seeded = new_match(host)
  host.settings.seed = "5"
  seeded.frame()
  equal_list(host.keys, {"again"}, "keys with another seed")
end

function tests.changed_bots_reread_the_configuration()
  local host = new_host(defaults())
  local game = new_match(host)
  game.frame()
  game.hit(LEFT)
  host.settings.right = "gintonicV9"
  host.answers = {"reset"}
  game.point(LEFT)
  game.frame()
  equal(game.winner, LEFT, "winner of the cut match")
  equal_list(host.keys, {"reread"}, "keys")
end

function tests.a_new_seed_waits_for_the_next_match()
  local host = new_host(defaults())
  local game = new_match(host)
  game.frame()
  game.hit(LEFT)
  host.settings.seed = "9"
  host.answers = {"reset"}
  game.point(LEFT)
  game.frames(10)
  equal(game.winner, nil, "winner")
  equal(#host.keys, 0, "keys")
end

function tests.stale_bots_are_replaced_or_refused()
  local host = new_host(defaults({right = "hyp014"}))
  for i = 1, 3 do
    local game = new_match(host, "agent", "reduced")
    game.frame()
    equal(#host.exchanges, 0, "exchanges of a stale match")
    equal(host.keys[i], "reread", "keys")
  end
  local ok, message = pcall(new_match, host, "agent", "reduced")
  assert(not ok and message:find("hyp014"), "refusal names the bot: " .. tostring(message))
end

function tests.seeds_belong_to_matches()
  local host = new_host(defaults({seed = "77"}))
  local one, two = new_match(host).seeds, new_match(host).seeds
  equal_list(one, two, "seeds of two matches with one seed")
  equal(one[#one], 77, "seed that the match runs with")
  host.settings.seed = "0"
  host.shared.matches = 1
  local three = new_match(host).seeds
  host.shared.matches = 2
  local four = new_match(host).seeds
  assert(three[#three] ~= four[#four], "matches without a seed differ")
end

function tests.close_ends_the_game()
  local host = new_host(defaults())
  local game = new_match(host)
  host.answers = {"close"}
  game.frames(12)
  equal(host.quit, 1, "quit")
  equal(#host.exchanges, 1, "exchanges")
end

function tests.without_a_host_the_rules_stay_untouched()
  local host = new_host({})
  local game = new_match(host, "reduced", "reduced")
  game.frame({true, false, true})
  equal_list(game.inputs[LEFT], {true, false, true}, "input")
  equal(#host.exchanges, 0, "exchanges")
end

return tests
