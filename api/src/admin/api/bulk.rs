//! Actions on one account, such as `POST /api/admin/users/{id}/activate/`, and bulk actions: `POST /api/admin/users/bulk/`.

use latchkey_shared::types::validation_error::Invalid;
use poem::web::Data;
use poem_openapi::{
    Enum, Object, OpenApi,
    param::Path,
    payload::Json,
    types::{Example, ParseFromParameter as _},
};

use crate::admin::api::NoContent;
use crate::{
    admin::{
        actions,
        api::token::Token,
        permissions::{AddUsers, AnyStaff, ChangeUsers, Permit},
    },
    app_state::App,
    http::{
        body::{
            Body,
            fields::{Fields, FromField},
        },
        error::{ApiError, responses::ErrorResponses},
        tag::Tag,
    },
};

/// A bulk action.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum BulkAction {
    /// Activate or reactivate the accounts.
    Activate,
    /// Deactivate the accounts.
    Deactivate,
    /// End all sessions of the accounts.
    SignOut,
    /// Delete the accounts.
    Delete,
}

impl FromField for BulkAction {
    const MAX_BYTES: usize = 64;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        Self::parse_from_parameter(text)
            .map_err(|_| Invalid::new("choice", "One of activate, deactivate, sign_out, delete."))
    }
}

/// A bulk action and its accounts.
#[derive(Debug, Object)]
#[oai(example)]
struct BulkActionRequest {
    /// The action.
    act: BulkAction,
    /// The account ids. Unknown ids are skipped, unless all are unknown.
    #[oai(validator(min_items = 1, max_items = 500))]
    ids: Vec<i64>,
}

impl Example for BulkActionRequest {
    fn example() -> Self {
        Self {
            act: BulkAction::Activate,
            ids: vec![7, 8],
        }
    }
}

/// The result of a bulk action.
#[derive(Debug, Object)]
struct BulkActionResult {
    /// The number of changed accounts.
    done: usize,
}

/// The actions on accounts.
pub struct ActionsApi;

#[OpenApi]
impl ActionsApi {
    /// Activate an account
    ///
    /// Requires `change_users`. Also reactivates a deactivated account. If the account changes, its owner gets a mail.
    #[oai(
        path = "/api/admin/users/:id/activate",
        method = "post",
        operation_id = "activateAccount",
        tag = "Tag::Administration"
    )]
    async fn activate(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404>> {
        actions::users::activate(app, &admin, &[id]).await?;
        Ok(NoContent::Done)
    }

    /// Deactivate an account
    ///
    /// Requires `change_users`. Ends all sessions of the account. You cannot deactivate your own account.
    #[oai(
        path = "/api/admin/users/:id/deactivate",
        method = "post",
        operation_id = "deactivateAccount",
        tag = "Tag::Administration"
    )]
    async fn deactivate(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404, 409>> {
        actions::users::deactivate(app, &admin, &[id]).await?;
        Ok(NoContent::Done)
    }

    /// End all sessions of an account
    ///
    /// Requires `change_users`.
    #[oai(
        path = "/api/admin/users/:id/sign_out",
        method = "post",
        operation_id = "endAccountSessions",
        tag = "Tag::Administration"
    )]
    async fn sign_out(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404>> {
        actions::users::end_all_sessions(app, &admin, &[id]).await?;
        Ok(NoContent::Done)
    }

    /// Request a password reset
    ///
    /// Requires `change_users`. Sends a mail that asks the account owner to choose a new password, and ends open password resets.
    /// Not possible for a deactivated account. Does not count against the owner's own requests.
    #[oai(
        path = "/api/admin/users/:id/request_password_reset",
        method = "post",
        operation_id = "requestAccountPasswordReset",
        tag = "Tag::Administration"
    )]
    async fn request_password_reset(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404, 409>> {
        actions::users::request_password_reset(app, &admin, id).await?;
        Ok(NoContent::Done)
    }

    /// Invite the owner of an account
    ///
    /// Requires `add_users`. Sends a mail that asks the owner to set a password by a password reset, which activates the account.
    /// Only possible while the account is pending email verification.
    #[oai(
        path = "/api/admin/users/:id/invite",
        method = "post",
        operation_id = "inviteAccount",
        tag = "Tag::Administration"
    )]
    async fn invite(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<AddUsers>,
        /// The account id.
        Path(id): Path<i64>,
    ) -> Result<NoContent, ErrorResponses<401, 403, 404, 409, 429>> {
        actions::create_user::invite(app, &admin, id).await?;
        Ok(NoContent::Done)
    }

    /// Run a bulk action
    ///
    /// Requires `change_users`, or `delete_users` for `delete`. All or nothing: nothing changes if you may not manage one of the
    /// accounts.
    #[oai(
        path = "/api/admin/users/bulk",
        method = "post",
        operation_id = "runBulkAction",
        tag = "Tag::Administration"
    )]
    async fn run(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<AnyStaff>,
        body: Body<'_, BulkActionRequest>,
    ) -> Result<Json<BulkActionResult>, ErrorResponses<400, 401, 403, 404, 409, 413, 415>> {
        let (act, ids) = parse(body.read().await?.fields)?;
        let permit = async || Permit::<ChangeUsers>::authorize(app, admin.clone()).await;
        let done = match act {
            BulkAction::Activate => actions::users::activate(app, &permit().await?, &ids).await?,
            BulkAction::Deactivate => {
                actions::users::deactivate(app, &permit().await?, &ids).await?
            }
            BulkAction::SignOut => {
                actions::users::end_all_sessions(app, &permit().await?, &ids).await?
            }
            BulkAction::Delete => {
                let admin = Permit::authorize(app, admin.clone()).await?;
                actions::users::delete(app, &admin, &ids).await?
            }
        };
        Ok(Json(BulkActionResult { done }))
    }
}

fn parse(mut fields: Fields) -> Result<(BulkAction, Vec<i64>), ApiError> {
    let act = fields.required("act");
    let ids = fields.list::<i64>("ids").map(Option::unwrap_or_default);
    match &ids {
        Ok(ids) if ids.is_empty() => {
            fields.add_error(
                "ids",
                Invalid::new("required", "Select at least one account."),
            );
        }
        Ok(ids) if ids.len() > actions::MAX_BULK_SIZE => {
            let detail = format!("At most {} accounts.", actions::MAX_BULK_SIZE);
            fields.add_error("ids", Invalid::new("too_long", detail));
        }
        _ => {}
    }
    fields.finish()?;
    Ok((act?, ids?))
}
