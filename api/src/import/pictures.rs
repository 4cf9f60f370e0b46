//! Pictures of imported accounts: processed and stored as an upload is.

use std::{
    fs,
    io::{self, ErrorKind, Read as _},
    path::{Component, Path, PathBuf},
};

use futures_util::{StreamExt as _, stream};
use image::ImageFormat;
use latchkey_shared::{
    database,
    models::{
        imported_user,
        user::{self, profile::ProfileChange},
    },
};
use sea_orm::DbErr;

use crate::{
    accounts::pictures::{MAX_BYTES, Picture, Upload},
    app_state::App,
    http::error::ApiError,
    import::{error::ImportError, fingerprints::Column, outcome::Reason, writer::PictureTask},
};

/// The number of pictures in progress, each with at most [`MAX_BYTES`] of its file. The decoders' queue limits the memory of pixels.
const MAX_IN_FLIGHT: usize = 4;

/// The folder of the source's pictures.
#[derive(Clone, Debug)]
pub(super) struct MediaFolder(PathBuf);

impl MediaFolder {
    /// Opens the folder.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let folder = fs::canonicalize(path).map_err(ImportError::Media)?;
        fs::read_dir(&folder).map_err(ImportError::Media)?;
        Ok(Self(folder))
    }

    /// Reads and checks a picture below the folder. Follows no path and no symbolic link out of it.
    pub(super) fn read(&self, path: &str) -> Result<Upload, Reason> {
        let is_below = |part| matches!(part, Component::Normal(_));
        if !Path::new(path).components().all(is_below) || path.contains('\0') {
            return Err(Reason::ImageOutsideMedia);
        }
        let file = fs::canonicalize(self.0.join(path)).map_err(|error| missing(&error))?;
        if !file.starts_with(&self.0) {
            return Err(Reason::ImageOutsideMedia);
        }
        let about = fs::metadata(&file).map_err(|error| missing(&error))?;
        if !about.is_file() {
            return Err(Reason::ImageUnreadable);
        }
        let mut bytes = Vec::new();
        let limit = MAX_BYTES as u64 + 1;
        let opened = fs::File::open(&file).and_then(|it| it.take(limit).read_to_end(&mut bytes));
        opened.map_err(|error| missing(&error))?;
        if bytes.len() > MAX_BYTES {
            return Err(Reason::ImageTooLarge);
        }
        let format = image::guess_format(&bytes);
        Upload::new(bytes).map_err(|_| match format {
            Ok(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP)
            | Err(_) => Reason::ImageUnreadable,
            Ok(_) => Reason::ImageUnsupported,
        })
    }
}

fn missing(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::ImageMissing,
        _ => Reason::ImageUnreadable,
    }
}

/// Brings in the pictures of a batch, some at a time. Returns the reasons why accounts have none, and those that changed. A dry run
/// decodes the pictures and stores nothing.
pub(super) async fn bring_in(
    app: &App,
    media: Option<&MediaFolder>,
    tasks: Vec<PictureTask>,
    dry_run: bool,
) -> Result<Vec<(i64, Result<(), Reason>)>, ImportError> {
    let processed = stream::iter(tasks)
        .map(|task| async {
            let picture = process(app, media, task.path.as_deref()).await?;
            Ok::<_, ImportError>((task, picture))
        })
        .buffer_unordered(MAX_IN_FLIGHT);
    let mut processed = std::pin::pin!(processed);
    let mut results = Vec::new();
    while let Some(done) = processed.next().await {
        let (task, picture) = done?;
        let id = task.user_id;
        let result = match picture {
            Err(reason) => Err(reason),
            Ok(_) if dry_run => Ok(()),
            Ok(picture) => store(app, task, picture).await?,
        };
        results.push((id, result));
    }
    Ok(results)
}

/// Reads and decodes a picture. `None` is no picture.
async fn process(
    app: &App,
    media: Option<&MediaFolder>,
    path: Option<&str>,
) -> Result<Result<Option<Picture>, Reason>, ImportError> {
    let Some(path) = path else {
        return Ok(Ok(None));
    };
    let Some(media) = media.cloned() else {
        return Ok(Err(Reason::ImageMissing));
    };
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || media.read(&path)).await;
    let upload = match read.map_err(|_| ImportError::Panicked)? {
        Ok(upload) => upload,
        Err(reason) => return Ok(Err(reason)),
    };
    match app.pictures.process(upload).await {
        Ok(picture) => Ok(Ok(Some(picture))),
        Err(ApiError::InvalidInput(errors)) => Ok(Err(if errors.iter().any(is_too_large) {
            Reason::ImageTooLarge
        } else {
            Reason::ImageUnreadable
        })),
        Err(error) => Err(ImportError::Pictures(error.to_string())),
    }
}

fn is_too_large(error: &crate::http::error::problem::FieldError) -> bool {
    error.code == "too_large"
}

/// Stores a picture, unless the account has got another one meanwhile.
async fn store(
    app: &App,
    mut task: PictureTask,
    picture: Option<Picture>,
) -> Result<Result<(), Reason>, ImportError> {
    let name = match picture {
        Some(picture) => {
            let saved = app.pictures.save(picture).await;
            Some(saved.map_err(|error| ImportError::Pictures(error.to_string()))?)
        }
        None => None,
    };
    let is_stored = set_picture(app, &mut task, name.clone()).await?;
    let unreferenced = if is_stored { task.replaces } else { name };
    if let Some(unreferenced) = unreferenced {
        app.pictures.remove(&unreferenced).await;
    }
    Ok(if is_stored {
        Ok(())
    } else {
        Err(Reason::ChangedHere)
    })
}

/// Sets the name of the picture. Returns false if the account has another picture than before, or is deleted.
async fn set_picture(
    app: &App,
    task: &mut PictureTask,
    name: Option<String>,
) -> Result<bool, DbErr> {
    let key = &app.fingerprints;
    let path = task.path.clone().unwrap_or_default();
    task.fingerprints.set(key, Column::Image, &path);
    let picture = name.clone().unwrap_or_default();
    task.fingerprints.set(key, Column::Picture, &picture);
    let transaction = database::begin(&app.db).await?;
    let user = user::lock(&transaction, task.user_id).await?;
    let Some(user) = user.filter(|user| user.picture == task.replaces) else {
        return Ok(false);
    };
    let change = ProfileChange {
        picture: Some(name),
        ..ProfileChange::default()
    };
    let changed = user::profile::change(&transaction, user, change, app.now()).await;
    changed.map_err(|error| match error {
        user::WriteUserError::Database(error) => error,
        user::WriteUserError::EmailTaken => DbErr::RecordNotUpdated,
    })?;
    let bytes = task.fingerprints.to_bytes();
    imported_user::set_fingerprints(&transaction, task.user_id, bytes).await?;
    transaction.commit().await?;
    Ok(true)
}
