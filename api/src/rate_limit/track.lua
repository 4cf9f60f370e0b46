-- Shared by the scripts that raise counters: bounds how many counters clients can make Redis keep.
--
-- Each lifetime has a list of counters, by the moment when they were last raised. A counter that is too many takes the place of
-- the oldest one, which is deleted. A counter that exists and is on no list belongs to an account and is never deleted. The
-- number and order of the commands are the same for every counter, so they do not tell which address has an account (N1, N2).
--
-- existed: whether there was such a counter before this request. has_account: whether it is known to belong to an account.
-- lists: the beginning of the lists' names, to which the lifetime in s belongs. max: how long one list may be.
local function track(key, existed, has_account, kept, now, lists, max, lockouts)
    local list = lists .. kept
    -- A minute more than the counters have: their lifetime is measured by another clock.
    redis.call('zremrangebyscore', list, '-inf', now - kept * 1000 - 60000)
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
    redis.call('expire', list, kept + 60)
end
