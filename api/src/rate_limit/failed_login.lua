-- Records a failed login. Runs the same commands whether or not the email has an account. Only the lifetimes differ, and that no
-- list tracks the counters of an account.
--
-- KEYS: the failures and the failed attempts of the email, the list of lockouts.
-- ARGV: now in ms; 1 if the email has an account; the number of failures that locks it; the number of failures without a delay;
-- lifetimes of failures in s: of an email without an account, of an account without a delay, and beyond; the lifetime of failed
-- attempts in s; the prefix of the lists of counters; the maximum length of such a list.
local key, failed_attempts, lockouts = KEYS[1], KEYS[2], KEYS[3]
local now, has_account = tonumber(ARGV[1]), ARGV[2] == '1'
local limit, free = tonumber(ARGV[3]), tonumber(ARGV[4])
local lists, max = ARGV[9], tonumber(ARGV[10])
local existed = redis.call('exists', key) == 1
local failures = redis.call('hincrby', key, 'failures', 1)
if failures >= limit then
    redis.call('hset', key, 'until', now + 3650 * 86400000)
end
if has_account and failures >= limit then
    redis.call('persist', key)
elseif has_account then
    redis.call('expire', key, ARGV[failures < free and 6 or 7])
else
    redis.call('expire', key, ARGV[5])
end
track(key, existed, has_account, ARGV[5], now, lists, max, lockouts)
track(failed_attempts, redis.call('exists', failed_attempts) == 1, has_account, ARGV[8], now, lists, max, lockouts)
