//! A run of an import: reads, maps and writes batches.

use std::{collections::HashMap, io, path::Path, sync::Arc, time::Duration};

use latchkey_shared::{models::imported_user, types::phone_number::Region};
use sea_orm::{ConnectionTrait as _, DbBackend};
use tokio::sync::mpsc;

use crate::{
    app_state::App,
    import::{
        duplicates::{Duplicates, Superseded},
        error::ImportError,
        mapping::{Mapping, Rules, map},
        outcome::{Outcome, Reason, Summary},
        pictures::{self, MediaFolder},
        row::{RowKey, SourceRow},
        sequence,
        source::Source,
        writer::Writer,
    },
};

/// The number of mapped batches that wait for the writer.
const QUEUED_BATCHES: usize = 2;

/// The pause between batches in which other programs get SQLite's write lock.
const SQLITE_PAUSE: Duration = Duration::from_millis(5);

/// The options of a run.
#[derive(Debug)]
pub struct Options<'a> {
    /// The folder of the source's pictures. Without it, no picture is brought in.
    pub media: Option<&'a Path>,
    /// The region of phone numbers without a country code.
    pub region: Option<Region>,
    /// Whether to write nothing.
    pub dry_run: bool,
}

/// Follows a run.
pub trait Observer {
    /// Receives the number of accounts in the source.
    fn start(&mut self, total: u64);
    /// Receives the outcome of a row.
    fn record(&mut self, outcome: &Outcome) -> io::Result<()>;
}

/// Imports a source. A repeated run continues one that was interrupted.
pub async fn run(
    app: &App,
    source: Source,
    options: &Options<'_>,
    observer: &mut impl Observer,
) -> Result<Summary, ImportError> {
    let media = options.media.map(MediaFolder::open).transpose()?;
    let source = Arc::new(source);
    observer.start(u64::try_from(source.count().await?).unwrap_or(0));
    let superseded = superseded(&source).await?;
    if !options.dry_run {
        if media.is_some() {
            let created = app.pictures.create_folder().await;
            created.map_err(|error| ImportError::Pictures(error.to_string()))?;
        }
        sequence::advance(&app.db, source.last_id().await?).await?;
    }
    let rules = Rules {
        region: options.region,
        today: app.now().date_naive(),
    };
    let (sender, batches) = mpsc::channel(QUEUED_BATCHES);
    let reader = tokio::spawn(read(Arc::clone(&source), rules, superseded, sender));
    let mut run = Run {
        app,
        source: &source,
        media,
        writes_nothing: options.dry_run,
        summary: Summary::default(),
        observer,
        last: 0,
    };
    let written = run.write(batches).await;
    reader.await.map_err(|_| ImportError::Panicked)??;
    written?;
    if !options.dry_run {
        sequence::advance(&app.db, source.last_id().await?).await?;
    }
    Ok(run.summary)
}

/// Returns the rows that are skipped in favour of another row of the source, by position.
async fn superseded(source: &Source) -> Result<HashMap<i64, Superseded>, ImportError> {
    let (mut duplicates, mut last) = (Duplicates::default(), 0);
    loop {
        let page = source.candidates(last).await?;
        let Some(candidate) = page.last() else {
            break;
        };
        last = candidate.position;
        let added = tokio::task::spawn_blocking(move || {
            duplicates.add(page);
            duplicates
        });
        duplicates = added.await.map_err(|_| ImportError::Panicked)?;
    }
    Ok(duplicates.superseded())
}

/// A mapped page of the source.
struct Batch {
    rows: Vec<Mapping>,
    /// The rows that are skipped in favour of another row of the source, by position.
    superseded: HashMap<i64, Superseded>,
}

/// Reads and maps pages, and sends them to the writer.
async fn read(
    source: Arc<Source>,
    rules: Rules,
    superseded: HashMap<i64, Superseded>,
    sender: mpsc::Sender<Batch>,
) -> Result<(), ImportError> {
    let mut last = 0;
    loop {
        let page = source.page(last).await?;
        let Some(row) = page.last() else {
            return Ok(());
        };
        last = row.name.position();
        let of_page = |row: &SourceRow| {
            let position = row.name.position();
            Some((position, *superseded.get(&position)?))
        };
        let superseded = page.iter().filter_map(of_page).collect();
        let map_page = move || page.into_iter().map(|row| map(row, rules)).collect();
        let rows = tokio::task::spawn_blocking(map_page).await;
        let rows = rows.map_err(|_| ImportError::Panicked)?;
        if sender.send(Batch { rows, superseded }).await.is_err() {
            // The writer has failed and says why.
            return Ok(());
        }
    }
}

struct Run<'a, O> {
    app: &'a App,
    source: &'a Source,
    media: Option<MediaFolder>,
    writes_nothing: bool,
    summary: Summary,
    observer: &'a mut O,
    /// The last position of the source that was written.
    last: i64,
}

impl<O: Observer> Run<'_, O> {
    async fn write(&mut self, mut batches: mpsc::Receiver<Batch>) -> Result<(), ImportError> {
        let (hasher, app) = (&self.app.hasher, self.app);
        let no_password = || hasher.no_password();
        let writer = Writer {
            db: &app.db,
            key: &app.fingerprints,
            source: self.source.kind(),
            no_password: &no_password,
            dry_run: self.writes_nothing,
            now: app.now(),
        };
        let is_sqlite = app.db.get_database_backend() == DbBackend::Sqlite;
        while let Some(batch) = batches.recv().await {
            self.write_batch(&writer, batch).await?;
            if is_sqlite && !self.writes_nothing {
                tokio::time::sleep(SQLITE_PAUSE).await;
            }
        }
        self.report_deleted(i64::MAX, &[]).await
    }

    async fn write_batch(&mut self, writer: &Writer<'_>, batch: Batch) -> Result<(), ImportError> {
        let Batch {
            mut rows,
            superseded,
        } = batch;
        let positions: Vec<_> = rows.iter().map(|row| row.name.position()).collect();
        let last = positions.last().copied().unwrap_or(self.last);
        self.report_deleted(last, &positions).await?;
        let excluded = self.skip_losers(&mut rows, &superseded).await?;
        let written = writer.write(rows).await?;
        let media = self.media.as_ref();
        let pictures =
            pictures::bring_in(self.app, media, written.pictures, self.writes_nothing).await?;
        let pictures: HashMap<_, _> = pictures.into_iter().collect();
        let mut outcomes = written.outcomes;
        outcomes.extend(excluded);
        outcomes.sort_by_key(|outcome| outcome.name);
        for mut outcome in outcomes {
            match outcome.user_id.and_then(|id| pictures.get(&id)) {
                Some(Ok(())) => outcome.is_changed |= !outcome.is_created,
                Some(Err(reason)) => outcome.add(*reason),
                None => {}
            }
            self.record(&outcome)?;
        }
        Ok(())
    }

    /// Removes the rows that are skipped in favour of another row of the source. Keeps accounts of an earlier run that only lost
    /// their email.
    async fn skip_losers(
        &self,
        rows: &mut Vec<Mapping>,
        superseded: &HashMap<i64, Superseded>,
    ) -> Result<Vec<Outcome>, ImportError> {
        let is_loser = |row: &&Mapping| superseded.contains_key(&row.name.position());
        let ids = rows.iter().filter(is_loser).filter_map(|row| row.name.id);
        let ids: Vec<_> = ids.collect();
        let imported = imported_user::find_many(&self.app.db, &ids).await?;
        let mut excluded = Vec::new();
        rows.retain(|row| {
            let is_imported = imported.iter().any(|it| Some(it.user_id) == row.name.id);
            let stays = |by: &&Superseded| by.reason == Reason::EmailTaken && is_imported;
            match superseded.get(&row.name.position()) {
                Some(by) if !stays(&by) => {
                    excluded.push(Outcome::superseded(row.name, *by));
                    false
                }
                _ => true,
            }
        });
        Ok(excluded)
    }

    /// Reports the imported accounts up to an id that are no longer in the source. They stay: the operator decides about them.
    async fn report_deleted(&mut self, last: i64, in_source: &[i64]) -> Result<(), ImportError> {
        if !self.source.is_complete() {
            return Ok(());
        }
        let first = std::mem::replace(&mut self.last, last);
        let imported =
            imported_user::list_between(&self.app.db, self.source.kind(), first, last).await?;
        for id in imported {
            if in_source.binary_search(&id).is_err() {
                let name = RowKey {
                    line: None,
                    id: Some(id),
                };
                self.record(&Outcome::skip(name, Reason::DeletedInSource, None))?;
            }
        }
        Ok(())
    }

    fn record(&mut self, outcome: &Outcome) -> Result<(), ImportError> {
        self.summary.count(outcome);
        self.observer.record(outcome).map_err(ImportError::Report)
    }
}
