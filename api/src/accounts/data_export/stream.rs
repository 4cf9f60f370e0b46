//! Streams an export in batches, so that memory use does not depend on the number of rows.

use std::{future::Future, io};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{TryStreamExt as _, stream};
use latchkey_shared::models::{
    api_token,
    audit::{self, ConcerningEvents},
    imported_user,
    mail::{self, ConcerningMails},
    password_reset, recovery_code, role, session, totp_secret,
};
use poem::Body;
use poem_openapi::types::ToJSON;
use sea_orm::DbErr;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{
    accounts::data_export::{
        api_token::ExportedApiToken,
        items::{
            ExportedCodeRequest, ExportedEvent, ExportedImport, ExportedMail, ExportedProfile,
            ExportedSession,
        },
        picture::ExportedPicture,
        second_factor::{ExportedRecoveryCode, ExportedTotp},
    },
    app_state::App,
    auth::bearer::CurrentUser,
    http::error::ApiError,
};

/// The number of rows that a query fetches.
const BATCH_SIZE: u64 = 500;

/// Returns the body of an export. One batch is in memory while the client reads the previous one.
pub(super) fn body(app: App, current: CurrentUser) -> Body {
    let (chunks, received) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut export = Export {
            app: &app,
            current: &current,
            chunks,
            text: String::new(),
            is_first_item: true,
        };
        match export.write().await {
            // The client has disconnected.
            Ok(()) | Err(ExportError::Disconnected) => {}
            Err(ExportError::Failed(error)) => {
                app.report_failure(&error, "Export of an account aborted");
                let error = io::Error::other(error.to_string());
                let _ = export.chunks.send(Err(error)).await;
            }
        }
    });
    Body::from_bytes_stream(stream::unfold(received, |mut received| async {
        let chunk: Result<String, io::Error> = received.recv().await?;
        Some((chunk, received))
    }))
}

/// Why an export has ended early.
enum ExportError {
    Disconnected,
    Failed(ApiError),
}

impl<T: Into<ApiError>> From<T> for ExportError {
    fn from(error: T) -> Self {
        Self::Failed(error.into())
    }
}

struct Export<'a> {
    app: &'a App,
    current: &'a CurrentUser,
    chunks: mpsc::Sender<Result<String, io::Error>>,
    /// The next chunk.
    text: String,
    /// Whether the current array has no item yet.
    is_first_item: bool,
}

impl Export<'_> {
    /// Writes the members of [`AccountExport`](super::items::AccountExport).
    async fn write(&mut self) -> Result<(), ExportError> {
        let (app, user) = (self.app, &self.current.user);
        self.text.push('{');
        self.member("exported_at", &app.now());
        let roles = role::of_user(&app.db, user.id).await?;
        let profile = ExportedProfile::of(user, &roles, self.import().await?);
        self.member("profile", &profile);
        let picture = self.picture().await?;
        self.member("picture", &picture);
        let totp = totp_secret::find(&app.db, user.id).await?;
        self.member("totp", &totp.map(ExportedTotp::from));
        let codes = recovery_code::list(&app.db, user.id).await?;
        let codes = codes.into_iter().map(ExportedRecoveryCode::from);
        self.member("recovery_codes", &codes.collect::<Vec<_>>());
        self.begin("sessions");
        self.sessions().await?;
        self.end();
        self.begin("api_tokens");
        self.api_tokens().await?;
        self.end();
        self.begin("code_requests");
        self.code_requests().await?;
        self.end();
        self.begin("activity");
        for which in [
            ConcerningEvents::ByOwnerOrAnonymous,
            ConcerningEvents::AboutOthers,
        ] {
            self.events(which).await?;
        }
        self.end();
        self.begin("audit_events");
        self.events(ConcerningEvents::ByStaff).await?;
        self.end();
        self.begin("mails");
        for which in ConcerningMails::ALL {
            self.mails(which).await?;
        }
        self.end();
        self.text.push_str("}\n");
        self.send().await
    }

    async fn import(&self) -> Result<Option<ExportedImport>, ExportError> {
        let ids = [self.current.user.id];
        let rows = imported_user::find_many(&self.app.db, &ids).await?;
        Ok(rows.into_iter().next().map(|row| ExportedImport {
            source: row.source,
            imported_at: row.imported_at,
            has_new_password: row.has_new_password,
        }))
    }

    async fn picture(&self) -> Result<Option<ExportedPicture>, ExportError> {
        let Some(name) = &self.current.user.picture else {
            return Ok(None);
        };
        let Some(stored) = self.app.pictures.open(name).await? else {
            return Ok(None);
        };
        let media_type = stored.media_type;
        let bytes = stored.into_chunks().try_concat().await?;
        Ok(Some(ExportedPicture {
            name: name.clone(),
            media_type: media_type.to_owned(),
            data: format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes)),
        }))
    }

    async fn sessions(&mut self) -> Result<(), ExportError> {
        let (db, user) = (&self.app.db, self.current.user.id);
        let load = |last| session::list_after(db, user, last, BATCH_SIZE);
        self.rows(load, |row| row.id, ExportedSession::from).await
    }

    async fn api_tokens(&mut self) -> Result<(), ExportError> {
        let (db, user) = (&self.app.db, self.current.user.id);
        let load = |last| api_token::list_after(db, user, last, BATCH_SIZE);
        self.rows(load, |row| row.id, ExportedApiToken::from).await
    }

    async fn code_requests(&mut self) -> Result<(), ExportError> {
        let (db, user) = (&self.app.db, self.current.user.id);
        let load = |last| password_reset::list_concerning(db, user, last, BATCH_SIZE);
        self.rows(load, |row| row.id, ExportedCodeRequest::from)
            .await
    }

    async fn mails(&mut self, which: ConcerningMails) -> Result<(), ExportError> {
        let (db, user, now) = (&self.app.db, &self.current.user, self.app.now());
        let load = |last| mail::list_concerning(db, user, which, last, BATCH_SIZE, now);
        self.rows(load, |row| row.id, ExportedMail::from).await
    }

    /// Writes the rows that `load` returns in batches, each after the id of the row before.
    async fn rows<R, T: ToJSON, F: Future<Output = Result<Vec<R>, DbErr>>>(
        &mut self,
        load: impl Fn(Uuid) -> F,
        id: fn(&R) -> Uuid,
        item: fn(R) -> T,
    ) -> Result<(), ExportError> {
        let mut last = Uuid::nil();
        loop {
            let rows = load(last).await?;
            let Some(row) = rows.last() else {
                return Ok(());
            };
            last = id(row);
            self.items(rows.into_iter().map(item)).await?;
        }
    }

    async fn events(&mut self, which: ConcerningEvents) -> Result<(), ExportError> {
        let (db, id, mut last) = (&self.app.db, self.current.user.id, 0);
        loop {
            let mut rows = audit::list_concerning(db, id, which, last, BATCH_SIZE).await?;
            let Some(row) = rows.last() else {
                return Ok(());
            };
            last = row.seq;
            let mut details = audit::load_details(db, &self.app.audit_key, &mut rows).await?;
            self.items(rows.into_iter().map(|row| {
                let details = details.remove(&row.seq).unwrap_or_default();
                ExportedEvent::of(row, details, id)
            }))
            .await?;
        }
    }

    /// Writes a member before the first array.
    fn member(&mut self, name: &str, value: &impl ToJSON) {
        self.name(name);
        self.text.push_str(&value.to_json_string());
    }

    /// Writes the start of an array.
    fn begin(&mut self, name: &str) {
        self.name(name);
        self.text.push('[');
        self.is_first_item = true;
    }

    fn end(&mut self) {
        self.text.push(']');
    }

    /// Writes the name of a member, after a comma unless it is the first.
    fn name(&mut self, name: &str) {
        if self.text != "{" {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    /// Writes items of the current array, and sends them.
    async fn items<T: ToJSON>(
        &mut self,
        items: impl Iterator<Item = T>,
    ) -> Result<(), ExportError> {
        for item in items {
            if !std::mem::take(&mut self.is_first_item) {
                self.text.push(',');
            }
            self.text.push_str(&item.to_json_string());
        }
        self.send().await
    }

    async fn send(&mut self) -> Result<(), ExportError> {
        let chunk = std::mem::take(&mut self.text);
        let sent = self.chunks.send(Ok(chunk)).await;
        sent.map_err(|_| ExportError::Disconnected)
    }
}
