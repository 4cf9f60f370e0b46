//! `/admin/users/add/`: creates an account.

use askama::Template;
use latchkey_shared::types::validation_error::Invalid;
use poem::{Response, handler, http::StatusCode, web::Data};

use crate::admin::{
    actions::create_user::{self, FirstPassword},
    dashboard::{
        components::{SelectOption, language_options},
        context::View,
        csrf::Form,
        current_admin::CurrentAdmin,
        form_state::FormState,
        pages::{setup::passwords_differ, user_form::TEXT_FIELDS},
        redirect::redirect_with_flash,
    },
    permissions::{AddUsers, Permit},
};
use crate::{
    accounts::new_account::{NewAccountData, NewAccountFields},
    app_state::App,
    http::{
        body::fields::{FromField, InvalidField},
        error::ApiError,
    },
    passwords::{NewPassword, Password},
};

#[derive(Template)]
#[template(path = "admin/new_user.html")]
struct Page {
    v: View,
    me: CurrentAdmin,
    title: &'static str,
    section: &'static str,
    form: FormState,
    languages: Vec<SelectOption>,
}

/// The chosen way to the first password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Invite,
    Password,
    Nothing,
}

impl FromField for Access {
    const MAX_BYTES: usize = 64;

    fn from_field(text: &str) -> Result<Self, Invalid> {
        match text {
            "invite" => Ok(Self::Invite),
            "password" => Ok(Self::Password),
            "none" => Ok(Self::Nothing),
            _ => Err(Invalid::new("choice", "One of invite, password, none.")),
        }
    }
}

/// Shows the form.
#[handler]
#[expect(
    clippy::needless_pass_by_value,
    reason = "poem passes extractors by value"
)]
pub fn show(Data(app): Data<&App>, admin: Permit<AddUsers>, view: View) -> poem::Result<Response> {
    let form = FormState::new([("access", "invite".to_owned())]);
    view.page(StatusCode::OK, &Page::new(app, &view, &admin, form))
}

/// Creates the account and redirects to its page. After an error, the form keeps the input except for passwords.
#[handler]
pub async fn create(
    Data(app): Data<&App>,
    admin: Permit<AddUsers>,
    view: View,
    form: Form,
) -> poem::Result<Response> {
    let kept: Vec<_> = TEXT_FIELDS.into_iter().chain(["access"]).collect();
    let entered = FormState::from_form(&form, &kept);
    let created = match parse(app, form).await {
        Ok((account, password)) => {
            let flash = match password {
                FirstPassword::ByReset { invite: true } => "created_and_invited",
                _ => "created",
            };
            let user = create_user::create(app, &admin, account, password).await;
            user.map(|user| (user, flash))
        }
        Err(error) => Err(error),
    };
    let error = match created {
        Ok((user, flash)) => {
            let target = format!("/admin/users/{}/", user.id);
            return Ok(redirect_with_flash(app, &target, flash, 1));
        }
        Err(error) => error,
    };
    let form = entered.with_error(view.t, &error);
    view.page_with_error(error, &Page::new(app, &view, &admin, form))
}

async fn parse(app: &App, form: Form) -> Result<(NewAccountData, FirstPassword), ApiError> {
    let matches = form.text("password") == form.text("password_again");
    let mut fields = form.into_fields();
    let access = fields.required::<Access>("access");
    let is_chosen = matches!(access, Ok(Access::Password));
    let today = app.now().date_naive();
    let (account, password) = NewAccountFields::read(&mut fields, today, |fields| {
        is_chosen.then(|| fields.required::<Password>("password"))
    });
    let mut chosen: Option<Result<NewPassword, InvalidField>> = None;
    if let Some(password) = password {
        let policy = &app.passwords;
        let judged = fields
            .judge_password("password", password, policy, account.owner())
            .await?;
        if !matches {
            fields.add_error("password_again", passwords_differ());
        }
        chosen = Some(judged);
    }
    fields.finish()?;
    let password = match chosen {
        Some(password) => FirstPassword::Chosen(password?),
        None => FirstPassword::ByReset {
            invite: access? == Access::Invite,
        },
    };
    Ok((account.finish()?, password))
}

impl Page {
    fn new(app: &App, view: &View, admin: &Permit<AddUsers>, form: FormState) -> Self {
        Self {
            title: view.t.add_user,
            section: "users",
            v: view.clone(),
            me: CurrentAdmin::of(admin),
            languages: language_options(app, form.value("language")),
            form,
        }
    }
}
