//! `POST /api/admin/users/{id}/activate/` and its like, and `POST /api/admin/users/bulk/` for many accounts at once.

use latchkey_shared::types::validation_error::Invalid;
use poem::web::Data;
use poem_openapi::{
    Enum, Object, OpenApi,
    param::Path,
    payload::Json,
    types::{Example, ParseFromParameter as _},
};

use crate::admin::api::Answer;
use crate::http::tag::Tag;
use crate::{
    admin::{
        actions,
        api::token::Token,
        permissions::{AnyStaff, ChangeUsers, Permit},
    },
    app_state::App,
    http::{
        body::{
            Body,
            fields::{Fields, FromField},
        },
        error::{ApiError, responses::ErrorResponses},
    },
};

/// What is done to accounts.
#[derive(Debug, Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum AccountAct {
    /// Let in, shut ones back in.
    Activate,
    /// Shut.
    Deactivate,
    /// End every session.
    SignOut,
    /// Remove.
    Delete,
}

impl FromField for AccountAct {
    const MAX_BYTES: usize = 64;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        Self::parse_from_parameter(text)
            .map_err(|_| Invalid::new("choice", "One of activate, deactivate, sign_out, delete."))
    }
}

/// What to do to which accounts.
#[derive(Debug, Object)]
#[oai(rename = "ManyAccounts", example)]
struct Wire {
    /// What to do.
    act: AccountAct,
    /// The accounts; those that are not there are passed over, as long as one is.
    #[oai(validator(min_items = 1, max_items = 500))]
    ids: Vec<i64>,
}

impl Example for Wire {
    fn example() -> Self {
        Self {
            act: AccountAct::Activate,
            ids: vec![7, 8],
        }
    }
}

/// What came of it.
#[derive(Debug, Object)]
struct Acted {
    /// How many accounts it changed.
    done: usize,
}

/// See the module.
pub struct Acts;

#[OpenApi]
impl Acts {
    /// Let an account in
    ///
    /// Needs `change_users`. A shut account is opened, too. Its owner gets a mail, if that changes anything.
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
        /// The account.
        Path(id): Path<i64>,
    ) -> Result<Answer, ErrorResponses<401, 403, 404>> {
        actions::activate(app, &admin, &[id]).await?;
        Ok(Answer::Done)
    }

    /// Shut an account
    ///
    /// Needs `change_users`. All of its sessions end. Nobody shuts their own.
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
        /// The account.
        Path(id): Path<i64>,
    ) -> Result<Answer, ErrorResponses<401, 403, 404, 409>> {
        actions::deactivate(app, &admin, &[id]).await?;
        Ok(Answer::Done)
    }

    /// End every session of an account
    ///
    /// Needs `change_users`.
    #[oai(
        path = "/api/admin/users/:id/sign_out",
        method = "post",
        operation_id = "signAccountOut",
        tag = "Tag::Administration"
    )]
    async fn sign_out(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<ChangeUsers>,
        /// The account.
        Path(id): Path<i64>,
    ) -> Result<Answer, ErrorResponses<401, 403, 404>> {
        actions::sign_out(app, &admin, &[id]).await?;
        Ok(Answer::Done)
    }

    /// Ask the owner of an account for a new password
    ///
    /// Needs `change_users`. The owner gets a mail, and open resets end. Not possible while the account is shut. It uses up none of
    /// the owner's own requests for a code.
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
        /// The account.
        Path(id): Path<i64>,
    ) -> Result<Answer, ErrorResponses<401, 403, 404, 409>> {
        actions::request_password_reset(app, &admin, id).await?;
        Ok(Answer::Done)
    }

    /// Do something to many accounts
    ///
    /// Needs `change_users`, to delete `delete_users`. All or none: one account that may not be touched, and nothing is
    /// done.
    #[oai(
        path = "/api/admin/users/bulk",
        method = "post",
        operation_id = "actOnAccounts",
        tag = "Tag::Administration"
    )]
    async fn many(
        &self,
        Data(app): Data<&App>,
        Token(admin): Token<AnyStaff>,
        body: Body<'_, Wire>,
    ) -> Result<Json<Acted>, ErrorResponses<400, 401, 403, 404, 409, 413, 415>> {
        let (act, ids) = parse(body.read().await?.fields)?;
        let changer = async || Permit::<ChangeUsers>::ask(app, admin.clone()).await;
        let done = match act {
            AccountAct::Activate => actions::activate(app, &changer().await?, &ids).await?,
            AccountAct::Deactivate => actions::deactivate(app, &changer().await?, &ids).await?,
            AccountAct::SignOut => actions::sign_out(app, &changer().await?, &ids).await?,
            AccountAct::Delete => {
                let admin = Permit::ask(app, admin.clone()).await?;
                actions::delete(app, &admin, &ids).await?
            }
        };
        Ok(Json(Acted { done }))
    }
}

fn parse(mut fields: Fields) -> Result<(AccountAct, Vec<i64>), ApiError> {
    let act = fields.required("act");
    let ids = fields.list::<i64>("ids").map(Option::unwrap_or_default);
    match &ids {
        Ok(ids) if ids.is_empty() => {
            fields.note("ids", Invalid::new("required", "Name some accounts."));
        }
        Ok(ids) if ids.len() > actions::MAX_BULK_SIZE => {
            let most = format!("At most {} accounts.", actions::MAX_BULK_SIZE);
            fields.note("ids", Invalid::new("too_long", most));
        }
        _ => {}
    }
    fields.finish()?;
    Ok((act?, ids?))
}
