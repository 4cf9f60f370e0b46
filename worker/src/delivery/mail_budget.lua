-- Asks whether a mail fits into the budget of its mailbox and, if so, counts it. A mail that asks again is counted once.
--
-- KEYS: the mails of its kind to its mailbox that the totals count; where its cause is known, those from its cause; where it has a
-- reserve, those that the reserve counts. All are sorted sets by moment.
-- ARGV: now in ms; the mail; whether it may use the reserve when the totals are full: `never`, `first` (if it is the first of its
-- cause) or `always`; then limit and span in ms of: the cause, the cause's pause, the total of an hour, the total of a day, the
-- reserve.
-- Returns which limit refuses it, in this order from 1 (0 for none), and for how many ms.
local CAUSE, COOLDOWN, HOUR, DAY, RESERVE = 1, 2, 3, 4, 5
local now, mail, use = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local total, cause, reserve = KEYS[1], KEYS[2], KEYS[3]
local kept = 0
for i = 5, #ARGV, 2 do
    kept = math.max(kept, tonumber(ARGV[i]))
end
for _, key in ipairs(KEYS) do
    redis.call('zremrangebyscore', key, '-inf', now - kept)
    redis.call('zrem', key, mail)
end
-- The first of these limits that a key has reached, and for how many ms.
local function reached(key, ...)
    for _, i in ipairs({...}) do
        local limit, span = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
        if key and redis.call('zcount', key, '(' .. now - span, '+inf') >= limit then
            local oldest = redis.call('zrange', key, -limit, -limit, 'withscores')
            return {i, math.max(oldest[2] + span - now, 1)}
        end
    end
end
local counted = total
local refusal = reached(cause, CAUSE)
if not refusal then
    refusal = reached(total, HOUR, DAY)
    if refusal and reserve and (use == 'always' or use == 'first' and redis.call('zcard', cause) == 0) then
        counted, refusal = reserve, reached(reserve, RESERVE)
    end
end
refusal = refusal or reached(cause, COOLDOWN)
if refusal then
    return refusal
end
for _, key in ipairs({counted, cause}) do
    redis.call('zadd', key, now, mail)
    redis.call('pexpire', key, kept)
end
return {0, 0}
