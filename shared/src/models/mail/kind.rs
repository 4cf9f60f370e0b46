//! Kinds of mails, with their priorities and budgets.

use std::str::FromStr;

use crate::models::password_reset::Purpose;

/// The priority of a mail. Each priority has its own queue, and normal mails never occupy a whole worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// One-time codes, which users wait for.
    High,
    /// Notifications. One bulk action can cause thousands of them.
    Normal,
}

impl Priority {
    /// All priorities, the highest first.
    pub const ALL: [Self; 2] = [Self::High, Self::Normal];

    /// Returns the name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
        }
    }
}

/// What a mail tells its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailKind {
    /// The one-time code of a password reset.
    ResetCode,
    /// The password was changed.
    PasswordChanged,
    /// The account was created and is pending activation.
    Welcome,
    /// The account was activated.
    Activated,
    /// A replaced refresh token was used again, so the session was revoked.
    TokenReused,
    /// A client tried to register with the address of an existing account.
    AddressTaken,
    /// An administrator requests a password reset.
    ResetAsked,
    /// Staff created the account. Its owner has to set a password.
    Invitation,
    /// The account's email was changed to a confirmed one. This mail goes to the previous address.
    EmailChanged,
    /// The account's email was changed to one that is not confirmed. This mail goes to the email that still gets codes.
    EmailUnconfirmed,
    /// Staff changed the account's email, and thereby ended its sessions. This mail goes to the email that gets codes for another day.
    EmailChangedByStaff,
    /// The account has the email again that got codes meanwhile. This mail goes to that email.
    EmailRestored,
    /// The owner asked for a change of the email. This mail goes to the current address, with a link that cancels the change.
    EmailChangeRequested,
    /// The requested change of the email was cancelled by the link. This mail goes to the current address.
    EmailChangeCancelled,
    /// The one-time code by which the account owner activates the account.
    ActivationCode,
    /// The one-time code by which the account owner confirms a new email. This mail goes to that email.
    EmailCode,
    /// A new device has logged in.
    NewDevice,
    /// An API token of the account was created.
    ApiTokenCreated,
    /// The owner asked for the deletion of the account, which a login cancels.
    DeletionScheduled,
    /// A login cancelled the deletion of the account.
    DeletionCancelled,
    /// The account was deleted at the request of its owner.
    AccountDeleted,
    /// A second factor was added to the account.
    SecondFactorAdded,
    /// The account has no second factor any more.
    SecondFactorRemoved,
    /// A recovery code was used.
    RecoveryCodeUsed,
    /// The recovery codes were replaced.
    RecoveryCodesReplaced,
}

impl MailKind {
    /// All kinds.
    pub const ALL: [Self; 25] = [
        Self::ResetCode,
        Self::PasswordChanged,
        Self::Welcome,
        Self::Activated,
        Self::TokenReused,
        Self::AddressTaken,
        Self::ResetAsked,
        Self::Invitation,
        Self::EmailChanged,
        Self::EmailUnconfirmed,
        Self::EmailChangedByStaff,
        Self::EmailRestored,
        Self::EmailChangeRequested,
        Self::EmailChangeCancelled,
        Self::ActivationCode,
        Self::EmailCode,
        Self::NewDevice,
        Self::ApiTokenCreated,
        Self::DeletionScheduled,
        Self::DeletionCancelled,
        Self::AccountDeleted,
        Self::SecondFactorAdded,
        Self::SecondFactorRemoved,
        Self::RecoveryCodeUsed,
        Self::RecoveryCodesReplaced,
    ];

    /// Returns the name in the row.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResetCode => "reset_code",
            Self::PasswordChanged => "password_changed",
            Self::Welcome => "welcome",
            Self::Activated => "activated",
            Self::TokenReused => "token_reused",
            Self::AddressTaken => "address_taken",
            Self::ResetAsked => "reset_asked",
            Self::Invitation => "invitation",
            Self::EmailChanged => "email_changed",
            Self::EmailUnconfirmed => "email_unconfirmed",
            Self::EmailChangedByStaff => "email_changed_by_staff",
            Self::EmailRestored => "email_restored",
            Self::EmailChangeRequested => "email_change_requested",
            Self::EmailChangeCancelled => "email_change_cancelled",
            Self::ActivationCode => "activation_code",
            Self::EmailCode => "email_code",
            Self::NewDevice => "new_device",
            Self::ApiTokenCreated => "api_token_created",
            Self::DeletionScheduled => "deletion_scheduled",
            Self::DeletionCancelled => "deletion_cancelled",
            Self::AccountDeleted => "account_deleted",
            Self::SecondFactorAdded => "second_factor_added",
            Self::SecondFactorRemoved => "second_factor_removed",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::RecoveryCodesReplaced => "recovery_codes_replaced",
        }
    }

    /// Returns the kind of mail that carries the one-time code of a purpose.
    #[must_use]
    pub fn of_code(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Reset => Self::ResetCode,
            Purpose::Activation => Self::ActivationCode,
            Purpose::EmailChange => Self::EmailCode,
        }
    }

    /// Returns the purpose of the one-time code that the mail carries, if any. Such a mail names a request and no account;
    /// the worker finds the account.
    #[must_use]
    pub fn purpose(self) -> Option<Purpose> {
        match self {
            Self::ResetCode => Some(Purpose::Reset),
            Self::ActivationCode => Some(Purpose::Activation),
            Self::EmailCode => Some(Purpose::EmailChange),
            _ => None,
        }
    }

    /// Returns whether the account of the mail no longer exists when the mail is sent. The row then has all that the worker needs.
    #[must_use]
    pub fn outlives_account(self) -> bool {
        self == Self::AccountDeleted
    }

    /// Returns what the budget of a mailbox counts separately for this kind. Kinds that any client can cause for any address
    /// count per client network, so that an attacker exhausts only the share of the attacker's network. The others count per
    /// account.
    #[must_use]
    pub fn budget_cause(self) -> BudgetCause {
        match self {
            Self::ResetCode
            | Self::ActivationCode
            | Self::EmailCode
            | Self::Welcome
            | Self::Activated
            | Self::AddressTaken => BudgetCause::CustomerNetwork,
            Self::PasswordChanged
            | Self::TokenReused
            | Self::ResetAsked
            | Self::Invitation
            | Self::EmailChanged
            | Self::EmailUnconfirmed
            | Self::EmailChangedByStaff
            | Self::EmailRestored
            | Self::EmailChangeRequested
            | Self::EmailChangeCancelled
            | Self::NewDevice
            | Self::ApiTokenCreated
            | Self::DeletionScheduled
            | Self::DeletionCancelled
            | Self::AccountDeleted
            | Self::SecondFactorAdded
            | Self::SecondFactorRemoved
            | Self::RecoveryCodeUsed
            | Self::RecoveryCodesReplaced => BudgetCause::Account,
        }
    }

    /// Returns whether any client can cause this mail to the same account repeatedly, by requests for codes, registrations with
    /// its email, or changes of another account's email.
    #[must_use]
    pub fn is_repeatable_by_anyone(self) -> bool {
        match self {
            Self::ResetCode | Self::ActivationCode | Self::EmailCode | Self::AddressTaken => true,
            Self::Welcome
            | Self::Activated
            | Self::PasswordChanged
            | Self::TokenReused
            | Self::ResetAsked
            | Self::Invitation
            | Self::EmailChanged
            | Self::EmailUnconfirmed
            | Self::EmailChangedByStaff
            | Self::EmailRestored
            | Self::EmailChangeRequested
            | Self::EmailChangeCancelled
            | Self::NewDevice
            | Self::ApiTokenCreated
            | Self::DeletionScheduled
            | Self::DeletionCancelled
            | Self::AccountDeleted
            | Self::SecondFactorAdded
            | Self::SecondFactorRemoved
            | Self::RecoveryCodeUsed
            | Self::RecoveryCodesReplaced => false,
        }
    }

    /// Returns the priority.
    #[must_use]
    pub fn priority(self) -> Priority {
        match self {
            Self::ResetCode | Self::ActivationCode | Self::EmailCode => Priority::High,
            Self::PasswordChanged
            | Self::Welcome
            | Self::Activated
            | Self::TokenReused
            | Self::AddressTaken
            | Self::ResetAsked
            | Self::Invitation
            | Self::EmailChanged
            | Self::EmailUnconfirmed
            | Self::EmailChangedByStaff
            | Self::EmailRestored
            | Self::EmailChangeRequested
            | Self::EmailChangeCancelled
            | Self::NewDevice
            | Self::ApiTokenCreated
            | Self::DeletionScheduled
            | Self::DeletionCancelled
            | Self::AccountDeleted
            | Self::SecondFactorAdded
            | Self::SecondFactorRemoved
            | Self::RecoveryCodeUsed
            | Self::RecoveryCodesReplaced => Priority::Normal,
        }
    }
}

impl FromStr for MailKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown kind of mail: {text:?}"))
    }
}

/// What the budget of a mailbox counts separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetCause {
    /// The customer network whose request caused the mail.
    CustomerNetwork,
    /// The account that the mail is about.
    Account,
}
