-- KEYS[1] cell; ARGV: revision expected, value ('': remove), time to keep in ms ('0': for ever), channel, notice.
-- Returns {1, new revision, '', now} or {0, present revision, present value, now}, or {-1} for a cell that is not ours.
-- A cell is a hash of r (revision) and v (value). A removed cell keeps r for an hour, so that it does not come again.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local time = string.format('%.0f', now)
local cell = redis.call('HMGET', KEYS[1], 'r', 'v')
local last, value = cell[1], cell[2]
if last then
  if not tonumber(last) then return {-1} end
elseif redis.call('EXISTS', KEYS[1]) == 1 then
  return {-1}
end
local present = (last and value) and last or '0'
local lost = present ~= ARGV[1]
if lost or (ARGV[2] == '' and present == '0') then
  -- This changes nothing, but a replica refuses it as a write. What a replica holds may be old.
  redis.call('HDEL', KEYS[1], '')
  return {lost and 0 or 1, present, value or '', time}
end
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], 'v')
  redis.call('PEXPIRE', KEYS[1], 3600000)
  redis.pcall('PUBLISH', ARGV[4], ARGV[5])
  return {1, '0', '', time}
end
-- A double holds microseconds since 1970 exactly until 2255.
local rev = string.format('%.0f', math.max(now, tonumber(last or '0') + 1))
redis.call('HSET', KEYS[1], 'r', rev, 'v', ARGV[2])
if ARGV[3] == '0' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
redis.pcall('PUBLISH', ARGV[4], ARGV[5])
return {1, rev, '', time}
