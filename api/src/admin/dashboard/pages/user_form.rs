//! The form of the page of an account: its stored and entered values, and the change that they are parsed into.

use std::collections::BTreeSet;

use latchkey_shared::{
    models::{
        role,
        user::{self, staff::Change},
    },
    types::{permission::Permission, validation_error::Invalid},
};

use crate::admin::{
    actions::edit_user::UserChange,
    dashboard::{
        account_status::AccountStatus,
        components::{SelectOption, add_permission_boxes, checked_permissions},
        context::View,
        csrf::Form,
        form_state::{FormState, StoredValue},
    },
    permissions::Admin,
};
use crate::{
    accounts::{pictures::PictureChange, profile},
    app_state::App,
    http::error::ApiError,
};

/// The text fields of an account.
pub(super) const TEXT_FIELDS: [&str; 6] = [
    "email",
    "username",
    "phoneNumber",
    "dateBirth",
    "gender",
    "language",
];
/// The checkboxes of the form, besides the permissions.
const CHECKBOXES: [&str; 2] = ["is_staff", "is_superuser"];

/// The checkbox of a role.
pub(super) struct RoleBox {
    pub name: String,
    pub role: role::Model,
    /// The names of the permissions.
    pub help: String,
}

/// Returns the name of the checkbox of a role.
fn role_box_name(role: &role::Model) -> String {
    format!("role_{}", role.id)
}

/// All roles, and the ids of those that an account has.
pub(super) struct Roles {
    all: Vec<role::Model>,
    assigned: BTreeSet<i64>,
}

impl Roles {
    pub async fn load(app: &App, user_id: i64) -> Result<Self, ApiError> {
        let assigned = role::of_user(&app.db, user_id).await?;
        Ok(Self {
            all: role::list(&app.db).await?,
            assigned: assigned.iter().map(|role| role.id).collect(),
        })
    }

    /// Returns the roles of the account.
    pub fn assigned(&self) -> Vec<role::Model> {
        let is_assigned = |role: &&role::Model| self.assigned.contains(&role.id);
        self.all.iter().filter(is_assigned).cloned().collect()
    }
}

/// Returns the checkboxes of all roles.
pub(super) fn role_boxes(view: &View, roles: &Roles) -> Vec<RoleBox> {
    let boxes = roles.all.iter().map(|role| RoleBox {
        name: role_box_name(role),
        help: view.t.permissions_of(&role.permissions),
        role: role.clone(),
    });
    boxes.collect()
}

/// Returns the options of the field `status`.
pub(super) fn status_options(
    view: &View,
    user: &user::Model,
    form: &FormState,
) -> Vec<SelectOption> {
    let choices = AccountStatus::choices(user).into_iter();
    let options = choices.map(|status| (status.as_str(), view.t.account_status(status)));
    SelectOption::list(options, form.value("status"))
}

/// Returns the form with the stored values.
pub(super) fn stored_form(user: &user::Model, roles: &Roles) -> FormState {
    let text = |value: Option<String>| value.unwrap_or_default();
    let fields = [
        ("email", user.email.to_string()),
        ("username", user.username.to_string()),
        (
            "phoneNumber",
            text(user.phone_number.as_ref().map(ToString::to_string)),
        ),
        (
            "dateBirth",
            text(user.date_birth.map(|date| date.to_string())),
        ),
        ("gender", text(user.gender.map(|gender| gender.to_string()))),
        (
            "language",
            text(user.language.as_ref().map(ToString::to_string)),
        ),
        ("status", AccountStatus::of(user).as_str().to_owned()),
    ];
    let mut form = FormState::new(fields);
    form.add_checkbox("is_staff".to_owned(), user.is_staff);
    form.add_checkbox("is_superuser".to_owned(), user.is_superuser);
    add_permission_boxes(&mut form, &user.permissions);
    form.version = user.version;
    for role in &roles.all {
        form.add_checkbox(role_box_name(role), roles.assigned.contains(&role.id));
    }
    form
}

/// Returns the form with the entered values. A form without a version matches no version.
pub(super) fn entered_form(form: &Form, roles: &Roles) -> FormState {
    let names = TEXT_FIELDS.into_iter().chain(CHECKBOXES);
    let names: Vec<_> = names.chain(["status", "image_clear"]).collect();
    let mut entered = FormState::from_form(form, &names);
    add_permission_boxes(&mut entered, &checked_permissions(form));
    entered.version = form.text("version").parse().unwrap_or(-1);
    for name in roles.all.iter().map(role_box_name) {
        let is_checked = form.is_checked(&name);
        entered.add_checkbox(name, is_checked);
    }
    entered
}

/// Returns the stored values that differ from the entered ones, for the fields that the form shows.
pub(super) fn conflicting_values(
    view: &View,
    admin: &Admin,
    entered: &FormState,
    stored: &user::Model,
    roles: &Roles,
) -> Vec<StoredValue> {
    let can_set_permissions = admin.can_set_permissions(stored);
    let (t, current) = (view.t, stored_form(stored, roles));
    let labels = [
        ("email", t.email),
        ("username", t.name),
        ("phoneNumber", t.phone),
        ("dateBirth", t.date_birth),
        ("gender", t.gender),
        ("language", t.mail_language),
        ("status", t.status),
        ("is_staff", t.staff),
        ("is_superuser", t.superuser),
    ];
    let permissions = Permission::ALL.map(|it| (it.as_str(), t.permission(it)));
    let is_shown = |name: &str| match name {
        "status" => admin.user.id != stored.id,
        name => can_set_permissions || TEXT_FIELDS.contains(&name),
    };
    labels
        .into_iter()
        .chain(permissions)
        .map(|(name, label)| (name.to_owned(), label.to_owned()))
        .chain(
            roles
                .all
                .iter()
                .map(|role| (role_box_name(role), role.name.to_string())),
        )
        .filter(|(name, _)| is_shown(name))
        .filter(|(name, _)| entered.value(name) != current.value(name))
        .map(|(name, label)| StoredValue {
            value: match (current.value(&name), name.as_str()) {
                (_, "status") => t.account_status(AccountStatus::of(stored)).to_owned(),
                ("on", _) => t.yes.to_owned(),
                ("", _) => "–".to_owned(),
                (value, _) => value.to_owned(),
            },
            label,
        })
        .collect()
}

/// Reads the change of an account from the form.
pub(super) async fn parse(
    app: &App,
    admin: &Admin,
    user: &user::Model,
    roles: &Roles,
    form: Form,
) -> Result<(UserChange, PictureChange), ApiError> {
    let is_checked = |name: &str| form.is_checked(name);
    let can_set_permissions = admin.can_set_permissions(user);
    let mut change = Change {
        is_staff: can_set_permissions.then(|| is_checked("is_staff")),
        is_superuser: can_set_permissions.then(|| is_checked("is_superuser")),
        permissions: can_set_permissions.then(|| checked_permissions(&form)),
        ..Change::default()
    };
    if admin.user.id != user.id && !form.text("status").is_empty() {
        let chosen = AccountStatus::parse(&form.text("status"));
        let chosen = chosen.filter(|status| AccountStatus::choices(user).contains(status));
        let unknown = || Invalid::new("choice", "Not a status that this account can get.");
        let status = chosen.ok_or_else(|| ApiError::invalid_field("status", unknown()))?;
        status.apply(user, &mut change);
    }
    let chosen = roles
        .all
        .iter()
        .filter(|role| is_checked(&role_box_name(role)));
    let roles = can_set_permissions.then(|| chosen.map(|role| role.id).collect());
    let clear = is_checked("image_clear");
    // Browsers submit the file field even without a file, which must keep the picture.
    let (profile, picture) = profile::parse(form.into_fields_without_empty("image"), app).await?;
    change.profile = profile;
    let picture = picture.or_else(|| clear.then_some(None));
    let account = change;
    Ok((UserChange { account, roles }, picture))
}
