//! The sentences of audit events in English and Arabic, by kind and detail.
//!
//! `{account}` is the affected account, `{actor}` the administrator, `{role}` a role, `{token}` an API token, and `{value}` any other
//! value of the detail. The Arabic sentences are nominal, so that they suit every name.

use latchkey_shared::models::audit::EventKind as Kind;

/// A kind, the word of the detail, and the sentence in English and Arabic. The empty word is for all other details.
type Row = (Kind, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const OWN: [Row; 70] = [
    (Kind::LoginSuccess, "", "{account} logged in.", "تسجيل دخول {account}."),
    (Kind::LoginSuccess, "dashboard", "{account} signed in to the dashboard.", "تسجيل دخول {account} إلى لوحة التحكم."),
    (Kind::LoginSuccess, "totp", "{account} logged in with a code of an authenticator app.", "تسجيل دخول {account} برمز من تطبيق المصادقة."),
    (Kind::LoginSuccess, "recovery code", "{account} logged in with a recovery code.", "تسجيل دخول {account} برمز استرداد."),
    (Kind::LoginSuccess, "dashboard, totp", "{account} signed in to the dashboard with a code of an authenticator app.", "تسجيل دخول {account} إلى لوحة التحكم برمز من تطبيق المصادقة."),
    (Kind::LoginSuccess, "dashboard, recovery code", "{account} signed in to the dashboard with a recovery code.", "تسجيل دخول {account} إلى لوحة التحكم برمز استرداد."),
    (Kind::LoginFail, "second_factor", "A login to {account} failed: wrong second factor.", "فشل الدخول إلى حساب {account}: عامل التحقّق الثاني غير صحيح."),
    (Kind::LoginFail, "", "A login to {account} failed.", "فشل الدخول إلى حساب {account}."),
    (Kind::LoginFail, "wrong_password", "A login to {account} failed: wrong password.", "فشل الدخول إلى حساب {account}: كلمة المرور غير صحيحة."),
    (Kind::LoginFail, "unknown_email", "A login failed: no account had the email {account}.", "فشل الدخول: لم يكن هناك حساب بالبريد {account}."),
    (Kind::LoginFail, "deactivated", "A login to {account} failed: the account is deactivated.", "فشل الدخول إلى حساب {account}: الحساب معطّل."),
    (Kind::LoginFail, "not_activated", "A login to {account} failed: the account is not activated.", "فشل الدخول إلى حساب {account}: الحساب غير مفعّل."),
    (Kind::LoginFail, "not_staff", "A sign-in of {account} to the dashboard failed: not a staff account.", "فشل دخول {account} إلى لوحة التحكم: ليس حساب موظف."),
    (Kind::CodeSuccess, "", "The right code for a password reset of {account} was entered.", "إدخال رمز صحيح لتغيير كلمة مرور {account}."),
    (Kind::CodeSuccess, "second factor", "{account} proved a second factor: {value}.", "إثبات عامل تحقّق ثانٍ لحساب {account}: {value}."),
    (Kind::CodeFail, "second factor", "A wrong second factor of {account} was entered.", "إدخال عامل تحقّق ثانٍ غير صحيح لحساب {account}."),
    (Kind::CodeFail, "", "A wrong or expired code for a password reset of {account} was entered.", "إدخال رمز خاطئ أو منتهٍ لتغيير كلمة مرور {account}."),
    (Kind::CodeFail, "activation", "A wrong or expired activation code of {account} was entered.", "إدخال رمز تفعيل خاطئ أو منتهٍ لحساب {account}."),
    (Kind::CodeFail, "email confirmation", "A wrong or expired code for a new email of {account} was entered.", "إدخال رمز خاطئ أو منتهٍ لتأكيد بريد {account}."),
    (Kind::PasswordChange, "", "{account} changed the password.", "تغيير كلمة المرور بواسطة {account}."),
    (Kind::PasswordChange, "reset", "The password of {account} was reset with a code.", "إعادة تعيين كلمة مرور {account} برمز."),
    (Kind::PasswordChange, "reset, activation", "The password of {account} was set with a code, which activated the account.", "تعيين كلمة مرور {account} برمز، وبذلك فُعّل الحساب."),
    (Kind::PasswordChange, "reset, email restored", "The password of {account} was reset with a code, which restored the previous email.", "إعادة تعيين كلمة مرور {account} برمز أعاد البريد السابق."),
    (Kind::PasswordChangeFail, "", "A password change of {account} failed: wrong current password.", "فشل تغيير كلمة مرور {account}: كلمة المرور الحالية غير صحيحة."),
    (Kind::PasswordChangeFail, "second factor", "A change of the second factor of {account} failed: wrong password.", "فشل تغيير عامل التحقّق الثاني لحساب {account}: كلمة المرور غير صحيحة."),
    (Kind::PasswordChangeFail, "account deletion", "A request to delete {account} was refused: wrong password.", "رُفض طلب حذف حساب {account}: كلمة المرور غير صحيحة."),
    (Kind::PasswordChangeFail, "email change", "A change of the email of {account} failed: wrong password.", "فشل تغيير بريد {account}: كلمة المرور غير صحيحة."),
    (Kind::PasswordChangeFail, "email trusted", "{account} could not trust an email: wrong password.", "فشل اعتماد بريد بواسطة {account}: كلمة المرور غير صحيحة."),
    (Kind::PasswordChangeFail, "API token", "{account} could not create an API token: wrong password.", "فشل إنشاء مفتاح API بواسطة {account}: كلمة المرور غير صحيحة."),
    (Kind::TokenRevoked, "", "{account} ended a session.", "إنهاء جلسة بواسطة {account}."),
    (Kind::TokenRevoked, "every session", "{account} ended all sessions.", "إنهاء كل الجلسات بواسطة {account}."),
    (Kind::TokenRevoked, "dashboard", "{account} signed out of the dashboard.", "خروج {account} من لوحة التحكم."),
    (Kind::TokenReuse, "", "A replaced refresh token of {account} was used again. Its session was ended.", "استُخدم رمز تحديث مستبدَل لحساب {account} مرة أخرى، فأُنهيت جلسته."),
    (Kind::TokenFail, "", "An invalid token was refused.", "رُفض رمز وصول غير صالح."),
    (Kind::TokenFail, "API token", "An invalid API token was refused.", "رُفض مفتاح API غير صالح."),
    (Kind::TokenFail, "refresh", "An invalid refresh token was refused.", "رُفض رمز تحديث غير صالح."),
    (Kind::TokenFail, "logout", "A logout with an invalid token was refused.", "رُفض خروج برمز غير صالح."),
    (Kind::TokenFail, "activation", "A request for an activation code with an invalid token was refused.", "رُفض طلب رمز تفعيل برمز وصول غير صالح."),
    (Kind::TokenFail, "reset", "A password reset with an invalid token was refused.", "رُفض تغيير كلمة مرور برمز غير صالح."),
    (Kind::RateLimitExceeded, "", "Requests of {account} were refused: too many.", "رُفضت طلبات {account}: كثيرة جدًا."),
    (Kind::RateLimitExceeded, "login", "Logins of {account} were refused: too many attempts.", "رُفضت محاولات دخول {account}: محاولات كثيرة جدًا."),
    (Kind::RateLimitExceeded, "registration", "Registrations from {account} were refused: too many.", "رُفضت تسجيلات من {account}: كثيرة جدًا."),
    (Kind::RateLimitExceeded, "code request", "Requests for codes from {account} were refused: too many.", "رُفضت طلبات رموز من {account}: كثيرة جدًا."),
    (Kind::RateLimitExceeded, "code", "Codes of {account} were refused: too many attempts.", "رُفضت رموز {account}: محاولات كثيرة جدًا."),
    (Kind::RateLimitExceeded, "password reset", "Password resets from {account} were refused: too many.", "رُفضت طلبات تغيير كلمة المرور من {account}: كثيرة جدًا."),
    (Kind::RateLimitExceeded, "password change", "Password changes of {account} were refused: too many attempts.", "رُفضت تغييرات كلمة مرور {account}: محاولات كثيرة جدًا."),
    (Kind::RateLimitExceeded, "second factor", "Second factors of {account} were refused: too many attempts.", "رُفضت عوامل تحقّق ثانية لحساب {account}: محاولات كثيرة جدًا."),
    (Kind::RateLimitExceeded, "email change", "Email changes of {account} were refused: too many.", "رُفضت تغييرات بريد {account}: كثيرة جدًا."),
    (Kind::RateLimitExceeded, "invitation", "New accounts and invitations by {account} were refused: too many.", "رُفضت حسابات ودعوات جديدة من {account}: كثيرة جدًا."),
    (Kind::RateLimitExceeded, "picture upload", "Picture uploads of {account} were refused: too many.", "رُفض رفع صور {account}: كثيرة جدًا."),
    (Kind::RateLimitExceeded, "account export", "Exports of {account} were refused: too many.", "رُفض تصدير بيانات {account}: طلبات كثيرة جدًا."),
    (Kind::UserCreated, "", "{account} registered.", "تسجيل حساب {account}."),
    (Kind::UserCreated, "administrator", "{actor} created the superuser {account}.", "إنشاء المدير العام {account} بواسطة {actor}."),
    (Kind::UserCreated, "administrator, by the setup link", "{account} was created as the first superuser.", "إنشاء {account} كأول مدير عام."),
    (Kind::UserCreateFail, "", "A registration with the email of {account} was refused.", "رُفض تسجيل ببريد {account}."),
    (Kind::UserUpdated, "", "{account} was changed.", "تعديل حساب {account}."),
    (Kind::UserUpdated, "activation", "{account} was activated with a code.", "تفعيل حساب {account} برمز."),
    (Kind::UserUpdated, "totp added", "{account} added an authenticator app as second factor.", "إضافة تطبيق مصادقة كعامل تحقّق ثانٍ لحساب {account}."),
    (Kind::UserUpdated, "totp removed", "{account} removed the second factor.", "إزالة عامل التحقّق الثاني لحساب {account}."),
    (Kind::UserUpdated, "recovery codes replaced", "{account} created new recovery codes.", "إنشاء رموز استرداد جديدة لحساب {account}."),
    (Kind::UserUpdated, "second factor removed", "{actor} removed the second factor of {account}.", "إزالة عامل التحقّق الثاني لحساب {account} بواسطة {actor}."),
    (Kind::UserUpdated, "deletion requested", "{account} requested deletion, due on {value}.", "طلب حذف حساب {account}، موعده {value}."),
    (Kind::UserUpdated, "deletion cancelled", "A login cancelled the deletion of {account}.", "إلغاء حذف حساب {account} بتسجيل دخول."),
    (Kind::UserDeleted, "never verified", "{account} was deleted, because its email was never verified.", "حذف حساب {account} لأن بريده لم يُؤكَّد."),
    (Kind::UserDeleted, "", "{account} was deleted at the request of the owner.", "حذف حساب {account} بطلب من صاحبه."),
    (Kind::UserExported, "", "{account} exported all data of the account.", "تصدير كل بيانات الحساب بواسطة {account}."),
    (Kind::UserUpdated, "email change requested", "{account} requested a new email.", "طلب بريد جديد بواسطة {account}."),
    (Kind::UserUpdated, "email change cancelled", "The change of the email of {account} was cancelled.", "إلغاء تغيير بريد {account}."),
    (Kind::UserUpdated, "email confirmation", "{account} confirmed the email.", "تأكيد البريد بواسطة {account}."),
    (Kind::UserUpdated, "e-mail address", "{account} changed the email.", "تغيير البريد بواسطة {account}."),
];

#[rustfmt::skip]
const ADMIN: [Row; 29] = [
    (Kind::NotPermitted, "", "A request of {account} was refused: missing permission.", "رُفض طلب من {account}: لا توجد صلاحية."),
    (Kind::Admin, "", "{actor}: {value}", "{actor}: {value}"),
    (Kind::Admin, "email trusted", "{actor} trusted the new email of {account}.", "اعتماد البريد الجديد لحساب {account} بواسطة {actor}."),
    (Kind::Admin, "second factor removed", "{actor} removed the second factor of {account}.", "إزالة عامل التحقّق الثاني لحساب {account} بواسطة {actor}."),
    (Kind::Admin, "activated", "{actor} activated {account}.", "تفعيل حساب {account} بواسطة {actor}."),
    (Kind::Admin, "deactivated", "{actor} deactivated {account}.", "تعطيل حساب {account} بواسطة {actor}."),
    (Kind::Admin, "deleted", "{actor} deleted {account}.", "حذف حساب {account} بواسطة {actor}."),
    (Kind::Admin, "changed", "{actor} changed {account}.", "تعديل حساب {account} بواسطة {actor}."),
    (Kind::Admin, "created", "{actor} created {account}.", "إنشاء حساب {account} بواسطة {actor}."),
    (Kind::Admin, "created and invited", "{actor} created {account} and sent an invitation.", "إنشاء حساب {account} ودعوة صاحبه بواسطة {actor}."),
    (Kind::Admin, "invited", "{actor} sent {account} an invitation.", "دعوة {account} بواسطة {actor}."),
    (Kind::Admin, "all sessions ended", "{actor} ended all sessions of {account}.", "إنهاء كل جلسات {account} بواسطة {actor}."),
    (Kind::Admin, "session ended", "{actor} ended a session of {account}.", "إنهاء جلسة {account} بواسطة {actor}."),
    (Kind::Admin, "password reset requested", "{actor} asked {account} to choose a new password.", "طلب كلمة مرور جديدة من {account} بواسطة {actor}."),
    (Kind::Admin, "unlocked", "{actor} unlocked {account}.", "رفع الحظر عن {account} بواسطة {actor}."),
    (Kind::Admin, "role created", "{actor} created the role {role}.", "إنشاء الدور {role} بواسطة {actor}."),
    (Kind::Admin, "role changed", "{actor} changed the role {role}.", "تعديل الدور {role} بواسطة {actor}."),
    (Kind::Admin, "role deleted", "{actor} deleted the role {role}.", "حذف الدور {role} بواسطة {actor}."),
    (Kind::Admin, "token created", "{actor} created the API token {token}.", "إنشاء مفتاح API {token} بواسطة {actor}."),
    (Kind::Admin, "token revoked", "{actor} revoked the API token {token} of {account}.", "إلغاء مفتاح API {token} لحساب {account} بواسطة {actor}."),
    (Kind::Admin, "mail sent again", "{actor} sent a mail to {account} again.", "إعادة إرسال رسالة إلى {account} بواسطة {actor}."),
    (Kind::Admin, "mail cancelled", "{actor} cancelled a mail to {account}.", "إلغاء رسالة إلى {account} بواسطة {actor}."),
    (Kind::Admin, "mails sent again", "{actor} sent failed mails again: {value}.", "إعادة إرسال رسائل فاشلة بواسطة {actor}: {value}."),
    (Kind::Admin, "exported users", "{actor} exported users: {value}.", "تصدير مستخدمين بواسطة {actor}: {value}."),
    (Kind::Admin, "exported accounts with password hashes", "{actor} exported all accounts with their password hashes.", "تصدير كل الحسابات مع تجزئات كلمات المرور بواسطة {actor}."),
    (Kind::Admin, "imported accounts", "{actor} imported accounts.", "استيراد حسابات بواسطة {actor}."),
    (Kind::Admin, "replaced data keys", "{actor} replaced data keys: {value}.", "استبدال مفاتيح البيانات بواسطة {actor}: {value}."),
    (Kind::Admin, "signing key created", "{actor} created the signing key {value}.", "إنشاء مفتاح التوقيع {value} بواسطة {actor}."),
    (Kind::Admin, "signing key revoked", "{actor} revoked the signing key {value}.", "إيقاف مفتاح التوقيع {value} بواسطة {actor}."),
];

/// Returns the sentence of an event in a language, and the part of the detail that is its `{value}`. `None` for an unknown kind.
pub(super) fn find<'a>(
    event: &str,
    detail: &'a str,
    language: &str,
) -> Option<(&'static str, &'a str)> {
    let (word, value) = split(detail);
    let of_kind = || {
        let rows = OWN.iter().chain(&ADMIN);
        rows.filter(|(kind, ..)| kind.as_str() == event)
    };
    let exact = of_kind().find(|(_, key, ..)| *key == word);
    let (row, value) = match exact {
        Some(row) => (row, value),
        None => (of_kind().find(|(_, key, ..)| key.is_empty())?, detail),
    };
    let (_, _, english, arabic) = *row;
    Some((if language == "ar" { arabic } else { english }, value))
}

/// Splits a detail into its fixed words and its value: `role 3 created`, `mail 018f… cancelled`, `unlocked: login`.
fn split(detail: &str) -> (String, &str) {
    if let Some((word, value)) = detail.split_once(": ") {
        // The page shows the filter of an export as changes.
        let filter = value.find(", ").filter(|_| word == "exported users");
        return (word.to_owned(), &value[..filter.unwrap_or(value.len())]);
    }
    let mut words = detail.splitn(3, ' ');
    match (words.next(), words.next(), words.next()) {
        (Some(thing @ ("role" | "mail" | "token")), Some(value), Some(action)) => {
            (format!("{thing} {action}"), value)
        }
        _ => (detail.to_owned(), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_sentence_for_unknown_details() {
        for kind in Kind::ALL {
            for language in ["en", "ar"] {
                let found = find(kind.as_str(), "something new", language);
                assert!(found.is_some(), "{kind:?}");
            }
        }
        assert_eq!(find("unknown", "", "en"), None);
    }

    #[test]
    fn moves_of_accounts_have_sentences() {
        for detail in [
            "exported accounts with password hashes",
            "imported accounts",
        ] {
            let (sentence, _) = find(Kind::Admin.as_str(), detail, "ar").unwrap();
            assert!(!sentence.contains("{value}"), "{detail}");
        }
    }

    #[test]
    fn both_languages_have_the_same_placeholders() {
        for (kind, word, english, arabic) in OWN.iter().chain(&ADMIN) {
            for placeholder in ["{account}", "{actor}", "{role}", "{token}", "{value}"] {
                assert_eq!(
                    english.matches(placeholder).count(),
                    arabic.matches(placeholder).count(),
                    "{kind:?} {word} {placeholder}"
                );
            }
        }
    }

    #[test]
    fn detail_is_split_into_words_and_value() {
        for (detail, word, value) in [
            ("activated", "activated", ""),
            ("unlocked: login", "unlocked", "login"),
            ("role 3 created", "role created", "3"),
            ("token 018f created", "token created", "018f"),
            ("mail 018f sent again", "mail sent again", "018f"),
            ("exported users: 2, is_staff: true", "exported users", "2"),
        ] {
            assert_eq!(split(detail), (word.to_owned(), value), "{detail}");
        }
    }
}
