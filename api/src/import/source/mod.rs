//! The sources of an import, which it only reads.

pub mod django;
pub mod jsonl;

use latchkey_shared::models::imported_user;

use crate::import::{duplicates::Candidate, error::ImportError, row::SourceRow};
use django::DjangoSource;
use jsonl::JsonlSource;

/// The number of rows of a page.
const PAGE: i64 = 1_000;

/// The source of accounts whose row had no id. Their ids are of this installation, so a row with such an id is another account.
pub(super) const WITHOUT_IDS: &str = "jsonl-new";

/// An opened source.
pub enum Source {
    /// The database of the Django original.
    Django(DjangoSource),
    /// A file of JSON lines.
    Jsonl(JsonlSource),
}

impl Source {
    /// Returns the name of the kind, as stored with imported accounts.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Django(_) => imported_user::DJANGO,
            Self::Jsonl(_) => "jsonl",
        }
    }

    /// Returns whether the source contains all accounts of its system, so that a missing account has been deleted.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Django(_))
    }

    /// Counts the accounts.
    pub(super) async fn count(&self) -> Result<i64, ImportError> {
        match self {
            Self::Django(source) => source.count().await,
            Self::Jsonl(source) => source.count().await,
        }
    }

    /// Returns the last id that the source has given to an account, which may have been deleted. For a file, returns the highest
    /// id that [`Self::candidates`] has read.
    pub(super) async fn last_id(&self) -> Result<i64, ImportError> {
        match self {
            Self::Django(source) => source.last_id().await,
            Self::Jsonl(source) => Ok(source.last_id()),
        }
    }

    /// Reads a page of candidates for the choice between duplicates, after a position. The first page is after 0.
    pub(super) async fn candidates(&self, after: i64) -> Result<Vec<Candidate>, ImportError> {
        match self {
            Self::Django(source) => source.candidates(after).await,
            Self::Jsonl(source) => source.candidates(after).await,
        }
    }

    /// Reads a page of rows after a position. The first page is after 0.
    pub(super) async fn page(&self, after: i64) -> Result<Vec<SourceRow>, ImportError> {
        match self {
            Self::Django(source) => source.page(after).await,
            Self::Jsonl(source) => source.page(after).await,
        }
    }
}
