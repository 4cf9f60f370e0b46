//! Rate limits and lockouts.

use latchkey_shared::config::{
    rate::{self, Rate},
    settings::{Environment, Settings},
};

use crate::config::{Switch, production};

/// All rate limits and lockouts. Each field names its setting.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// `LIMITS`: whether any limit applies.
    pub enabled: bool,
    /// `LIMIT_LOGIN_IP`: logins from one client IP.
    pub login_ip: Rate,
    /// `LIMIT_REGISTER_IP`: attempts to register from one client IP.
    pub register_ip: Rate,
    /// `LIMIT_RESET_IP`: requests for a code from one client IP.
    pub reset_ip: Rate,
    /// `LIMIT_OTP_IP`: attempts to enter a code from one client IP.
    pub otp_ip: Rate,
    /// `LIMIT_OTP_EMAIL`: wrong codes for one email, over all its codes.
    pub otp_email: Rate,
    /// `LIMIT_OTP_EMAIL_IP`: wrong codes for one email from one network (an IPv4 address or an IPv6 /48).
    pub otp_email_ip: Rate,
    /// `LIMIT_RESET_PASSWORD_IP`: new passwords sent with reset tokens from one client IP.
    pub reset_password_ip: Rate,
    /// `LIMIT_PASSWORD_CHANGE`: attempts to change the password of one account.
    pub password_change: Rate,
    /// `LIMIT_EMAIL_CHANGE`: attempts to change the email of one account.
    pub email_change: Rate,
    /// `LIMIT_EXPORT`: exports of one account by its owner.
    pub export: Rate,
    /// `LIMIT_INVITATION`: accounts created, and invitations sent again, by one staff member.
    pub invitation: Rate,
    /// `LIMIT_PICTURE_ACCOUNT`: pictures uploaded by one account.
    pub picture_account: Rate,
    /// `LIMIT_PICTURE_IP`: pictures uploaded from one client IP.
    pub picture_ip: Rate,
    /// `LIMIT_LOGIN_FREE_FAILURES`: failed logins of one account without a delay.
    pub free_failures: u32,
    /// `LIMIT_LOGIN_FAILURES`: failed logins of one account before it is locked until a password reset.
    pub max_failures: u32,
    /// `LIMIT_MAX_COUNTERS`: maximum number of counters in Redis of client networks and of emails without an account, of each
    /// lifetime.
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
            export: Rate::new(5, 3600),
            invitation: Rate::new(60, 3600),
            picture_account: Rate::new(20, 3600),
            picture_ip: Rate::new(60, 3600),
            free_failures: 5,
            max_failures: 100,
            max_counters: 100_000,
        }
    }
}

impl Rates {
    pub(super) fn read(settings: &mut Settings, environment: Environment) -> Self {
        let default = Self::default();
        let enabled = Switch::read(settings, "LIMITS", true);
        let is_checked = enabled && environment == Environment::Production;
        let mut rate = |key: &str, default: Rate| {
            let rate = settings.parse(key, default, rate::EXPECTED);
            if is_checked {
                production::check_rate(settings, key, rate, default);
            }
            rate
        };
        let mut rates = Self {
            enabled,
            login_ip: rate("LIMIT_LOGIN_IP", default.login_ip),
            register_ip: rate("LIMIT_REGISTER_IP", default.register_ip),
            reset_ip: rate("LIMIT_RESET_IP", default.reset_ip),
            otp_ip: rate("LIMIT_OTP_IP", default.otp_ip),
            otp_email: rate("LIMIT_OTP_EMAIL", default.otp_email),
            otp_email_ip: rate("LIMIT_OTP_EMAIL_IP", default.otp_email_ip),
            reset_password_ip: rate("LIMIT_RESET_PASSWORD_IP", default.reset_password_ip),
            password_change: rate("LIMIT_PASSWORD_CHANGE", default.password_change),
            email_change: rate("LIMIT_EMAIL_CHANGE", default.email_change),
            export: rate("LIMIT_EXPORT", default.export),
            invitation: rate("LIMIT_INVITATION", default.invitation),
            picture_account: rate("LIMIT_PICTURE_ACCOUNT", default.picture_account),
            picture_ip: rate("LIMIT_PICTURE_IP", default.picture_ip),
            ..default
        };
        for (key, value, range) in [
            (
                "LIMIT_LOGIN_FREE_FAILURES",
                &mut rates.free_failures,
                1..=1_000_000,
            ),
            (
                "LIMIT_LOGIN_FAILURES",
                &mut rates.max_failures,
                1..=1_000_000,
            ),
            (
                "LIMIT_MAX_COUNTERS",
                &mut rates.max_counters,
                100..=10_000_000,
            ),
        ] {
            *value = settings.within(key, *value, range);
        }
        if is_checked {
            production::check_failures(settings, &rates);
        }
        rates
    }
}
