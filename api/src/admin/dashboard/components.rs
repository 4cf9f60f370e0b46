//! Parts that several pages show.

use std::fmt::Display;

use latchkey_shared::types::permission::{Permission, Permissions};

use crate::admin::dashboard::{csrf::Form, form_state::FormState, i18n::Texts};
use crate::app_state::App;

/// An option of a select field.
pub struct SelectOption {
    /// The submitted value.
    pub value: String,
    /// The visible label.
    pub label: String,
    /// Whether it is selected.
    pub is_selected: bool,
}

impl SelectOption {
    /// Returns the options for pairs of value and label.
    pub fn list<'a, L: Into<String>>(
        options: impl IntoIterator<Item = (&'a str, L)>,
        selected: &str,
    ) -> Vec<Self> {
        options
            .into_iter()
            .map(|(value, label)| Self {
                value: value.to_owned(),
                label: label.into(),
                is_selected: value == selected,
            })
            .collect()
    }
}

/// The checkbox of a permission.
pub struct PermissionBox {
    /// The name of the field.
    pub name: &'static str,
    /// The visible label.
    pub label: &'static str,
}

/// Returns the checkboxes of all permissions.
#[must_use]
pub fn permission_boxes(t: &Texts) -> Vec<PermissionBox> {
    let boxes = Permission::ALL.map(|permission| PermissionBox {
        name: permission.as_str(),
        label: t.permission(permission),
    });
    boxes.into()
}

/// Adds the checkboxes of all permissions to a form.
pub fn add_permission_boxes(form: &mut FormState, checked: &Permissions) {
    for permission in Permission::ALL {
        form.add_checkbox(permission.as_str().to_owned(), checked.contains(permission));
    }
}

/// Returns the permissions whose checkboxes are checked.
#[must_use]
pub fn checked_permissions(form: &Form) -> Permissions {
    let all = Permission::ALL.into_iter();
    all.filter(|permission| form.is_checked(permission.as_str()))
        .collect()
}

/// Returns the languages of mails, and the selected one if it is another, such as `ar-EG`.
#[must_use]
pub fn language_options(app: &App, selected: &str) -> Vec<SelectOption> {
    let known = app.config.common.mail_templates.languages();
    let mut options: Vec<_> = known
        .map(|(tag, language)| (tag.as_str(), language.name.as_str()))
        .collect();
    if !selected.is_empty() && options.iter().all(|(tag, _)| *tag != selected) {
        options.push((selected, selected));
    }
    SelectOption::list(options, selected)
}

/// Formats a count that was limited to one more than `max`, as `max+` if it exceeds `max`.
pub fn capped_count<T: Copy + PartialOrd + Display>(count: T, max: T) -> String {
    if count > max {
        format!("{max}+")
    } else {
        count.to_string()
    }
}
