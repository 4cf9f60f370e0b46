//! The action that changes one account.

use std::collections::BTreeSet;

use latchkey_shared::{
    database::Transaction,
    models::{
        api_token,
        audit::{Event, ValueChange},
        mail::MailKind,
        role, session,
        user::{
            self,
            staff::{self, Change},
        },
    },
    outbox::QueuedMail,
    types::validation_error::Invalid,
};

use crate::admin::{
    actions::{self, describe_flags, ensure_superuser_remains, write_notice},
    permissions::{Admin, ChangeUsers, Permit},
};
use crate::{
    accounts::pictures::{self, PictureChange},
    app_state::App,
    auth::email_change,
    http::error::ApiError,
};

/// A change of an account and of its roles.
#[derive(Debug, Default)]
pub struct UserChange {
    /// The change of the account. The picture is not yet stored.
    pub account: Change,
    /// The ids of all roles; `None` keeps them.
    pub roles: Option<BTreeSet<i64>>,
}

impl UserChange {
    /// Returns the roles after the change.
    fn roles_after(&self, before: &BTreeSet<i64>) -> BTreeSet<i64> {
        self.roles.as_ref().unwrap_or(before).clone()
    }
}

/// Changes an account. Fails with an edit conflict if it is no longer at the version of `seen`.
pub async fn change(
    app: &App,
    admin: &Permit<ChangeUsers>,
    seen: &user::Model,
    mut change: UserChange,
    upload: PictureChange,
) -> Result<user::Model, ApiError> {
    let account = &mut change.account;
    if account.is_superuser == Some(true) {
        // Superusers must be able to sign in to the dashboard.
        account.is_staff = Some(true);
    } else if account.is_staff == Some(false) {
        account.is_superuser = Some(false);
    }
    let roles = role::of_user(&app.db, seen.id).await?;
    authorize(admin, seen, &ids(&roles), &change)?;
    let picture = pictures::store(app, &admin.audit, admin.user.id, upload).await?;
    change.account.profile.picture = picture;
    let new = change.account.profile.picture.clone().flatten();
    let changed = store(app, admin, seen, change).await;
    let outcome = changed
        .as_ref()
        .map(|after| [seen.picture.clone(), after.picture.clone()]);
    app.pictures.remove_unreferenced(new, outcome).await;
    changed
}

fn ids(roles: &[role::Model]) -> BTreeSet<i64> {
    roles.iter().map(|role| role.id).collect()
}

/// Checks that the staff member may make this change to this account, which has these roles.
fn authorize(
    admin: &Admin,
    seen: &user::Model,
    roles: &BTreeSet<i64>,
    change: &UserChange,
) -> Result<(), ApiError> {
    let changes_roles = change.roles_after(roles) != *roles;
    let change = &change.account;
    let differs = |new: Option<bool>, old: bool| new.is_some_and(|new| new != old);
    let changes_permissions = changes_roles
        || differs(change.is_staff, seen.is_staff)
        || differs(change.is_superuser, seen.is_superuser)
        || change
            .permissions
            .as_ref()
            .is_some_and(|new| *new != seen.permissions);
    if !admin.can_manage(seen) || (changes_permissions && !admin.is_superuser()) {
        return Err(ApiError::NotPermitted);
    }
    let is_own = admin.user.id == seen.id;
    if is_own && (changes_permissions || differs(change.is_active, seen.is_active)) {
        return Err(ApiError::OwnAccount);
    }
    // Staff confirm a new email of their own with the password and a code.
    if is_own && email_change::is_new_email(change.profile.email.as_ref(), seen) {
        let detail =
            "Change your own email with your password: PATCH /api/user/, or /admin/account/.";
        return Err(ApiError::invalid_field(
            "email",
            Invalid::new("own_email", detail),
        ));
    }
    Ok(())
}

async fn store(
    app: &App,
    admin: &Permit<ChangeUsers>,
    seen: &user::Model,
    change: UserChange,
) -> Result<user::Model, ApiError> {
    let (transaction, mut locked) = actions::begin(app, admin, &[seen.id]).await?;
    let current = locked.remove(0);
    if current.version != seen.version {
        return Err(ApiError::EditConflict);
    }
    let roles_before = role::of_user(&transaction, seen.id).await?;
    let role_ids = ids(&roles_before);
    authorize(admin, &current, &role_ids, &change)?;
    let new_roles = change.roles_after(&role_ids);
    let mut change = change.account;
    if !change.alters(&current) && new_roles == role_ids {
        return Ok(current);
    }
    let added: Vec<_> = new_roles.difference(&role_ids).copied().collect();
    if role::lock(&transaction, &added).await?.len() < added.len() {
        let unknown = Invalid::new("choice", "No role has this id.");
        return Err(ApiError::invalid_field("roles", unknown));
    }
    role::assign(&transaction, seen.id, &role_ids, &new_roles).await?;
    let roles_after = role::of_user(&transaction, seen.id).await?;
    let mut mails = Vec::new();
    let new = change.profile.email.clone();
    if let Some(email) = new.filter(|email| email_change::is_new_email(Some(email), seen)) {
        session::revoke_all(&transaction, seen.id, app.now()).await?;
        change.profile.email_trusted_from = Some(app.now() + email_change::NOTICE_PERIOD);
        let kind = MailKind::EmailChangedByStaff;
        let notice = email_change::before_unconfirmed_change(
            app,
            &transaction,
            seen,
            &email,
            kind,
            &admin.audit,
        );
        mails.push(notice.await?);
    }
    let Some(user) = staff::change(&transaction, seen, change, app.now()).await? else {
        return Err(ApiError::EditConflict);
    };
    mails.extend(after_change(app, admin, &transaction, seen, &user).await?);
    let mut changes = describe_changes(app, seen, &user);
    changes.extend(describe_roles(&roles_before, &roles_after));
    let mut event = Event {
        changes: Some(changes.join("\n")),
        ..admin.audit_event_about(seen, "changed")
    };
    event.details.changes = personal_changes(seen, &user);
    actions::commit(app, transaction, vec![event], mails).await?;
    Ok(user)
}

/// Applies the consequences of a change: ends the sessions and API tokens of a deactivated account, keeps the last superuser, and notifies
/// the owner of an activated account.
async fn after_change(
    app: &App,
    admin: &Admin,
    transaction: &Transaction,
    before: &user::Model,
    after: &user::Model,
) -> Result<Option<QueuedMail>, ApiError> {
    if before.is_active && !after.is_active {
        session::revoke_all(transaction, after.id, app.now()).await?;
        api_token::revoke_all(transaction, after.id, app.now()).await?;
    }
    if before.is_superuser {
        ensure_superuser_remains(transaction).await?;
    }
    let can_log_in = |user: &user::Model| user.is_active && user.is_activated;
    if can_log_in(before) || !can_log_in(after) {
        return Ok(None);
    }
    write_notice(app, transaction, &admin.audit, after, MailKind::Activated)
        .await
        .map(Some)
}

/// Describes the change of the roles for the audit log.
fn describe_roles(before: &[role::Model], after: &[role::Model]) -> Option<String> {
    // Another administrator may change a role itself in the meantime.
    let names = |roles: &[role::Model]| {
        let names: Vec<_> = roles
            .iter()
            .map(|role| format!("{} {}", role.id, role.name))
            .collect();
        names.join(", ")
    };
    (ids(before) != ids(after)).then(|| format!("roles: [{}] → [{}]", names(before), names(after)))
}

/// Describes the changes for the audit log, one per line. Personal data appears as fingerprints.
fn describe_changes(app: &App, before: &user::Model, after: &user::Model) -> Vec<String> {
    let mut lines = vec![describe_flags(&[
        ("is_activated", before.is_activated, after.is_activated),
        ("is_active", before.is_active, after.is_active),
        ("is_staff", before.is_staff, after.is_staff),
        ("is_superuser", before.is_superuser, after.is_superuser),
    ])];
    if before.permissions != after.permissions {
        lines.push(format!(
            "permissions: [{}] → [{}]",
            before.permissions, after.permissions
        ));
    }
    for change in personal_changes(before, after) {
        let fingerprint = |value: Option<String>| match value {
            Some(value) => app.fingerprint(&change.field, &value),
            None => "-".to_owned(),
        };
        lines.push(format!(
            "{}: {} → {}",
            change.field,
            fingerprint(change.before),
            fingerprint(change.after)
        ));
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// Returns the changed personal data, for the details of the audit event.
fn personal_changes(before: &user::Model, after: &user::Model) -> Vec<ValueChange> {
    let pairs = personal_data(before).into_iter().zip(personal_data(after));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((field, before), (_, after))| ValueChange {
            field: field.to_owned(),
            before,
            after,
        })
        .collect()
}

fn personal_data(user: &user::Model) -> [(&'static str, Option<String>); 7] {
    fn text<T: ToString>(value: Option<&T>) -> Option<String> {
        value.map(ToString::to_string)
    }
    [
        ("email", text(Some(&user.email))),
        ("username", text(Some(&user.username))),
        ("phoneNumber", text(user.phone_number.as_ref())),
        ("dateBirth", text(user.date_birth.as_ref())),
        ("gender", text(user.gender.as_ref())),
        ("language", text(user.language.as_ref())),
        ("image", user.picture.clone()),
    ]
}
