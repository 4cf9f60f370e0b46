//! Changing one account, by an administrator.

use latchkey_shared::{
    models::{
        audit::Event,
        mail::MailKind,
        session,
        user::{
            self,
            staff::{self, Change},
        },
    },
    types::permission::Permissions,
};

use crate::admin::{
    actions::{self, event, finish, notice, some_superuser_left},
    permissions::{Admin, ChangeUsers, Permit},
};
use crate::{
    accounts::{
        pictures::{self, PictureChange},
        profile,
    },
    app_state::App,
    http::error::ApiError,
};

/// Writes a change to an account that is still as `seen` says, and does what goes with it: a mail at its activation, the
/// end of its sessions when it is shut or gets another address, the end of its old picture.
///
/// # Errors
/// When the administrator may not do this, somebody saved first, or the address is taken.
pub async fn change(
    app: &App,
    admin: &Permit<ChangeUsers>,
    seen: &user::Model,
    mut change: Change,
    upload: PictureChange,
) -> Result<user::Model, ApiError> {
    if change.is_superuser == Some(true) {
        // Whoever may do everything may sign in.
        change.is_staff = Some(true);
    } else if change.is_staff == Some(false) {
        change.is_superuser = Some(false);
    }
    check(admin, seen, &change)?;
    if let Some(upload) = upload {
        change.profile.picture = Some(match upload {
            Some(upload) => {
                let uploader = Some(admin.user.id);
                let picture = pictures::accept(app, &admin.trail, uploader, upload).await?;
                Some(app.pictures.save(picture).await?)
            }
            None => None,
        });
    }
    let new = change.profile.picture.clone();
    let changed = store(app, admin, seen, change).await;
    // Of the two pictures one is now nobody's: the old one, or after a failure the new one.
    let unused = match &changed {
        Ok(_) => seen.picture.clone().filter(|_| new.is_some()),
        Err(error) => new.flatten().filter(|_| error.is_certain()),
    };
    if let Some(name) = unused {
        app.pictures.remove(&name).await;
    }
    changed
}

fn check(admin: &Admin, seen: &user::Model, change: &Change) -> Result<(), ApiError> {
    let differs = |new: Option<bool>, old: bool| new.is_some_and(|new| new != old);
    let rights = differs(change.is_staff, seen.is_staff)
        || differs(change.is_superuser, seen.is_superuser)
        || change
            .permissions
            .as_ref()
            .is_some_and(|new| *new != seen.permissions);
    let shuts = differs(change.is_active, seen.is_active);
    let own = admin.user.id == seen.id;
    if !admin.can_manage(seen) || (rights && !admin.user.is_superuser) {
        return Err(ApiError::NotPermitted);
    }
    if own && (rights || shuts) {
        return Err(ApiError::OwnAccount);
    }
    Ok(())
}

async fn store(
    app: &App,
    admin: &Permit<ChangeUsers>,
    seen: &user::Model,
    change: Change,
) -> Result<user::Model, ApiError> {
    let (transaction, mut now) = actions::begin(app, admin, &[seen.id]).await?;
    let now = now.remove(0);
    // What was judged is what is changed.
    if now.version != seen.version {
        return Err(ApiError::EditConflict);
    }
    check(admin, &now, &change)?;
    if !change.alters(&now) {
        return Ok(now);
    }
    let mut mails = Vec::new();
    if profile::is_new(change.profile.email.as_ref(), seen) {
        // Whoever was logged in was so by the other address; administrators who change their own stay where they are.
        session::revoke_others(&transaction, seen.id, admin.session.id, app.now()).await?;
        mails.push(profile::address_changes(app, &transaction, seen, &admin.trail).await?);
    }
    let Some(user) = staff::change(&transaction, seen, change, app.now()).await? else {
        return Err(ApiError::EditConflict);
    };
    if seen.is_active && !user.is_active {
        session::revoke_all(&transaction, user.id, app.now()).await?;
    }
    if seen.is_superuser {
        some_superuser_left(&transaction).await?;
    }
    let activate = user.is_active && user.is_activated && !(seen.is_active && seen.is_activated);
    if activate {
        mails.push(notice(app, &transaction, &admin.trail, &user, MailKind::Activated).await?);
    }
    let changed = Event {
        changes: Some(differences(app, seen, &user)),
        ..event(admin, Some(user.id), "changed")
    };
    finish(app, transaction, vec![changed], mails).await?;
    Ok(user)
}

/// What differs, a line each. What tells who somebody is stays out of the log: a fingerprint shows that it changed, and
/// whether it is the same as elsewhere.
fn differences(app: &App, before: &user::Model, after: &user::Model) -> String {
    let mut lines = vec![actions::flags(&[
        ("is_activated", before.is_activated, after.is_activated),
        ("is_active", before.is_active, after.is_active),
        ("is_staff", before.is_staff, after.is_staff),
        ("is_superuser", before.is_superuser, after.is_superuser),
    ])];
    let rights = |permissions: &Permissions| permissions.to_string();
    if before.permissions != after.permissions {
        lines.push(format!(
            "permissions: [{}] → [{}]",
            rights(&before.permissions),
            rights(&after.permissions)
        ));
    }
    let personal = [
        (
            "email",
            Some(before.email.to_string()),
            Some(after.email.to_string()),
        ),
        (
            "username",
            Some(before.username.to_string()),
            Some(after.username.to_string()),
        ),
        (
            "phoneNumber",
            before.phone_number.as_ref().map(ToString::to_string),
            after.phone_number.as_ref().map(ToString::to_string),
        ),
        (
            "dateBirth",
            before.date_birth.map(|date| date.to_string()),
            after.date_birth.map(|date| date.to_string()),
        ),
        (
            "gender",
            before.gender.map(|gender| gender.to_string()),
            after.gender.map(|gender| gender.to_string()),
        ),
        ("image", before.picture.clone(), after.picture.clone()),
    ];
    for (name, before, after) in personal {
        if before != after {
            let print = |value: Option<String>| match value {
                Some(value) => app.fingerprint(name, &value),
                None => "-".to_owned(),
            };
            lines.push(format!("{name}: {} → {}", print(before), print(after)));
        }
    }
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}
