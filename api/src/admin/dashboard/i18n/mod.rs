//! Translations of the dashboard. Every text has an English and an Arabic version, which the macro enforces.

/// Defines the texts of a module: `ENGLISH` and `ARABIC`, two values of `Texts`.
macro_rules! texts {
    ($($name:ident: $english:literal | $arabic:literal;)*) => {
        /// The texts of one language.
        #[expect(missing_docs, reason = "the names say it")]
        pub struct Texts {
            $(pub $name: &'static str,)*
        }

        /// The English texts.
        pub static ENGLISH: Texts = Texts { $($name: $english,)* };

        /// The Arabic texts.
        pub static ARABIC: Texts = Texts { $($name: $arabic,)* };
    };
}

pub mod api_tokens;
mod mail_kinds;
pub mod second_factor;
mod texts;

use latchkey_shared::{
    models::{mail::MailState, password_reset::Stage},
    types::permission::{Permission, Permissions},
};

use crate::admin::dashboard::account_status::AccountStatus;
use crate::http::{
    error::{ApiError, ClockError, problem::FieldError},
    user_agent::DeviceName,
};

pub use self::texts::{ARABIC, ENGLISH, Texts};

impl Texts {
    /// Returns the texts of the pages about API tokens.
    #[must_use]
    pub fn api_tokens(&self) -> &'static api_tokens::Texts {
        match self.code {
            "ar" => &api_tokens::ARABIC,
            _ => &api_tokens::ENGLISH,
        }
    }

    /// Returns the texts about second factors.
    #[must_use]
    pub fn factors(&self) -> &'static second_factor::Texts {
        match self.code {
            "ar" => &second_factor::ARABIC,
            _ => &second_factor::ENGLISH,
        }
    }

    /// Returns the text of a flash message.
    #[must_use]
    pub fn flash(&self, key: &str) -> Option<&'static str> {
        Some(match key {
            "created" => self.flash_created,
            "created_and_invited" => self.flash_created_and_invited,
            "invited" => self.flash_invited,
            "activated" => self.flash_activated,
            "deactivated" => self.flash_deactivated,
            "deleted" => self.flash_deleted,
            "sessions_ended" => self.flash_sessions_ended,
            "reset_requested" => self.flash_reset_requested,
            "saved" => self.flash_saved,
            "session_ended" => self.flash_session_ended,
            "unlocked" => self.flash_unlocked,
            "mail_queued" => self.flash_mail_queued,
            "mails_queued" => self.flash_mails_queued,
            "mail_cancelled" => self.flash_mail_cancelled,
            "password_changed" => self.flash_password_changed,
            "email_changed" => self.flash_email_changed,
            "email_change_expired" => self.flash_email_change_expired,
            "email_trusted" => self.flash_email_trusted,
            "factor_removed" => self.flash_factor_removed,
            "sign_in_expired" => self.flash_sign_in_expired,
            "none_selected" => self.flash_none_selected,
            "password_reset" => self.flash_password_reset,
            "reset_expired" => self.error_reset_expired,
            "api_token_revoked" => self.api_tokens().flash_revoked,
            "signed_out" => self.flash_signed_out,
            "set_up" => self.flash_set_up,
            _ => return None,
        })
    }

    /// Returns the reason of a lockout, by the name of its limit.
    #[must_use]
    pub fn lockout_reason(&self, limit: &str) -> &'static str {
        match limit {
            "login" => self.limit_login,
            "register" => self.limit_register,
            "reset" => self.limit_reset,
            "otp" | "otp-ip" => self.limit_otp,
            "reset-password" => self.limit_reset_password,
            "change" | "change_failed_attempts" => self.limit_change,
            "second_factor_failed_attempts" => self.limit_second_factor,
            "address" => self.limit_address,
            "invitation" => self.limit_invitation,
            "picture" => self.limit_picture,
            "export" => self.limit_export,
            _ => self.limit_failed_attempts,
        }
    }

    /// Returns the name of an account's status.
    #[must_use]
    pub fn account_status(&self, status: AccountStatus) -> &'static str {
        match status {
            AccountStatus::PendingApproval => self.pending_approval,
            AccountStatus::PendingVerification => self.pending_verification,
            AccountStatus::Active => self.active,
            AccountStatus::Deactivated => self.deactivated,
        }
    }

    /// Returns the name of a kind of mail.
    #[must_use]
    pub fn mail_kind(&self, kind: &str) -> &'static str {
        mail_kinds::find(kind, self.code)
    }

    /// Returns the name of a mail's state.
    #[must_use]
    pub fn mail_state(&self, state: &MailState) -> &'static str {
        match state {
            MailState::Queued => self.mail_queued,
            MailState::Sent => self.mail_sent,
            MailState::Failed => self.mail_failed,
            MailState::Expired => self.mail_expired,
            MailState::Cancelled => self.mail_cancelled,
            MailState::Suppressed => self.mail_suppressed,
        }
    }

    /// Returns the name of a password reset's state.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &'static str {
        match stage {
            Stage::Open => self.stage_open,
            Stage::Checked => self.stage_checked,
            Stage::Used => self.stage_used,
            Stage::Superseded => self.stage_superseded,
            Stage::Expired => self.stage_expired,
        }
    }

    /// Returns the name of a permission.
    #[must_use]
    pub fn permission(&self, permission: Permission) -> &'static str {
        match permission {
            Permission::ViewUsers => self.permission_view_users,
            Permission::AddUsers => self.permission_add_users,
            Permission::ChangeUsers => self.permission_change_users,
            Permission::DeleteUsers => self.permission_delete_users,
            Permission::ExportUsers => self.permission_export_users,
            Permission::Mails => self.permission_mails,
            Permission::Audit => self.permission_audit,
        }
    }

    /// Returns the names of permissions, in a list for readers.
    #[must_use]
    pub fn permissions_of(&self, permissions: &Permissions) -> String {
        let names: Vec<_> = permissions.iter().map(|it| self.permission(it)).collect();
        if names.is_empty() {
            return self.none.to_owned();
        }
        names.join(self.comma)
    }

    /// Returns the name of the device with this `User-Agent`.
    #[must_use]
    pub fn device(&self, user_agent: Option<&str>) -> String {
        let Some(name) = user_agent.and_then(DeviceName::parse) else {
            return self.unknown_device.to_owned();
        };
        match name {
            DeviceName::Program(program, Some(system)) if self.code == "ar" => {
                format!("{program} على {system}")
            }
            DeviceName::App(system) if self.code == "ar" => format!("تطبيق على {system}"),
            DeviceName::Library(library, system) if self.code == "ar" => {
                format!("{library} (تطبيق {system})")
            }
            name => name.to_string(),
        }
    }

    /// Returns the message about a wrong second factor.
    #[must_use]
    pub fn wrong_factor(&self, clock: Option<ClockError>) -> String {
        let Some(clock) = clock else {
            return self.error_invalid_factor.to_owned();
        };
        let text = if clock.is_slow() {
            self.factors().clock_slow
        } else {
            self.factors().clock_fast
        };
        text.replace("{n}", &clock.minutes().to_string())
    }

    /// Returns the message of an error.
    #[must_use]
    pub fn error(&self, error: &ApiError) -> &'static str {
        match error {
            ApiError::NotPermitted => self.error_not_permitted,
            ApiError::FormExpired => self.error_form_expired,
            ApiError::NotFound | ApiError::MethodNotAllowed => self.error_not_found,
            ApiError::OwnAccount => self.error_own_account,
            ApiError::LastSuperuser => self.error_last_superuser,
            ApiError::InvalidState(_) | ApiError::TotpExists => self.error_invalid_state,
            ApiError::EditConflict => self.error_edit_conflict,
            ApiError::EmailTaken => self.error_email_taken,
            ApiError::WrongPassword => self.wrong_password,
            ApiError::InvalidCredentials => self.wrong_sign_in,
            ApiError::InvalidOtp => self.error_invalid_code,
            ApiError::InvalidSecondFactor(_) => self.error_invalid_factor,
            ApiError::NoSecondFactor => self.error_no_factor,
            ApiError::NoPendingTotp => self.error_no_pending_totp,
            ApiError::InvalidResetToken => self.error_reset_expired,
            ApiError::Unavailable(_) | ApiError::Undecided(_) | ApiError::Busy => {
                self.error_unavailable
            }
            _ => self.error_other,
        }
    }

    /// Returns the message of a field error. The English one is that of the API; the Arabic ones depend on the code only.
    #[must_use]
    pub fn field(&self, error: &FieldError) -> String {
        if self.code == "en" {
            return error.detail.clone();
        }
        match error.code.as_str() {
            "required" | "blank" | "null" => self.field_required,
            "too_long" => self.field_too_long,
            "too_short" => self.field_too_short,
            "too_common" => self.field_too_common,
            "breached" => self.field_breached,
            "too_similar" => self.field_too_similar,
            "out_of_range" => self.field_out_of_range,
            "single" => self.field_single_account,
            "taken" => self.error_email_taken,
            "name_taken" => self.role_name_taken,
            "token_name_taken" => self.api_tokens().name_taken,
            "too_many_tokens" => self.api_tokens().at_maximum,
            "differ" => self.passwords_differ,
            "wrong" => self.wrong_password,
            "own_email" => self.error_own_email,
            _ => self.field_invalid,
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_is_named_in_both_languages() {
        let mozilla = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        for (user_agent, english, arabic) in [
            (Some(mozilla), "Firefox on Linux", "Firefox على Linux"),
            (
                Some("Dalvik/2.1.0 (Linux; U; Android 14)"),
                "App on Android",
                "تطبيق على Android",
            ),
            (
                Some("okhttp/4.12.0"),
                "okhttp (Android app)",
                "okhttp (تطبيق Android)",
            ),
            (Some("curl/8.5.0"), "curl", "curl"),
            (Some(""), "Unknown device", "جهاز غير معروف"),
            (None, "Unknown device", "جهاز غير معروف"),
        ] {
            assert_eq!(ENGLISH.device(user_agent), english);
            assert_eq!(ARABIC.device(user_agent), arabic);
        }
    }
}
