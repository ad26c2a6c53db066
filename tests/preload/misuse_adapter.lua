-- Adapter that misuses the API in the way that its settings name.
local midlane = ...
local wrong = midlane.settings().wrong

local function spec()
  return {
    environment = "misuse", agents = {"one"}, frames_per_second = 60,
    observations = {{name = "x", shape = {2}, dtype = "f32"}, {name = "allowed", shape = {3}, dtype = "u8"}},
    actions = {{name = "move", choices = 3, mask = "allowed"}},
    rewards = {"r"}, metrics = {"m"},
  }
end

local bad_specs = {
  no_environment = function(s) s.environment = nil end,
  no_agents = function(s) s.agents = {} end,
  agent_twice = function(s) s.agents = {"one", "one"} end,
  many_agents = function(s) for i = 1, 17 do s.agents[i] = "agent" .. i end end,
  spaces = function(s) s.agents = {"the one"} end,
  no_speed = function(s) s.frames_per_second = nil end,
  half_skip = function(s) s.frame_skip = 1.5 end,
  dtype = function(s) s.observations[1].dtype = "f64" end,
  shape_text = function(s) s.observations[1].shape = "two" end,
  shape_zero = function(s) s.observations[1].shape = {2, 0} end,
  shape_huge = function(s) s.observations[1].shape = {65536, 65536, 65536, 65536} end,
  shape_rank = function(s) s.observations[1].shape = {1, 1, 1, 1, 1} end,
  too_large = function(s) s.observations[1].shape = {30000} end,
  tensor_twice = function(s) s.observations[2].name = "x" end,
  tensor_number = function(s) s.observations[1] = 7 end,
  bounds = function(s) s.observations[1].min, s.observations[1].max = 2, 1 end,
  one_choice = function(s) s.actions[1].choices = 1 end,
  half_choice = function(s) s.actions[1].choices = 2.5 end,
  mask_size = function(s) s.actions[1].choices = 4 end,
  mask_type = function(s) s.actions[1].mask = "x" end,
  mask_none = function(s) s.actions[1].mask = "nothing" end,
  head_twice = function(s) s.actions[2] = {name = "move", choices = 2} end,
  long_name = function(s) s.rewards[1] = ("r"):rep(48) end,
  metric_type = function(s) s.metrics[1] = {} end,
}

local misuses = {
  spec_text = function() midlane.declare("blobby") end,
  two_specs = function() midlane.declare(spec()) local s = spec() s.metrics = {"other"} midlane.declare(s) end,
  observe_before = function() midlane.observe(1, 1, 0, 0) end,
  exchange_before = function() midlane.exchange(1) end,
  agent = function() midlane.declare(spec()) midlane.observe(2, 1, 0, 0) end,
  agent_half = function() midlane.declare(spec()) midlane.observe(1.5, 1, 0, 0) end,
  tensor = function() midlane.declare(spec()) midlane.observe(1, 3, 0, 0) end,
  count = function() midlane.declare(spec()) midlane.observe(1, 1, 0) end,
  text = function() midlane.declare(spec()) midlane.observe(1, 1, 0, "high") end,
  count_all = function() midlane.declare(spec()) midlane.observe_all(1, 0, 0, 1) end,
  text_all = function() midlane.declare(spec()) midlane.observe_all(1, 0, 0, 1, 1, "x") end,
  past_end = function() midlane.declare(spec()) midlane.observe_at(1, 1, 2, 0, 0) end,
  byte = function() midlane.declare(spec()) midlane.observe(1, 2, 0, 1, 256) end,
  outside = function()
    local s = spec() s.observations[1].min, s.observations[1].max = -1, 2 midlane.declare(s)
    midlane.observe(1, 1, 0, 3) midlane.post(1, midlane.FIRST) midlane.exchange(1)
  end,
  reward_nan = function() midlane.declare(spec()) midlane.reward(1, 1, 0 / 0) end,
  flags = function() midlane.declare(spec()) midlane.post(1, 1) end,
  frame_text = function() midlane.declare(spec()) midlane.exchange({}) end,
  frame_negative = function() midlane.declare(spec()) midlane.exchange(-1) end,
  keys = function() midlane.keys("dance") end,
  backwards = function() midlane.advance(-1) end,
  shared_table = function() midlane.shared.x = {} end,
  shared_long = function() midlane.shared.x = ("x"):rep(5000) end,
  raw = function() midlane.raw(function() error("inside raw") end) end,
  callback = function() return nil + 1 end,
}

if wrong == "load" then error({}) end
if wrong == "result" then return 7 end
return {
  loaded = function()
    if bad_specs[wrong] then
      local s = spec()
      bad_specs[wrong](s)
      midlane.declare(s)
    else
      misuses[wrong]()
    end
    midlane.log("nobody minded")
  end,
}
