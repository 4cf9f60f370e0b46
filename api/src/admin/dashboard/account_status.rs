//! The status of an account, as the dashboard shows and filters it.

use latchkey_shared::models::user::{self, search::Filter, staff::Change};

/// The status of an account. Each account has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// Not activated, waiting for staff.
    PendingApproval,
    /// Not activated, waiting for its owner.
    PendingVerification,
    /// The owner can log in.
    Active,
    /// Deactivated by staff, whether or not it was activated before.
    Deactivated,
}

impl AccountStatus {
    /// All statuses, in the order of the tabs.
    pub const ALL: [Self; 4] = [
        Self::PendingApproval,
        Self::PendingVerification,
        Self::Active,
        Self::Deactivated,
    ];

    /// Returns the status of an account.
    #[must_use]
    pub fn of(user: &user::Model) -> Self {
        match (user.is_active, user.is_activated) {
            (false, _) => Self::Deactivated,
            (true, true) => Self::Active,
            (true, false) if user.pending_email_verification => Self::PendingVerification,
            (true, false) => Self::PendingApproval,
        }
    }

    /// Returns the name in query strings and CSS classes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingApproval => "pending_approval",
            Self::PendingVerification => "pending_verification",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }

    /// Returns the status with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Returns the filter for the accounts with this status.
    #[must_use]
    pub fn filter(self) -> Filter {
        match self {
            Self::PendingApproval => Filter::pending_approval(),
            Self::PendingVerification => Filter::pending_verification(),
            Self::Active => Filter {
                activated: Some(true),
                active: Some(true),
                ..Filter::default()
            },
            Self::Deactivated => Filter {
                active: Some(false),
                ..Filter::default()
            },
        }
    }

    /// Returns the statuses that the form of an account offers: its own, and those that staff can give it. Only a registration or an
    /// invitation makes an account wait for its owner, and staff decide by activating or deactivating it.
    #[must_use]
    pub fn choices(user: &user::Model) -> Vec<Self> {
        let current = Self::of(user);
        let is_offered = |status: &Self| match status {
            Self::PendingApproval => current != Self::PendingVerification,
            Self::PendingVerification => current == Self::PendingVerification,
            Self::Active | Self::Deactivated => true,
        };
        Self::ALL.into_iter().filter(is_offered).collect()
    }

    /// Sets the flags that give an account this status, unless it has it.
    pub fn apply(self, user: &user::Model, change: &mut Change) {
        if self == Self::of(user) {
            return;
        }
        change.is_active = Some(self != Self::Deactivated);
        // A deactivated account keeps its activation.
        change.is_activated = (self != Self::Deactivated).then_some(self == Self::Active);
    }

    /// Returns whether accounts with this status wait for an activation.
    #[must_use]
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PendingApproval | Self::PendingVerification)
    }
}
