-- Claims one candid for a position; the first claim wins, a replay keeps it.
--
-- KEYS[1]        the claim
-- KEYS[2]        the object's emissions
-- ARGV[1]        position
-- ARGV[2]        time to live, seconds
--
-- Returns who holds the claim, then the emissions in turn: member, score.

if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then
    return {ARGV[1], redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')}
end
return {redis.call('GET', KEYS[1]), redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')}
