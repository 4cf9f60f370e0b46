//! Reads a file of JSON lines, one account each. `deploy/docs/import-users.md` documents the format.
//!
//! The import reads the file three times: to count the lines, to choose between duplicates, and to import. An input that cannot be
//! read again, such as standard input, is copied into an unnamed temporary file.

mod lines;

use std::{
    fs::File,
    io::{self, Seek as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::import::{
    account_line::AccountLine,
    duplicates::Candidate,
    error::ImportError,
    row::{RowKey, SourceRow},
    source::{PAGE, jsonl::lines::Lines},
};

/// An opened file.
pub struct JsonlSource(Arc<Mutex<Reader>>);

struct Reader {
    lines: Lines,
    /// The highest id that was read.
    last_id: i64,
}

impl JsonlSource {
    /// Opens a file, or standard input for `-`.
    pub async fn open(path: &Path) -> Result<Self, ImportError> {
        let path = path.to_owned();
        let file = tokio::task::spawn_blocking(move || open(&path)).await;
        let file = file.map_err(|_| ImportError::Panicked)?;
        let reader = Reader {
            lines: Lines::new(file.map_err(ImportError::File)?),
            last_id: 0,
        };
        Ok(Self(Arc::new(Mutex::new(reader))))
    }

    pub(super) async fn count(&self) -> Result<i64, ImportError> {
        self.read(|reader| reader.lines.count()).await
    }

    pub(super) fn last_id(&self) -> i64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last_id
    }

    pub(super) async fn candidates(&self, after: i64) -> Result<Vec<Candidate>, ImportError> {
        self.read(move |reader| reader.candidates(after)).await
    }

    pub(super) async fn page(&self, after: i64) -> Result<Vec<SourceRow>, ImportError> {
        self.read(move |reader| reader.page(after)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Reader) -> io::Result<T> + Send + 'static,
    ) -> Result<T, ImportError> {
        let reader = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            work(&mut reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let read = read.await.map_err(|_| ImportError::Panicked)?;
        read.map_err(ImportError::File)
    }
}

/// Opens a file. Copies it if it cannot be read again, such as a pipe.
fn open(path: &Path) -> io::Result<File> {
    if path == Path::new("-") {
        return copy(&mut io::stdin().lock());
    }
    let mut file = File::open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    copy(&mut file)
}

fn copy(reader: &mut impl io::Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(reader, &mut file)?;
    file.rewind()?;
    Ok(file)
}

impl Reader {
    /// Reads the accounts of the next page that has any. Returns none only at the end of the file.
    fn candidates(&mut self, after: i64) -> io::Result<Vec<Candidate>> {
        let mut after = after;
        loop {
            let page = self.page(after)?;
            let Some(row) = page.last() else {
                return Ok(Vec::new());
            };
            after = row.name.position();
            let candidates: Vec<_> = page.into_iter().filter_map(candidate).collect();
            if !candidates.is_empty() {
                return Ok(candidates);
            }
        }
    }

    /// Reads a page of lines. `after` is 0 or the number of the last line that was read.
    fn page(&mut self, after: i64) -> io::Result<Vec<SourceRow>> {
        if after == 0 {
            self.lines.rewind()?;
        }
        let mut rows = Vec::new();
        for _ in 0..PAGE {
            let Some((number, text)) = self.lines.next()? else {
                break;
            };
            let row = row(number, text);
            self.last_id = self.last_id.max(row.name.id.unwrap_or_default());
            rows.push(row);
        }
        Ok(rows)
    }
}

fn row(number: i64, text: Result<Vec<u8>, String>) -> SourceRow {
    let line = text.and_then(|text| AccountLine::parse(&text));
    SourceRow {
        name: RowKey {
            line: Some(number),
            id: line.as_ref().ok().and_then(|line| line.id),
        },
        user: line.map(AccountLine::into_source),
    }
}

fn candidate(row: SourceRow) -> Option<Candidate> {
    let user = row.user.ok()?;
    Some(Candidate {
        position: row.name.position(),
        own_id: row.name.id,
        email: user.email,
        is_usable: user.is_active && user.is_activated,
    })
}
