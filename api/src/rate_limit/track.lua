-- Limits how many counters clients can create in Redis. Shared by the scripts that increment counters.
--
-- A list for each lifetime orders counters by their last update. If it is full, the oldest counter is evicted. A counter that
-- exists and is on no list belongs to an account and is never evicted. The number and order of the commands are the same for
-- every counter, so that they do not reveal which email has an account (N1, N2).
--
-- existed: whether the counter existed before this request. has_account: whether it is known to belong to an account.
-- lists: the prefix of the lists, which their lifetime in s follows. max: the maximum length of a list.
local function track(key, existed, has_account, ttl, now, lists, max, lockouts)
    local list = lists .. ttl
    -- A margin of a minute: Redis measures the lifetime of counters with its own clock.
    redis.call('zremrangebyscore', list, '-inf', now - ttl * 1000 - 60000)
    local listed = redis.call('zscore', list, key)
    local keep = has_account or (existed and not listed)
    redis.call('zadd', list, now, key)
    redis.call('zrem', list, keep and key or '')
    local oldest = redis.call('zrange', list, 0, 0)[1]
    if redis.call('zcard', list) <= max then
        oldest = ''
    end
    redis.call('zrem', list, oldest)
    redis.call('zrem', lockouts, oldest)
    redis.call('del', oldest)
    redis.call('expire', list, ttl + 60)
end
