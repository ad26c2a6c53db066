local midlane = ...
local LEFT, STAY, RIGHT = 0, 1, 2                  -- the choices of the action `move`
local frame, settings = 0, nil

return {
  loaded = function(name, env)                     -- after each script that the game has run
    if name ~= "player.lua" or not midlane.settings().frame_skip then return end  -- no host: the bot goes on
    midlane.declare{
      environment = "catch", agents = {"player"}, frames_per_second = 60, frame_skip = 1,
      observations = {
        {name = "ball", shape = {2}, dtype = "f32", min = -1, max = 1},   -- x, y
        {name = "paddle", shape = {1}, dtype = "f32", min = -1, max = 1},
      },
      actions = {{name = "move", choices = 3}},
      rewards = {"caught", "missed"},
      metrics = {"won", "lost"},
    }
    local first, paddle, move, wait, skip = midlane.FIRST, 2, STAY, 0, 1

    local function timestep(x, y, flags)           -- observe, post, wait for the host
      midlane.observe(1, 1, x / 2 - 1, y / 5 - 1)
      midlane.observe(1, 2, paddle / 2 - 1)
      midlane.post(1, flags)
      local answer = midlane.exchange(frame)
      if answer == "close" then midlane.quit() end
      if answer == "reset" then skip = tonumber(midlane.settings().frame_skip) end
      return answer
    end

    local ball_x
    function env.think(x, y, paddle_x)             -- in place of the bot's own
      frame, ball_x, paddle = frame + 1, x, paddle_x
      wait = wait - 1
      if wait <= 0 then
        local answer = timestep(x, y, first)
        while answer == "reset" do answer = timestep(x, y, midlane.FIRST) end
        first, wait = 0, skip
        move = midlane.action(1, 1)
        midlane.effect(1, frame)
      end
      return move == LEFT and -1 or move == RIGHT and 1 or 0
    end

    function env.landed(caught)                    -- the episode's end, with its reward
      midlane.reward(1, caught and 1 or 2, 1)
      midlane.metric(1, 1, caught and 1 or 0)
      midlane.metric(1, 2, caught and 0 or 1)
      timestep(ball_x, 0, midlane.TERMINATED + midlane.MATCH_OVER)
      first, wait = midlane.FIRST, 0
    end
  end,
}
