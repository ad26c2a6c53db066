-- Adapter of Blobby Volley 2 (1.0). Everything happens in the state of the *rules* script: it sees the ball and both
-- blobs as they are (a bot's own state sees a weak bot's delayed ball), its HandleInput answers for both sides of every
-- frame, and its IsWinning sees every point, also the last. The bots run untouched in states of their own; a side
-- that an agent plays runs agent.lua, which does nothing.
--
-- Frame: one call of HandleInput for the left side. The observation of frame f shows the world before the step of f,
--   and an action acts from that same step on: observed frame = effect frame.
-- Mirror: each agent sees itself on the left, x to the right, y upwards; left and right of its actions are likewise
--   its own.
local midlane = ...

local FRAMES_PER_SECOND = 75
local PAUSE_SECONDS = 2           -- more than the game lets a bot that serves first wait, by a clock whose phase
                                  -- depends on what ran before
local OPENING_FRAMES = 120        -- such a bot holds still so long in its place
local UNWATCHED_FRAMES = 750      -- a timestep where both sides are bots and nobody decides
local STALE_MATCHES_MAX = 3

-- Geometry, in the game's own coordinates (pixels, y downwards, frames).
local WIDTH, BALL_RADIUS = 800, 31.5
local GRAVITY = 0.287                                -- of the ball
local BLOB_GROUND = 455.5                            -- y of a standing blob
local HEAD = 379.5                                   -- y of a ball that touches a standing blob's head
local WALL = WIDTH - BALL_RADIUS                     -- x of a ball at the right wall
local NET_NEAR, NET_FAR = 400 - 38.5, 400 + 38.5     -- x of a ball at the net's left and right face
local NET_TOP = 245.5                                -- y below which a ball hits the net

local LEFT, RIGHT = 0, 1                             -- the game's players
local POINT_WON, POINT_LOST, TOUCH, CROSSING, SERVE_WAIT = 1, 2, 3, 4, 5       -- reward terms
local WON, LOST, POINTS_FOR, POINTS_AGAINST, RALLIES, FRAMES = 1, 2, 3, 4, 5, 6  -- metrics

local function spec()
  return {
    environment = "blobby",
    agents = {"left", "right"},
    frames_per_second = FRAMES_PER_SECOND,
    frame_skip = 4,
    observations = {
      -- x, y, vx, vy; where and when it comes down to a standing blob's head
      {name = "ball", shape = {6}, dtype = "f32", min = -2, max = 2},
      -- ball and landing point relative to the own blob, x, in blob widths
      {name = "aim", shape = {2}, dtype = "f32", min = -2, max = 2},
      {name = "own", shape = {5}, dtype = "f32", min = -2, max = 2},       -- x, y, vx, vy, touches
      {name = "opponent", shape = {5}, dtype = "f32", min = -2, max = 2},  -- likewise
      {name = "rally", shape = {4}, dtype = "f32", min = -2, max = 2},     -- own serve, opponent's serve, scores
    },
    actions = {{name = "move", choices = 6}},  -- 2 * direction (none, left, right) + jump
    rewards = {"point_won", "point_lost", "touch", "crossing", "serve_wait"},
    metrics = {"won", "lost", "points_for", "points_against", "rallies", "frames"},
  }
end

local math_min, math_sqrt = math.min, math.sqrt

-- The seed of the match that is about to begin: the world setting, else drawn from the world's seed and the number of
-- the match in this process. 31 bits, as C's srand gets it.
local function match_seed(settings)
  local fixed = tonumber(settings.seed or 0) or 0
  if fixed ~= 0 then return fixed % 2147483648 end
  local n = midlane.shared.matches or 0
  return (midlane.seed() % 2147483648 * 48271 + n * 69621) % 2147483647
end

-- What config.xml is made of; where it changes, the game must read the file again.
local function config_of(settings)
  return table.concat({settings.left or "agent", settings.right or "reduced", settings.left_strength or "0",
                       settings.right_strength or "0", settings.points_to_win or "15"}, " ")
end

-- All that cuts a match short when it changes: everything but the seed, which waits for the next match.
local function world_of(settings)
  return table.concat({config_of(settings), settings.episode or "rally", settings.frame_skip or "4",
                       settings.serve_limit or "60"}, " ")
end

-- Where and when a flying ball comes down to HEAD, over walls and net: x, x seen from the right, frames.
local function landing(x, y, vx, vy)
  local square = vy * vy + 2 * GRAVITY * (HEAD - y)
  if square < 0 then return x, WIDTH - x, 0 end
  local time = (math_sqrt(square) - vy) / GRAVITY
  if time <= 0 then return x, WIDTH - x, 0 end
  local mirrored = vx < 0
  if mirrored then x, vx = WIDTH - x, -vx end
  local at = x + vx * time
  local bounced = false
  if x < NET_NEAR and at > NET_NEAR then
    local t = (NET_NEAR - x) / vx
    if y + (vy + 0.5 * GRAVITY * t) * t > NET_TOP then
      bounced = true
      at = 2 * NET_NEAR - at
      if at < BALL_RADIUS then at = 2 * BALL_RADIUS - at end
    end
  end
  if not bounced and at > WALL then
    at = 2 * WALL - at
    if at < NET_FAR then
      local t = (2 * WALL - x - NET_FAR) / vx
      if y + (vy + 0.5 * GRAVITY * t) * t > NET_TOP then at = 2 * NET_FAR - at end
    end
  end
  if at < BALL_RADIUS then at = BALL_RADIUS elseif at > WALL then at = WALL end
  if mirrored then return WIDTH - at, at, time end
  return at, WIDTH - at, time
end

-- Takes the match over: replaces three of the rules' callbacks in `game`, the rules script's environment. A `stale`
-- match runs with other bots than the settings name, because the game read its configuration before they changed.
local function attach(game, settings, stale)
  local shared, exchange, reward, post = midlane.shared, midlane.exchange, midlane.reward, midlane.post
  local observe_all, action, effect = midlane.observe_all, midlane.action, midlane.effect
  local FIRST, TERMINATED, TRUNCATED, MATCH_OVER, PASSIVE =
      midlane.FIRST, midlane.TERMINATED, midlane.TRUNCATED, midlane.MATCH_OVER, midlane.PASSIVE
  local ballx, bally, bspeedx, bspeedy = game.ballx, game.bally, game.bspeedx, game.bspeedy
  local posx, posy, speedx, speedy = game.posx, game.posy, game.speedx, game.speedy
  local rules_winning, rules_hit = game.IsWinning, game.OnBallHitsPlayer

  local left_agent, right_agent = (settings.left or "agent") == "agent", settings.right == "agent"
  local unwatched = not (left_agent or right_agent)
  local rally_episode = (settings.episode or "rally") == "rally"
  local serve_limit = tonumber(settings.serve_limit or 60) * FRAMES_PER_SECOND
  if serve_limit == 0 then serve_limit = math.huge end
  local period = unwatched and UNWATCHED_FRAMES or tonumber(settings.frame_skip or 4)
  local config, world = config_of(settings), world_of(settings)
  local agents = {}
  if left_agent or unwatched then agents[#agents + 1] = 1 end
  if right_agent then agents[#agents + 1] = 2 end

  local frame = shared.frame or 0   -- of the last slow step
  local match_start = frame
  local interval, wait = 1, 1       -- frames from the last slow step to the next; how many are left
  local dead = false                -- between a point and the next serve
  local running = false             -- the ball was served
  local over = false                -- nothing more to do in this match
  local restarting = stale and "reread" or nil  -- keys to a new match that is wanted before this one ends
  local opening = true
  local serve_since = frame         -- since when a serve is waited for
  local server, last_touch, ball_side = LEFT, nil, nil
  local left_touches, right_touches, left_score, right_score, rallies = 0, 0, 0, 0, 0
  local left_points, right_points = 0, 0   -- the scores as they are observed
  local first = FIRST
  local left_left, left_right, left_jump, right_left, right_right, right_jump =
      false, false, false, false, false, false

  local function stand_still()
    left_left, left_right, left_jump, right_left, right_right, right_jump = false, false, false, false, false, false
  end

  local function observe_agent(agent, x, y, vx, vy, land_x, land_time, own_x, own_y, own_vx, own_vy, own_touches,
                               opp_x, opp_y, opp_vx, opp_vy, opp_touches, own_serve, opp_serve, own_points, opp_points)
    local ball_ahead, landing_ahead = (x - own_x) / 75, (land_x - own_x) / 75
    if ball_ahead > 2 then ball_ahead = 2 elseif ball_ahead < -2 then ball_ahead = -2 end
    if landing_ahead > 2 then landing_ahead = 2 elseif landing_ahead < -2 then landing_ahead = -2 end
    observe_all(agent,
                x / 400 - 1, (468.5 - y) / 400, vx / 15, vy / -15, land_x / 400 - 1, land_time / 100,
                ball_ahead, landing_ahead,
                own_x / 400 - 1, (BLOB_GROUND - own_y) / 250, own_vx / 4.5, own_vy / -15.1, own_touches / 3,
                opp_x / 400 - 1, (BLOB_GROUND - opp_y) / 250, opp_vx / 4.5, opp_vy / -15.1, opp_touches / 3,
                own_serve, opp_serve, own_points, opp_points)
  end

  local function observe()
    local x, y, vx, vy = ballx(), bally(), bspeedx(), bspeedy()
    local left_x, left_y, left_vx, left_vy = posx(LEFT), posy(LEFT), speedx(LEFT), speedy(LEFT)
    local right_x, right_y, right_vx, right_vy = posx(RIGHT), posy(RIGHT), speedx(RIGHT), speedy(RIGHT)
    local land_left, land_right, land_time = x, WIDTH - x, 0
    local left_serve, right_serve = 0, 0
    if running then
      land_left, land_right, land_time = landing(x, y, vx, vy)
    elseif server == LEFT then
      left_serve = 1
    else
      right_serve = 1
    end
    if left_agent or unwatched then
      observe_agent(1, x, y, vx, vy, land_left, land_time, left_x, left_y, left_vx, left_vy, left_touches,
                    WIDTH - right_x, right_y, -right_vx, right_vy, right_touches, left_serve, right_serve, left_points,
                    right_points)
    end
    if right_agent then
      observe_agent(2, WIDTH - x, y, -vx, vy, land_right, land_time, WIDTH - right_x, right_y, -right_vx, right_vy,
                    right_touches, left_x, left_y, left_vx, left_vy, left_touches, right_serve, left_serve,
                    right_points, left_points)
    end
    local side = x < 400 and LEFT or RIGHT
    if running and side ~= ball_side and ball_side == last_touch then
      if ball_side == LEFT and (left_agent or unwatched) then reward(1, CROSSING, 1) end
      if ball_side == RIGHT and right_agent then reward(2, CROSSING, 1) end
    end
    ball_side = side
  end

  local function record_metrics(now, winner)
    for i = 1, #agents do
      local agent = agents[i]
      local own, other = left_score, right_score
      if agent == 2 then own, other = right_score, left_score end
      midlane.metric(agent, WON, winner == agent - 1 and 1 or 0)
      midlane.metric(agent, LOST, winner == 2 - agent and 1 or 0)
      midlane.metric(agent, POINTS_FOR, own)
      midlane.metric(agent, POINTS_AGAINST, other)
      midlane.metric(agent, RALLIES, rallies)
      midlane.metric(agent, FRAMES, now - match_start)
    end
  end

  local function post_all(flags)
    observe()
    if left_agent then
      post(1, flags)
    elseif unwatched then
      post(1, flags + PASSIVE)
    end
    if right_agent then post(2, flags) end
  end

  local function leave_match(now)
    over = true
    interval, wait = math.huge, math.huge
    stand_still()
    shared.frame = now
    shared.matches = (shared.matches or 0) + 1
  end

  -- Ends the world on the host's wish: the game goes on in peace until it ends.
  local function close(now)
    leave_match(now)
    left_agent, right_agent = false, false
    midlane.quit()
  end

  -- What the host's "reset" asks for: nil where the match may go on, else the keys that lead to the next one.
  local function way_to_next_match(settings_now)
    if config_of(settings_now) ~= config then return "reread" end
    return "again"
  end

  local function end_match_early(keys)
    leave_match(frame)
    game.score(LEFT, 1000)
    midlane.keys(keys)
  end

  local function act(agent, now)
    local choice = action(agent, 1)
    effect(agent, now)
    local direction = choice > 3 and 2 or choice > 1 and 1 or 0
    return direction == 1, direction == 2, choice % 2 == 1
  end

  -- One step that is more than a countdown.
  local function slow_step()
    frame = frame + interval
    interval, wait = 1, 1
    if over then return end
    if restarting then return end_match_early(restarting) end
    if dead then
      if game.isgamerunning() then return end
      dead, running, serve_since = false, false, frame
      server = game.servingplayer() == RIGHT and RIGHT or LEFT
      last_touch, ball_side = nil, nil
      left_touches, right_touches = 0, 0
    elseif not running and first == 0 then
      if server == LEFT and (left_agent or unwatched) then reward(1, SERVE_WAIT, period / FRAMES_PER_SECOND) end
      if server == RIGHT and right_agent then reward(2, SERVE_WAIT, period / FRAMES_PER_SECOND) end
    end
    local began = first ~= 0
    local stalled = not running and not began and frame - serve_since > serve_limit
    if stalled or (began and rallies == 0) then record_metrics(frame, nil) end
    if stalled then first = TRUNCATED + MATCH_OVER end
    post_all(first)
    first = 0
    local answer = exchange(frame)
    if stalled then
      if answer == "close" then return close(frame) end
      return end_match_early(way_to_next_match(midlane.settings()))
    end
    if answer == "step" then
      interval, wait = period, period
      if left_agent then
        left_left, left_right, left_jump = act(1, frame)
      end
      if right_agent then
        right_right, right_left, right_jump = act(2, frame)
      end
      if unwatched then effect(1, frame) end
    elseif answer == "reset" then
      local settings_now = midlane.settings()
      if began and world_of(settings_now) == world and settings_now.seed == settings.seed then
        first = FIRST  -- nothing has happened yet: the same world, shown again
      else
        end_match_early(way_to_next_match(settings_now))
      end
    else
      close(frame)
    end
  end

  game.HandleInput = function(player, left, right, jump)
    if player == LEFT then
      wait = wait - 1
      if wait <= 0 then slow_step() end
      if left_agent then return left_left, left_right, left_jump end
    elseif right_agent then
      return right_left, right_right, right_jump
    end
    if opening then
      if frame + interval - wait - match_start > OPENING_FRAMES then
        opening = false
      elseif player == server then
        return false, false, false
      end
    end
    return left, right, jump
  end

  game.OnBallHitsPlayer = function(player)
    if not dead and not over then
      running = true
      last_touch = player
      if player == LEFT then
        left_touches, right_touches = left_touches + 1, 0
        if left_agent or unwatched then reward(1, TOUCH, 1) end
      else
        left_touches, right_touches = 0, right_touches + 1
        if right_agent then reward(2, TOUCH, 1) end
      end
    end
    return rules_hit(player)
  end

  -- Called by the game for every point, before it takes the touches back.
  game.IsWinning = function(left, right)
    local won = rules_winning(left, right)
    if over or dead then return won end
    local winner = left > left_score and LEFT or RIGHT
    left_score, right_score, rallies = left, right, rallies + 1
    left_points, right_points = math_min(left / 15, 2), math_min(right / 15, 2)
    if left_agent or unwatched then reward(1, winner == LEFT and POINT_WON or POINT_LOST, 1) end
    if right_agent then reward(2, winner == RIGHT and POINT_WON or POINT_LOST, 1) end
    local now = frame + interval - wait + 1  -- the frame that would show this state
    record_metrics(now, won and winner or nil)
    dead = true
    stand_still()
    frame = now - 1
    interval, wait = 1, 1
    if won or rally_episode then
      post_all(first + TERMINATED + (won and MATCH_OVER or 0))
      first = FIRST
      local answer = exchange(now)
      if answer == "close" then
        close(now)
      elseif won then
        leave_match(now)
        midlane.keys(way_to_next_match(midlane.settings()))
      else
        local settings_now = midlane.settings()
        if world_of(settings_now) ~= world then restarting = way_to_next_match(settings_now) end
      end
    end
    return won
  end
end

-- Every state's random numbers are C's rand(), one stream for the whole process: sown anew before each script.
if math and midlane.settings().left then
  local shared = midlane.shared
  shared.script = (shared.script or 0) + 1
  math.randomseed((match_seed(midlane.settings()) + shared.script * 7919) % 2147483647)
end

return {
  loaded = function(name, env)
    local shared = midlane.shared
    if string.find(name, "^scripts/") then
      shared.scripts = (shared.scripts or "") .. string.match(name, "^scripts/(.-)%.lua$") .. " "
      -- Some bots print a number each few frames, unbuffered.
      if midlane.settings().left then env.debug = function() end end
    elseif string.find(name, "^rules/") then
      local settings = midlane.settings()
      if next(settings) == nil then return end
      if not shared.declared then
        midlane.declare(spec())
        shared.declared = 1
      end
      local loaded, wanted = shared.scripts, (settings.left or "agent") .. " " .. (settings.right or "reduced") .. " "
      shared.scripts, shared.script = nil, nil
      shared.stale = loaded ~= wanted and (shared.stale or 0) + 1 or nil
      if (shared.stale or 0) > STALE_MATCHES_MAX then
        error("the game plays " .. tostring(loaded) .. "where the settings ask for " .. wanted ..
              "(left, right): are these bots in its scripts.zip?")
      end
      math.randomseed(match_seed(settings))
      midlane.advance(PAUSE_SECONDS)
      attach(env, settings, loaded ~= wanted)
    end
  end,
}
