-- Adapter that lets every chunk be and complains where it is told of anything else.
local midlane = ...
local told = 0
return {
  loaded = function(name, env)
    told = told + 1
    if told ~= 1 or type(env) ~= "table" then error("told of " .. name .. " " .. told .. " times") end
    midlane.shared["state" .. midlane.state % 8] = told
  end,
}
