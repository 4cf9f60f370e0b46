-- Counts a mail in the budget of its mailbox unless a limit is exceeded. A repeated call counts the mail once.
--
-- KEYS: sorted sets of mails of one kind to the mailbox, scored by time in ms: the mails in the totals; if the cause is known, the
-- mails from that cause; if there is a reserve, the mails in the reserve. Last, the list of all such sets by the time of their last
-- change; when it is too long, the oldest sets are deleted.
-- ARGV: now in ms; the mail's id; when it may use the reserve after the totals are used up: `never`, `first` (if it is the first
-- of its cause) or `always`; then count and time span in ms of each limit: cause, cooldown, hour, day, reserve. Last, the maximum
-- length of the list.
-- Returns the number of the exceeded limit, in this order from 1 (0 for none), and the ms until it allows another mail.
local CAUSE, COOLDOWN, HOUR, DAY, RESERVE = 1, 2, 3, 4, 5
local now, mail, use = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local list, max = table.remove(KEYS), tonumber(table.remove(ARGV))
local total, cause, reserve = KEYS[1], KEYS[2], KEYS[3]
local kept = 0
for i = 5, #ARGV, 2 do
    kept = math.max(kept, tonumber(ARGV[i]))
end
for _, key in ipairs(KEYS) do
    redis.call('zremrangebyscore', key, '-inf', now - kept)
    redis.call('zrem', key, mail)
end
-- Returns the first of the given limits that a key exceeds, and the ms until it allows another mail.
local function exceeded(key, ...)
    for _, i in ipairs({...}) do
        local limit, span = tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3])
        if key and redis.call('zcount', key, '(' .. now - span, '+inf') >= limit then
            local oldest = redis.call('zrange', key, -limit, -limit, 'withscores')
            return {i, math.max(oldest[2] + span - now, 1)}
        end
    end
end
local counted = total
local refusal = exceeded(cause, CAUSE)
if not refusal then
    refusal = exceeded(total, HOUR, DAY)
    if refusal and reserve and (use == 'always' or use == 'first' and redis.call('zcard', cause) == 0) then
        counted, refusal = reserve, exceeded(reserve, RESERVE)
    end
end
refusal = refusal or exceeded(cause, COOLDOWN)
if refusal then
    return refusal
end
for _, key in ipairs({counted, cause}) do
    redis.call('zadd', key, now, mail)
    redis.call('pexpire', key, kept)
    redis.call('zadd', list, now, key)
end
redis.call('pexpire', list, kept)
redis.call('zremrangebyscore', list, '-inf', now - kept)
local excess = redis.call('zcard', list) - max
if excess > 0 then
    for _, oldest in ipairs(redis.call('zrange', list, 0, excess - 1)) do
        redis.call('del', oldest)
    end
    redis.call('zremrangebyrank', list, 0, excess - 1)
end
return {0, 0}
