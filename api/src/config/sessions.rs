//! Lifetimes of tokens and sessions.

use std::str::FromStr;

use chrono::TimeDelta;
use latchkey_shared::config::settings::Settings;

use crate::config::{DAY, Switch, lifetime};

const YEAR: i64 = 365 * DAY;

/// Whether staff accounts need a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminSecondFactor {
    /// Each staff member decides.
    Optional,
    /// Without one, staff can only add one.
    Required,
}

impl FromStr for AdminSecondFactor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "optional" => Ok(Self::Optional),
            "required" => Ok(Self::Required),
            _ => Err(()),
        }
    }
}

/// Lifetimes of tokens and sessions.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// `ACCESS_TOKEN_SECONDS`: the lifetime of an access token.
    pub access_token: TimeDelta,
    /// `REFRESH_TOKEN_SECONDS`: the lifetime of a refresh token and of its session.
    pub refresh_token: TimeDelta,
    /// `SESSION_IDLE_SECONDS`: the lifetime of a session without a refresh. Default: `refresh_token`.
    pub idle: TimeDelta,
    /// `ADMIN_SESSION_SECONDS`: the maximum lifetime of a dashboard session.
    pub admin: TimeDelta,
    /// `ADMIN_IDLE_SECONDS`: the lifetime of a dashboard session without a request.
    pub admin_idle: TimeDelta,
    /// `REFRESH_ROTATION`: whether each refresh replaces the refresh token, and a reused one ends the session (RFC 9700,
    /// 4.14.2). If not, a session keeps its refresh token, as clients of the original expect.
    pub rotation: bool,
    /// `REFRESH_COOKIE`: whether pages of trusted origins get the refresh token as a cookie.
    pub refresh_cookie: bool,
    /// `ADMIN_SECOND_FACTOR`: whether staff accounts need a second factor for the dashboard and `/api/admin/`.
    pub admin_second_factor: AdminSecondFactor,
    /// `NEW_DEVICE_MAIL`: whether a login from a new device causes a mail.
    pub new_device_mail: bool,
}

impl SessionSettings {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let access_token = lifetime(settings, "ACCESS_TOKEN_SECONDS", 300, DAY);
        let refresh_token = lifetime(settings, "REFRESH_TOKEN_SECONDS", 864_000, YEAR);
        let default_idle = refresh_token.num_seconds();
        Self {
            access_token,
            refresh_token,
            idle: lifetime(settings, "SESSION_IDLE_SECONDS", default_idle, YEAR),
            // NIST SP 800-63B-4, 2.2.3, allows at most 24 hours and one hour. The defaults are half of that.
            admin: lifetime(settings, "ADMIN_SESSION_SECONDS", 43_200, DAY),
            admin_idle: lifetime(settings, "ADMIN_IDLE_SECONDS", 1_800, DAY),
            rotation: Switch::read(settings, "REFRESH_ROTATION", false),
            refresh_cookie: Switch::read(settings, "REFRESH_COOKIE", false),
            admin_second_factor: settings.choice(
                "ADMIN_SECOND_FACTOR",
                AdminSecondFactor::Optional,
                "optional or required",
            ),
            new_device_mail: Switch::read(settings, "NEW_DEVICE_MAIL", true),
        }
    }
}
