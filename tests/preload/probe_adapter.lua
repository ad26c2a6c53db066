-- Adapter of probe_game: says what it is told, and plays every bot that its settings name.
local midlane = ...
local settings = midlane.settings()
midlane.log("adapter in state " .. midlane.state)
leaked = "no"  -- must not reach the game's globals

local function declare()
  midlane.declare{
    environment = "probe", agents = {"one", "two"}, frames_per_second = 100, frame_skip = 1,
    observations = {
      {name = "echo", shape = {4}, dtype = "f32", min = -10, max = 1e6},
      {name = "counts", shape = {2, 2}, dtype = "i32"},
      {name = "allowed", shape = {3}, dtype = "u8"},
    },
    actions = {{name = "move", choices = 3, mask = "allowed"}, {name = "big", choices = 1000}},
    rewards = {"alive"},
    metrics = {"won", "lost"},
  }
end

return {
  loaded = function(name, env)
    midlane.log("loaded " .. name .. " env " .. type(env))
    if settings.fail == "loaded" then error("the adapter is broken") end
    if settings.idle or midlane.state ~= tonumber(settings.state or 1) or not env.think then return end
    midlane.raw(function(real)
      midlane.log("raw " .. type(real._G) .. " " .. type(real.registry) .. " " .. type(real.load) .. " " ..
                  type(real.debug.traceback) .. " leaked " .. tostring(real._G.leaked))
    end)
    declare()
    declare()
    local first = true
    env.think = function(frame)
      if settings.fail == "think" then local x = nil; return x.y end
      local bad = settings.fail == "nan" and frame == 2 and 0 / 0 or 0.5
      midlane.observe(1, 1, frame, 1, bad, true)
      midlane.observe(1, 2, -frame, 2, 3, 4)
      midlane.observe_at(1, 3, 1, 1, 0)
      midlane.observe_at(1, 3, 3, true)
      midlane.observe_all(2, frame, 2, bad, true, -frame, 2, 3, 4, 1, 0, true)
      for agent = 1, 2 do
        midlane.reward(agent, 1, 0.25)
        midlane.reward(agent, 1, 0.5)
        midlane.metric(agent, 1, agent - 1)
      end
      midlane.post(1, first and midlane.FIRST or 0)
      midlane.post(2, (first and midlane.FIRST or 0) + midlane.PASSIVE)
      first = false
      local answer = midlane.exchange(frame)
      if answer == "close" then return 99 end
      if answer == "reset" then first = true return 77 end
      midlane.effect(1, frame)
      return midlane.action(1, 1) + 10 * midlane.action(1, 2)
    end
  end,
}
