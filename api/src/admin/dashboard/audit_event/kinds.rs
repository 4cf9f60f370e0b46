//! The names of the kinds of events, for the filter of the log.

use latchkey_shared::models::audit::EventKind;

use crate::admin::dashboard::i18n::Texts;

/// Returns the name of a kind.
#[must_use]
pub fn kind_label(t: &Texts, kind: EventKind) -> &'static str {
    let (english, arabic) = match kind {
        EventKind::LoginSuccess => ("Login", "دخول"),
        EventKind::LoginFail => ("Failed login", "دخول فاشل"),
        EventKind::CodeSuccess => ("Right code", "رمز صحيح"),
        EventKind::CodeFail => ("Wrong code", "رمز خاطئ"),
        EventKind::PasswordChange => ("Password changed", "تغيير كلمة المرور"),
        EventKind::PasswordChangeFail => ("Failed password change", "تغيير فاشل لكلمة المرور"),
        EventKind::TokenRevoked => ("Session ended", "إنهاء جلسة"),
        EventKind::TokenReuse => ("Refresh token reused", "إعادة استخدام رمز التحديث"),
        EventKind::TokenFail => ("Invalid token", "رمز غير صالح"),
        EventKind::RateLimitExceeded => ("Rate limited", "تجاوز حد الطلبات"),
        EventKind::UserCreated => ("Account created", "إنشاء حساب"),
        EventKind::UserCreateFail => ("Failed registration", "تسجيل فاشل"),
        EventKind::UserUpdated => ("Account changed", "تعديل حساب"),
        EventKind::UserDeleted => ("Account deleted", "حذف حساب"),
        EventKind::UserExported => ("Account exported", "تصدير حساب"),
        EventKind::Admin => ("Administration", "إجراء إداري"),
        EventKind::NotPermitted => ("Missing permission", "صلاحية ناقصة"),
    };
    if t.code == "ar" { arabic } else { english }
}
