//! Settings of registration, deletion, one-time codes and profile pictures.

use std::{path::PathBuf, str::FromStr};

use chrono::TimeDelta;
use latchkey_shared::config::settings::Settings;

use crate::config::{DAY, Switch, lifetime};

/// Settings of registration, deletion, one-time codes and profile pictures.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// `ACTIVATION`: who activates new accounts.
    pub activation: Activation,
    /// `REGISTRATION_PRIVACY`: whether a registration hides that an email is taken.
    pub registration_privacy: bool,
    /// `EMAIL_CHANGE`: when a change of the email takes effect.
    pub email_change: EmailChange,
    /// `RESET_SECONDS`: the lifetime of a password reset or an activation by code, from its request on.
    pub reset_lifetime: TimeDelta,
    /// `OTP_TRIES`: the number of wrong codes that ends a password reset or an activation.
    pub max_otp_attempts: i32,
    /// `ACCOUNT_DELETION_DAYS`: the time between an owner's request to delete the account and the deletion.
    pub deletion_grace: TimeDelta,
    /// `MEDIA_DIR`: the folder of the profile pictures.
    pub media_dir: PathBuf,
    /// `PICTURE_MAX_SIZE`: maximum length of the longer side of a stored picture, in pixels.
    pub picture_max_size: u32,
}

/// Who activates a new account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// An administrator.
    Admin,
    /// The account owner, by an emailed code, or an administrator.
    Email,
    /// New accounts are active at once.
    None,
}

impl FromStr for Activation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "admin" => Ok(Self::Admin),
            "email" => Ok(Self::Email),
            "none" => Ok(Self::None),
            _ => Err(()),
        }
    }
}

/// When a change of the email by the account owner takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailChange {
    /// At once, without the password, as in the original. Staff have to confirm in any case.
    Immediate,
    /// Once the owner has confirmed the new email by the password and a mailed code.
    Confirm,
}

impl FromStr for EmailChange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "immediate" => Ok(Self::Immediate),
            "confirm" => Ok(Self::Confirm),
            _ => Err(()),
        }
    }
}

impl AccountSettings {
    pub(super) fn read(settings: &mut Settings) -> Self {
        Self {
            activation: settings.choice("ACTIVATION", Activation::Admin, "admin, email or none"),
            registration_privacy: Switch::read(settings, "REGISTRATION_PRIVACY", false),
            email_change: settings.choice(
                "EMAIL_CHANGE",
                EmailChange::Immediate,
                "immediate or confirm",
            ),
            reset_lifetime: lifetime(settings, "RESET_SECONDS", 600, DAY),
            max_otp_attempts: settings.within("OTP_TRIES", 5, 1..=10),
            deletion_grace: TimeDelta::days(settings.within("ACCOUNT_DELETION_DAYS", 7, 0..=365)),
            media_dir: settings
                .text("MEDIA_DIR")
                .map_or_else(|| PathBuf::from("var/media"), PathBuf::from),
            picture_max_size: settings.within("PICTURE_MAX_SIZE", 512, 64..=1024),
        }
    }
}
