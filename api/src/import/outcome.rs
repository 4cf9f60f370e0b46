//! The outcome of a row, for the report and the summary.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::import::{duplicates::Superseded, mapping::SkippedRow, row::RowKey};

/// Why a row was adjusted or skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The line is not an account in the documented format.
    LineInvalid,
    /// The email is not one that Latchkey accepts.
    EmailInvalid,
    /// The email is longer than SMTP allows.
    EmailTooLong,
    /// Another account has the email in some spelling.
    EmailTaken,
    /// An account that was created here or by another source has the id, or an earlier line has it.
    IdTaken,
    /// The account was imported before and has been deleted here since.
    DeletedHere,
    /// The account was imported before and has been deleted in the source since.
    DeletedInSource,
    /// The time of registration cannot be read.
    CreatedAtInvalid,
    /// The time of the last login cannot be read.
    LastLoginDropped,
    /// A value changed in the source and here. Latchkey's value stays.
    ChangedHere,
    /// The password column has no hash that can be verified.
    PasswordUnusable,
    /// The hash costs too much to verify.
    PasswordTooCostly,
    /// The phone number has another form now.
    PhoneNormalised,
    /// The phone number lost its extension.
    PhoneExtensionDropped,
    /// The phone number is not valid.
    PhoneDropped,
    /// The date of birth is not valid.
    DateBirthDropped,
    /// The gender has another spelling now.
    GenderNormalised,
    /// The gender is not one of Latchkey's.
    GenderDropped,
    /// The language is not a valid language tag.
    LanguageDropped,
    /// The username was blank. It is the local part of the email now.
    UsernameBlank,
    /// Control characters of the username are spaces now.
    UsernameControlCharacters,
    /// Invisible characters of the username were removed.
    UsernameCharactersDropped,
    /// The username was cut to its maximum length.
    UsernameShortened,
    /// First and last names have no place here.
    NamesDropped,
    /// Some permissions have no counterpart here.
    PermissionsDropped,
    /// A group has no permission with a counterpart here, or a name that no role can have.
    GroupsDropped,
    /// A role of the group's name has other permissions here. The account did not get it.
    RoleDiffers,
    /// The picture does not exist, or there is no `--media`.
    ImageMissing,
    /// The picture is damaged.
    ImageUnreadable,
    /// The picture has a format that Latchkey does not accept.
    ImageUnsupported,
    /// The picture is larger than an upload may be.
    ImageTooLarge,
    /// The path of the picture leads out of the media folder.
    ImageOutsideMedia,
}

/// The kind of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// All values were taken over.
    Import,
    /// Some values were changed or dropped.
    Adjust,
    /// The row was not taken over.
    Skip,
}

/// The outcome of one row: a line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The line number, and the id of the account in the source.
    #[serde(flatten)]
    pub name: RowKey,
    /// The kind of the outcome.
    pub outcome: Kind,
    /// Why, without repetition.
    pub reasons: Vec<Reason>,
    /// The problem of an invalid line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The id of the account that has the email.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<i64>,
    /// The number of the line that is imported instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner_line: Option<i64>,
    /// The id of the account here. `None` if the row is skipped.
    #[serde(skip)]
    pub user_id: Option<i64>,
    /// Whether the account was created.
    #[serde(skip)]
    pub is_created: bool,
    /// Whether an existing account was changed.
    #[serde(skip)]
    pub is_changed: bool,
}

impl Outcome {
    /// Returns the outcome of an imported row.
    #[must_use]
    pub(super) fn of(name: RowKey, user_id: i64, reasons: Vec<Reason>) -> Self {
        let mut outcome = Self {
            user_id: Some(user_id),
            ..Self::empty(name)
        };
        for reason in reasons {
            outcome.add(reason);
        }
        outcome
    }

    fn empty(name: RowKey) -> Self {
        Self {
            name,
            outcome: Kind::Import,
            reasons: Vec::new(),
            detail: None,
            winner: None,
            winner_line: None,
            user_id: None,
            is_created: false,
            is_changed: false,
        }
    }

    /// Returns the outcome of a skipped row.
    #[must_use]
    pub(super) fn skip(name: RowKey, reason: Reason, winner: Option<i64>) -> Self {
        Self {
            outcome: Kind::Skip,
            reasons: vec![reason],
            winner,
            ..Self::empty(name)
        }
    }

    /// Returns the outcome of a row that is skipped in favour of another row of the source.
    #[must_use]
    pub(super) fn superseded(name: RowKey, by: Superseded) -> Self {
        let winner = Some(by.winner);
        match name.line {
            Some(_) => Self {
                winner_line: winner,
                ..Self::skip(name, by.reason, None)
            },
            None => Self::skip(name, by.reason, winner),
        }
    }

    /// Returns the outcome of a row that cannot be mapped.
    #[must_use]
    pub(super) fn invalid(name: RowKey, skipped: SkippedRow) -> Self {
        Self {
            detail: skipped.detail,
            ..Self::skip(name, skipped.reason, None)
        }
    }

    /// Adds a reason for an adjustment.
    pub(super) fn add(&mut self, reason: Reason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        if self.outcome == Kind::Import {
            self.outcome = Kind::Adjust;
        }
    }
}

/// The counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Accounts that were created.
    pub created: u64,
    /// Accounts of earlier runs that were changed.
    pub changed: u64,
    /// Rows by outcome.
    pub kinds: BTreeMap<Kind, u64>,
    /// Rows by reason.
    pub reasons: BTreeMap<Reason, u64>,
}

impl Summary {
    /// Counts a row.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.created += u64::from(outcome.is_created);
        self.changed += u64::from(outcome.is_changed);
        *self.kinds.entry(outcome.outcome).or_default() += 1;
        for reason in &outcome.reasons {
            *self.reasons.entry(*reason).or_default() += 1;
        }
    }
}
