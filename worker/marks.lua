-- Raises positions to the maximum of what is stored and what is given; never lowers them.
--
-- KEYS[1]        hash: field "topic/partition", value next offset
-- ARGV           field, written, next offset, field, written, next offset, ...
--
-- A stored position below `written` means that the state lost what came after it: it stays as
-- it is, or the next assignment would take the loss for merged. `written` -1: not known.
-- Returns the positions from before, an empty string where there was none.

local before = {}
for i = 1, #ARGV, 3 do
    local old = redis.call('HGET', KEYS[1], ARGV[i])
    local at = tonumber(old or '-1')
    before[#before + 1] = old or ''
    if at >= tonumber(ARGV[i + 1]) and at < tonumber(ARGV[i + 2]) then
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    end
end
return before
