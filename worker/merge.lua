-- Merges detections into one object's light curves.
--
-- KEYS[i]      packed string of band i: 48-byte records, sorted by (jd, candid)
-- ARGV[1]      newest records kept per band
-- ARGV[2]      time to live, seconds
-- ARGV[2 + i]  records to merge into KEYS[i], one per candid, sorted by (jd, candid)
--
-- Returns the candids (8 bytes each) whose own values are new here.
--
-- One candid, several values: the detection's own alert wins, then the smaller bytes;
-- known_since (bytes 17-24) becomes the smaller one. Numbers are compared as numbers: the
-- order of strings depends on the server's locale.
--
-- Lua hashes every byte of every string that it makes, so the whole of a long curve is read
-- only where a packet reaches behind its newest records, or to drop the oldest. These are
-- dropped a few at a time: a reader takes the newest ARGV[1].

local SIZE = 48
local OWN = 2
local KEPT = tonumber(ARGV[1])
local LIMIT = (KEPT + math.ceil(KEPT / 16)) * SIZE

local function number(record, at)
    local a, b, c, d, e, f, g, h = string.byte(record, at, at + 7)
    local exponent = (h % 128) * 16 + math.floor(g / 16)
    local mantissa = ((((((g % 16) * 256 + f) * 256 + e) * 256 + d) * 256 + c) * 256 + b) * 256 + a
    if exponent == 0 and mantissa == 0 then
        return 0
    end
    return math.ldexp(1 + mantissa / 4503599627370496, exponent - 1023)
end

local function integer(record)
    local a, b, c, d, e, f, g, h = string.byte(record, 1, 8)
    if h >= 128 then
        h = h - 256
    end
    return ((h * 256 + g) * 256 + f) * 256 + e, ((d * 256 + c) * 256 + b) * 256 + a
end

local function is_own(record)
    return math.floor(string.byte(record, SIZE) / OWN) % 2 == 1
end

local function later(left, right)
    local a, b = number(left, 9), number(right, 9)
    if a ~= b then
        return a > b
    end
    local high_a, low_a = integer(left)
    local high_b, low_b = integer(right)
    if high_a ~= high_b then
        return high_a > high_b
    end
    return low_a > low_b
end

local function smaller_bytes(left, right)
    for i = 1, SIZE do
        if i < 17 or i > 24 then
            local a, b = string.byte(left, i), string.byte(right, i)
            if a ~= b then
                return a < b
            end
        end
    end
    return false
end

local function same_facts(left, right)
    return string.sub(left, 25) == string.sub(right, 25)
        and string.sub(left, 1, 16) == string.sub(right, 1, 16)
end

local function winner(old, new)
    if old == new then
        return old
    end
    local own_old, own_new = is_own(old), is_own(new)
    local best = old
    if own_new ~= own_old then
        if own_new then best = new end
    elseif not same_facts(old, new) and smaller_bytes(new, old) then
        best = new
    end
    local since = string.sub(old, 17, 24)
    if number(new, 17) < number(old, 17) then
        since = string.sub(new, 17, 24)
    end
    return string.sub(best, 1, 16) .. since .. string.sub(best, 25)
end

local function locate(curve, candid)
    local at = string.find(curve, candid, 1, true)
    while at and (at - 1) % SIZE ~= 0 do
        at = string.find(curve, candid, at + 1, true)
    end
    return at
end

local function insert(curve, record)
    local at = #curve
    while at > 0 and later(string.sub(curve, at - SIZE + 1, at), record) do
        at = at - SIZE
    end
    return string.sub(curve, 1, at) .. record .. string.sub(curve, at + 1)
end

local added = {}

-- The curve with what it knew already made better, and the records that are new to it.
local function improved(curve, records)
    local fresh = {}
    for start = 1, #records, SIZE do
        local record = string.sub(records, start, start + SIZE - 1)
        local at = locate(curve, string.sub(record, 1, 8))
        local was_own = false
        if at then
            local old = string.sub(curve, at, at + SIZE - 1)
            was_own = is_own(old)
            record = winner(old, record)
            if record ~= old then
                curve = string.sub(curve, 1, at - 1) .. string.sub(curve, at + SIZE)
                curve = insert(curve, record)
            end
        else
            fresh[#fresh + 1] = record
        end
        if is_own(record) and not was_own then
            added[#added + 1] = string.sub(record, 1, 8)
        end
    end
    return curve, fresh
end

local function follows(curve, fresh)
    return curve == '' or later(fresh[1], string.sub(curve, -SIZE))
end

-- New records, sorted: all at once behind the curve where they are later than all of it.
local function extended(curve, fresh)
    if #fresh == 0 then
        return curve
    elseif follows(curve, fresh) then
        return curve .. table.concat(fresh)
    end
    for _, record in ipairs(fresh) do
        curve = insert(curve, record)
    end
    return curve
end

local function merge_whole(key, before, records)
    local curve = extended(improved(before, records))
    curve = string.sub(curve, math.max(0, #curve - KEPT * SIZE) + 1)
    if curve ~= before then
        redis.call('SET', key, curve, 'EX', ARGV[2])
    else
        redis.call('EXPIRE', key, ARGV[2])
    end
end

local function merge_newest(key, from, before, records)
    local curve, fresh = improved(before, records)
    if curve == before and #fresh > 0 and follows(curve, fresh) then
        redis.call('APPEND', key, table.concat(fresh))
    elseif curve ~= before or #fresh > 0 then
        redis.call('SETRANGE', key, from, extended(curve, fresh))
    end
    if #fresh > 0 then
        -- A string that grew in place holds twice its size; this copies it to fit.
        redis.call('BITOP', 'OR', key, key)
    end
    redis.call('EXPIRE', key, ARGV[2])
end

-- A packet carries its last month: mostly as many of the newest records, and a few new ones.
local function merge(key, records)
    local recent = 2 * #records + 8 * SIZE
    local newest = redis.call('GETRANGE', key, -recent, -1)
    if #newest < recent then
        return merge_whole(key, newest, records)
    end
    local length = redis.call('STRLEN', key)
    if length + #records > LIMIT or later(newest, records) then
        return merge_whole(key, redis.call('GET', key), records)
    end
    merge_newest(key, length - recent, newest, records)
end

for i = 1, #KEYS do
    if ARGV[2 + i] ~= '' then
        merge(KEYS[i], ARGV[2 + i])
    else
        redis.call('EXPIRE', KEYS[i], ARGV[2])
    end
end
return table.concat(added)
