//! The names of the kinds of mails in English and Arabic.

/// The kind in the row of a mail, and its name in English and Arabic.
#[rustfmt::skip]
const KINDS: [(&str, &str, &str); 25] = [
    ("reset_code", "Reset code", "رمز التغيير"),
    ("password_changed", "Password changed", "تغيّرت كلمة المرور"),
    ("welcome", "Welcome", "ترحيب"),
    ("activated", "Account activated", "تفعيل الحساب"),
    ("token_reused", "Refresh token reused", "إعادة استخدام رمز التحديث"),
    ("address_taken", "Email address already registered", "البريد مسجّل من قبل"),
    ("reset_asked", "Password reset requested", "طلب تغيير كلمة المرور"),
    ("invitation", "Invitation", "دعوة"),
    ("email_changed", "Email address changed", "تغيّر البريد الإلكتروني"),
    ("email_unconfirmed", "Email address changed, not confirmed", "تغيّر البريد الإلكتروني دون تأكيد"),
    ("email_changed_by_staff", "Email address changed by staff", "غيّر الفريق البريد الإلكتروني"),
    ("email_restored", "Email address restored", "استُعيد البريد الإلكتروني"),
    ("email_change_requested", "Email change requested", "طُلب تغيير البريد الإلكتروني"),
    ("email_change_cancelled", "Email change cancelled", "أُلغي تغيير البريد الإلكتروني"),
    ("email_code", "Email confirmation code", "رمز تأكيد البريد الإلكتروني"),
    ("new_device", "Login from a new device", "تسجيل دخول من جهاز جديد"),
    ("api_token_created", "API token created", "إنشاء مفتاح API"),
    ("deletion_scheduled", "Deletion scheduled", "موعد حذف الحساب"),
    ("deletion_cancelled", "Deletion cancelled", "أُلغي حذف الحساب"),
    ("account_deleted", "Account deleted", "حذف الحساب"),
    ("second_factor_added", "Second factor added", "إضافة عامل تحقّق ثانٍ"),
    ("second_factor_removed", "Second factor removed", "إزالة عامل التحقّق الثاني"),
    ("recovery_code_used", "Recovery code used", "استخدام رمز استرداد"),
    ("recovery_codes_replaced", "Recovery codes replaced", "رموز استرداد جديدة"),
    ("activation_code", "Activation code", "رمز التفعيل"),
];

/// Returns the name of a kind in a language. An unknown kind, from a newer version, is a question mark.
pub(super) fn find(kind: &str, language: &str) -> &'static str {
    let row = KINDS.iter().find(|(name, ..)| *name == kind);
    row.map_or("?", |(_, english, arabic)| match language {
        "ar" => arabic,
        _ => english,
    })
}

#[cfg(test)]
mod tests {
    use latchkey_shared::models::mail::MailKind;

    use super::*;

    #[test]
    fn each_kind_of_mail_has_a_name() {
        for kind in MailKind::ALL {
            for language in ["en", "ar"] {
                assert_ne!(find(kind.as_str(), language), "?", "{kind:?}");
            }
        }
        assert_eq!(find("telegram", "en"), "?");
    }
}
