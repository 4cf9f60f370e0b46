//! The parts of an export. Most members have the names of the columns that they come from.

use chrono::{DateTime, NaiveDate, Utc};
use latchkey_shared::models::{
    audit::{self, Details, ValueChange},
    mail, password_reset, role, session, user,
};
use poem_openapi::{Object, types};
use sea_orm::ActiveEnum as _;

use crate::{
    accounts::{
        data_export::{
            api_token::ExportedApiToken,
            picture::ExportedPicture,
            second_factor::{ExportedRecoveryCode, ExportedTotp},
        },
        user_response::Gender,
    },
    http::user_agent::device_name,
};

/// Everything stored about an account.
#[derive(Debug, Object)]
pub(super) struct AccountExport {
    /// The time of the export.
    exported_at: DateTime<Utc>,
    /// The account and its profile.
    profile: ExportedProfile,
    /// The profile picture.
    picture: Option<ExportedPicture>,
    /// The authenticator app.
    totp: Option<ExportedTotp>,
    /// The recovery codes, without their texts.
    recovery_codes: Vec<ExportedRecoveryCode>,
    /// The stored sessions, ended ones too.
    sessions: Vec<ExportedSession>,
    /// The stored API tokens, ended ones too, without their texts.
    api_tokens: Vec<ExportedApiToken>,
    /// The requests for one-time codes of the last day.
    code_requests: Vec<ExportedCodeRequest>,
    /// What the owner and clients that were not authenticated did.
    activity: Vec<ExportedEvent>,
    /// What staff and operators did with the account.
    audit_events: Vec<ExportedEvent>,
    /// The mails of the last 30 days, without their texts and codes. Mails with a code for a new email are left out: they would
    /// show whether that email has another account.
    mails: Vec<ExportedMail>,
}

/// An account.
#[derive(Debug, Object)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub(super) struct ExportedProfile {
    /// The id of the account.
    id: i64,
    /// The email, as the owner entered it.
    email: types::Email,
    /// When the owner last confirmed the email by a one-time code.
    email_verified_at: Option<DateTime<Utc>>,
    /// When the email replaced another one.
    email_set_at: Option<DateTime<Utc>>,
    /// The last confirmed or registered email, while the current one is not confirmed.
    confirmed_email: Option<types::Email>,
    /// Since when that email belonged to the owner.
    confirmed_email_since: Option<DateTime<Utc>>,
    /// From when the current email gets codes although it is not confirmed.
    email_trusted_from: Option<DateTime<Utc>>,
    /// The name of the owner.
    username: String,
    /// The phone number in E.164 format.
    phone_number: Option<String>,
    /// The date of birth, `YYYY-MM-DD`.
    date_birth: Option<NaiveDate>,
    /// `male`, `female` or null.
    gender: Option<Gender>,
    /// The language of mails, a BCP 47 tag.
    language: Option<String>,
    /// Whether the owner chose the language.
    language_chosen: bool,
    /// Whether the account is activated.
    is_activated: bool,
    /// Whether the owner may activate the account by a one-time code.
    pending_email_verification: bool,
    /// Whether the account is not deactivated.
    is_active: bool,
    /// Whether the account has access to the dashboard.
    is_staff: bool,
    /// Whether the account has every permission.
    is_superuser: bool,
    /// The permissions of a staff account.
    permissions: Vec<String>,
    /// The names of the roles of a staff account.
    roles: Vec<String>,
    /// The time of registration.
    created_at: DateTime<Utc>,
    /// The time of the last successful login.
    last_login_at: Option<DateTime<Utc>>,
    /// When the account is deleted, as the owner asked.
    deletion_at: Option<DateTime<Utc>>,
    /// Since when a login needs a second factor.
    second_factor_at: Option<DateTime<Utc>>,
    /// The import that created the account, if any.
    import: Option<ExportedImport>,
}

impl ExportedProfile {
    pub(super) fn of(
        row: &user::Model,
        roles: &[role::Model],
        import: Option<ExportedImport>,
    ) -> Self {
        let permissions = row.permissions.names();
        Self {
            id: row.id,
            email: types::Email(row.email.to_string()),
            email_verified_at: row.email_verified_at,
            email_set_at: row.email_set_at,
            confirmed_email: row
                .confirmed_email
                .as_ref()
                .map(|email| types::Email(email.to_string())),
            confirmed_email_since: row.confirmed_email_since,
            email_trusted_from: row.email_trusted_from,
            username: row.username.to_string(),
            phone_number: row.phone_number.as_ref().map(ToString::to_string),
            date_birth: row.date_birth,
            gender: row.gender.map(Gender::of),
            language: row.language.as_ref().map(ToString::to_string),
            language_chosen: row.language_chosen,
            is_activated: row.is_activated,
            pending_email_verification: row.pending_email_verification,
            is_active: row.is_active,
            is_staff: row.is_staff,
            is_superuser: row.is_superuser,
            permissions: permissions.into_iter().map(str::to_owned).collect(),
            roles: roles.iter().map(|role| role.name.to_string()).collect(),
            created_at: row.created_at,
            last_login_at: row.last_login_at,
            deletion_at: row.deletion_at,
            second_factor_at: row.second_factor_at,
            import,
        }
    }
}

/// The import that created an account.
#[derive(Debug, Object)]
pub(super) struct ExportedImport {
    /// What the account was imported from: `django` (the database of the original) or `jsonl` (a file).
    pub(super) source: String,
    /// When the account was imported.
    pub(super) imported_at: DateTime<Utc>,
    /// Whether the owner has set another password since.
    pub(super) has_new_password: bool,
}

/// A session.
#[derive(Debug, Object)]
pub(super) struct ExportedSession {
    /// The id of the session.
    id: String,
    /// The `User-Agent` of the login.
    user_agent: Option<String>,
    /// The readable name of the device.
    device_name: Option<String>,
    /// The client IP of the login.
    client_ip: Option<String>,
    /// The time of the login.
    created_at: DateTime<Utc>,
    /// The time of the login or the last refresh.
    last_used_at: DateTime<Utc>,
    /// When the session expires.
    expires_at: DateTime<Utc>,
    /// When the session was ended.
    revoked_at: Option<DateTime<Utc>>,
    /// When the session last proved a second factor.
    second_factor_at: Option<DateTime<Utc>>,
}

impl From<session::Model> for ExportedSession {
    fn from(row: session::Model) -> Self {
        Self {
            id: row.id.to_string(),
            device_name: row.user_agent.as_deref().and_then(device_name),
            user_agent: row.user_agent,
            client_ip: row.client_ip,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            second_factor_at: row.second_factor_at,
        }
    }
}

/// A request for a one-time code.
#[derive(Debug, Object)]
pub(super) struct ExportedCodeRequest {
    /// The id of the request.
    id: String,
    /// The email of the request.
    email: String,
    /// What the code is for: `reset` (a new password), `activation` (of the account) or `email_change` (to confirm an email).
    purpose: String,
    /// The time of the request.
    created_at: DateTime<Utc>,
    /// When the request expires.
    expires_at: DateTime<Utc>,
    /// When the code expires.
    code_expires_at: Option<DateTime<Utc>>,
    /// The number of codes that were entered, right or wrong.
    attempts: i32,
    /// When the right code was entered.
    code_entered_at: Option<DateTime<Utc>>,
    /// When the request was used or superseded.
    ended_at: Option<DateTime<Utc>>,
    /// The browser and the system of the request, if known.
    device: Option<String>,
    /// The email to be confirmed by the code.
    new_email: Option<types::Email>,
    /// The email that the code was sent to, if not `email`.
    sent_to: Option<String>,
}

impl From<password_reset::Model> for ExportedCodeRequest {
    fn from(row: password_reset::Model) -> Self {
        Self {
            id: row.id.to_string(),
            email: row.email_key.as_str().to_owned(),
            purpose: row.purpose.to_value(),
            created_at: row.created_at,
            expires_at: row.expires_at,
            // Hidden until the code was entered: a code that was not sent would show that the email has an account.
            code_expires_at: row
                .code_expires_at
                .filter(|_| row.new_email.is_none() || row.checked_at.is_some()),
            attempts: row.tries,
            code_entered_at: row.checked_at,
            ended_at: row.ended_at,
            device: row.device,
            new_email: row.new_email.map(|email| types::Email(email.to_string())),
            sent_to: row.recipient_key.map(|key| key.as_str().to_owned()),
        }
    }
}

/// A mail.
#[derive(Debug, Object)]
pub(super) struct ExportedMail {
    /// The id of the mail.
    id: String,
    /// What the mail is about, such as `welcome`.
    kind: String,
    /// The address of the recipient.
    recipient: String,
    /// Whether the account had confirmed the email when the mail was created.
    recipient_verified: bool,
    /// The id of the request in `code_requests` that the mail belongs to.
    code_request_id: Option<String>,
    /// When the mail was created.
    created_at: DateTime<Utc>,
    /// The deadline of its delivery.
    deliver_before: DateTime<Utc>,
    /// The state of the delivery: `queued`, `sent`, `failed`, `expired`, `cancelled` or `suppressed`.
    state: String,
    /// The number of delivery attempts.
    attempts: i32,
    /// When the mail server accepted the mail.
    sent_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed, or why the delivery ended.
    last_error: Option<String>,
    /// The Message-ID.
    message_id: String,
    /// The id of the request that caused the mail.
    request_id: String,
    /// The browser and the system of the login that the mail is about, if known.
    device: Option<String>,
    /// The name of the API token that the mail is about.
    api_token_name: Option<String>,
}

impl From<mail::Model> for ExportedMail {
    fn from(row: mail::Model) -> Self {
        Self {
            id: row.id.to_string(),
            kind: row.kind,
            recipient: row.recipient,
            recipient_verified: row.recipient_verified,
            code_request_id: row.reset_id.map(|id| id.to_string()),
            created_at: row.created_at,
            deliver_before: row.deliver_before,
            state: row.state.to_string(),
            attempts: row.attempts,
            sent_at: row.sent_at,
            last_error: row.last_error,
            message_id: row.message_id,
            request_id: row.request_id,
            device: row.device,
            api_token_name: row.api_token_name.map(|name| name.to_string()),
        }
    }
}

/// An event of the audit log.
#[derive(Debug, Object)]
pub(super) struct ExportedEvent {
    /// The number of the event in the audit log.
    number: i64,
    /// The time of the event.
    at: DateTime<Utc>,
    /// The name of the event, such as `authn_login_success`.
    event: String,
    /// `success` or `failure`.
    outcome: String,
    /// `owner`, `anonymous`, `staff` or `operator`.
    actor: String,
    /// The session of the owner that the event is about.
    session_id: Option<String>,
    /// The client IP of the owner or of an anonymous client.
    client_ip: Option<String>,
    /// The id of the request.
    request_id: String,
    /// Details, in a few fixed words.
    detail: Option<String>,
    /// What was changed, a line each. Personal data is given by fingerprints.
    changes: Option<String>,
    /// The name of the account at the time of the event.
    account_name: Option<String>,
    /// The email that the client gave.
    email: Option<String>,
    /// The changed personal data, if it is not erased.
    values: Vec<ExportedValue>,
}

/// The change of a value.
#[derive(Debug, Object)]
pub(super) struct ExportedValue {
    /// The name of the field, as in `/api/user/`.
    field: String,
    /// The value before the change.
    before: Option<String>,
    /// The value after the change.
    after: Option<String>,
}

impl From<ValueChange> for ExportedValue {
    fn from(change: ValueChange) -> Self {
        Self {
            field: change.field,
            before: change.before,
            after: change.after,
        }
    }
}

impl ExportedEvent {
    /// Describes an event to the owner of an account. Leaves out what is known of other persons: staff who acted on the account, and
    /// what a staff member changed in other accounts.
    pub(super) fn of(row: audit::Model, details: Details, owner: i64) -> Self {
        let actor = match row.actor.as_str() {
            "anonymous" => "anonymous",
            "operator" => "operator",
            actor if actor == format!("user {owner}") => "owner",
            _ => "staff",
        };
        let is_by_staff = actor == "staff";
        let is_about_other = actor == "owner" && row.user_id != Some(owner);
        let details = if is_about_other {
            Details::default()
        } else {
            details
        };
        Self {
            number: row.seq,
            at: row.at,
            event: row.event,
            outcome: row.outcome,
            actor: actor.to_owned(),
            session_id: row
                .session_id
                .filter(|_| !is_by_staff)
                .map(|id| id.to_string()),
            client_ip: row.client_ip.filter(|_| !is_by_staff),
            request_id: row.request_id,
            detail: row.detail,
            changes: row.changes.filter(|_| !is_about_other),
            account_name: details.account_name,
            email: details.email,
            values: details.changes.into_iter().map(Into::into).collect(),
        }
    }
}
