-- Asks whether a mail fits into the budget of its mailbox and, if so, counts it. A mail that asks again is counted once.
--
-- KEYS: the mails of its kind to its mailbox and, where its cause is known, those from its cause; sorted sets by moment.
-- ARGV: now in ms; the mail; whether it may exceed what all causes have together: `never`, `first` (if it is the first of its
-- cause) or `always`, which doubles the totals; then limit and span in ms of: the cause, the cause's pause, all causes in an
-- hour, all causes in a day.
-- Returns which limit refuses it, in this order from 1 (0 for none), and for how many ms.
local now, mail, exceeds = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local total, cause = KEYS[1], KEYS[2]
local kept = 0
for i = 5, #ARGV, 2 do
    kept = math.max(kept, tonumber(ARGV[i]))
end
for _, key in ipairs(KEYS) do
    redis.call('zremrangebyscore', key, '-inf', now - kept)
    redis.call('zrem', key, mail)
end
local function wait(key, i, factor)
    local limit, span = tonumber(ARGV[2 * i + 2]) * factor, tonumber(ARGV[2 * i + 3])
    if not key or redis.call('zcount', key, '(' .. now - span, '+inf') < limit then
        return 0
    end
    local oldest = redis.call('zrange', key, -limit, -limit, 'withscores')
    return math.max(oldest[2] + span - now, 1)
end
if exceeds == 'first' and cause and redis.call('zcard', cause) == 0 then
    exceeds = 'always'
end
-- A mail that may exceed the totals gets twice these totals, so that the mails to one mailbox stay bounded.
local factor = exceeds == 'always' and 2 or 1
local asked = {{1, cause, 1}, {3, total, factor}, {4, total, factor}, {2, cause, 1}}
for _, one in ipairs(asked) do
    local ms = wait(one[2], one[1], one[3])
    if ms > 0 then
        return {one[1], ms}
    end
end
for _, key in ipairs(KEYS) do
    redis.call('zadd', key, now, mail)
    redis.call('pexpire', key, kept)
end
return {0, 0}
