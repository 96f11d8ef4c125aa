-- KEYS[1] cell. Returns {0, revision, value, now}, or {-1} for a cell that is not ours.
-- HDEL of a field that is never there changes nothing, but a replica refuses it as a write. What a replica
-- holds may be old. TIME has to be asked here, because by itself it could go to another node of a cluster.
redis.call('HDEL', KEYS[1], '')
local t = redis.call('TIME')
local time = string.format('%.0f', t[1] * 1000000 + t[2])
local cell = redis.call('HMGET', KEYS[1], 'r', 'v')
if cell[1] then
  if not tonumber(cell[1]) then return {-1} end
elseif redis.call('EXISTS', KEYS[1]) == 1 then
  return {-1}
end
if not (cell[1] and cell[2]) then return {0, '0', '', time} end
return {0, cell[1], cell[2], time}
