-- Raises positions to the maximum of what is stored and what is given; never lowers them.
--
-- KEYS[1]        hash: field "topic/partition", value next offset
-- ARGV           field, next offset, field, next offset, ...
--
-- Returns the positions from before, an empty string where there was none.

local before = {}
for i = 1, #ARGV, 2 do
    local old = redis.call('HGET', KEYS[1], ARGV[i])
    before[#before + 1] = old or ''
    if not old or tonumber(old) < tonumber(ARGV[i + 1]) then
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    end
end
return before
