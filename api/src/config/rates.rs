//! The numbers of all limits by request.

use latchkey_shared::config::rate::Rate;

/// All numbers, each with its variable.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// `LIMITS`: whether anything is limited at all.
    pub enabled: bool,
    /// `LIMIT_LOGIN_IP`: logins from one address.
    pub login_ip: Rate,
    /// `LIMIT_REGISTER_IP`: registrations tried from one address.
    pub register_ip: Rate,
    /// `LIMIT_RESET_IP`: requests for a code from one address.
    pub reset_ip: Rate,
    /// `LIMIT_OTP_IP`: codes tried from one address.
    pub otp_ip: Rate,
    /// `LIMIT_OTP_EMAIL`: wrong codes for one mailbox, whatever reset they are tried for.
    pub otp_email: Rate,
    /// `LIMIT_OTP_EMAIL_IP`: the same from one client IP.
    pub otp_email_ip: Rate,
    /// `LIMIT_RESET_PASSWORD_IP`: new passwords sent with reset tokens from one client IP.
    pub reset_password_ip: Rate,
    /// `LIMIT_PASSWORD_CHANGE`: password changes tried for one account.
    pub password_change: Rate,
    /// `LIMIT_EMAIL_CHANGE`: changes of the address tried for one account.
    pub email_change: Rate,
    /// `LIMIT_PICTURE_ACCOUNT`: pictures uploaded by one account.
    pub picture_account: Rate,
    /// `LIMIT_PICTURE_IP`: pictures uploaded from one client IP.
    pub picture_ip: Rate,
    /// `LIMIT_LOGIN_FREE_FAILURES`: failed logins of one account before waits begin.
    pub free_failures: u32,
    /// `LIMIT_LOGIN_FAILURES`: failed logins of one account before it needs a reset by mail.
    pub most_failures: u32,
    /// `LIMIT_MAX_COUNTERS`: counters of client networks and of addresses without an account in Redis, of each lifetime.
    pub max_counters: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            enabled: true,
            login_ip: Rate::new(60, 60),
            register_ip: Rate::new(60, 3600),
            reset_ip: Rate::new(30, 3600),
            otp_ip: Rate::new(60, 60),
            otp_email: Rate::new(20, 86_400),
            otp_email_ip: Rate::new(10, 86_400),
            reset_password_ip: Rate::new(60, 60),
            password_change: Rate::new(10, 3600),
            email_change: Rate::new(10, 3600),
            picture_account: Rate::new(20, 3600),
            picture_ip: Rate::new(60, 3600),
            free_failures: 5,
            most_failures: 100,
            max_counters: 100_000,
        }
    }
}
