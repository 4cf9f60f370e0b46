//! The words of the dashboard, English and Arabic side by side, so that neither can lack what the other has.

use latchkey_shared::{
    models::{mail::MailState, password_reset::Stage},
    types::permission::Permission,
};

use crate::http::error::{ApiError, problem::FieldError};

macro_rules! texts {
    ($($name:ident: $english:literal | $arabic:literal;)*) => {
        /// The words of one language.
        #[expect(missing_docs, reason = "each is named after what it says")]
        pub struct Texts {
            $(pub $name: &'static str,)*
        }

        /// In English.
        pub static ENGLISH: Texts = Texts { $($name: $english,)* };

        /// In Arabic.
        pub static ARABIC: Texts = Texts { $($name: $arabic,)* };
    };
}

texts! {
    code: "en" | "ar";
    dir: "ltr" | "rtl";

    // The frame.
    skip: "Skip to content" | "تخطَّ إلى المحتوى";
    sections: "Sections" | "الأقسام";
    home: "Overview" | "نظرة عامة";
    users: "Users" | "المستخدمون";
    resets: "Password resets" | "طلبات كلمة المرور";
    limits: "Lock-outs" | "الحظر المؤقت";
    mails: "Mails" | "الرسائل";
    audit: "Audit log" | "سجل التدقيق";
    own_account: "Own account" | "حسابي";
    sign_out: "Sign out" | "تسجيل الخروج";
    theme: "Theme" | "المظهر";
    theme_system: "System" | "حسب النظام";
    theme_light: "Light" | "فاتح";
    theme_dark: "Dark" | "داكن";
    language: "Language" | "اللغة";
    apply: "Apply" | "تطبيق";
    utc: "All times are UTC." | "جميع الأوقات بتوقيت UTC.";
    api_docs: "API documentation" | "توثيق الواجهة البرمجية";
    none: "None." | "لا يوجد.";
    any: "Any" | "الكل";
    yes: "Yes" | "نعم";
    no: "No" | "لا";
    search: "Search" | "بحث";
    pages: "Pages" | "الصفحات";
    previous: "Previous page" | "الصفحة السابقة";
    next: "Next page" | "الصفحة التالية";
    first_page: "To the first page" | "إلى الصفحة الأولى";
    newest: "To the newest" | "إلى الأحدث";
    cancel: "Cancel" | "إلغاء";
    save: "Save" | "حفظ";
    back_home: "To the dashboard" | "إلى لوحة التحكم";
    request: "Request" | "الطلب";
    unsaved: "You were signed out meanwhile, and what you sent last was not done." | "انتهت جلستك في هذه الأثناء، ولم يُنفَّذ ما أرسلته أخيرًا.";

    // Signing in.
    sign_in: "Sign in" | "تسجيل الدخول";
    email: "E-mail address" | "البريد الإلكتروني";
    password: "Password" | "كلمة المرور";
    min_length: "Minimum length" | "الحد الأدنى للطول";
    password_again: "The same password again" | "كلمة المرور مرة أخرى";
    wrong_sign_in: "The address or the password is wrong, or the account has no access here." | "البريد الإلكتروني أو كلمة المرور غير صحيحة، أو ليس للحساب صلاحية الدخول هنا.";
    too_many: "Too many tries. Please wait so many seconds:" | "محاولات كثيرة. يرجى الانتظار بالثواني:";
    setup: "Set up the first administrator" | "إعداد المدير الأول";
    setup_intro: "Nobody can administer this installation yet. The account that you make here may do everything." | "لا يوجد مدير لهذا النظام بعد. الحساب الذي تنشئه هنا يملك كل الصلاحيات.";
    setup_button: "Make the account" | "إنشاء الحساب";

    // The overview.
    waiting: "Waiting for activation" | "بانتظار التفعيل";
    nobody_waits: "Nobody is waiting." | "لا أحد ينتظر.";
    all_waiting: "All who wait" | "كل المنتظرين";
    mails_failed: "mails failed in 7 days" | "رسائل فشلت خلال ٧ أيام";
    mails_expired: "mails expired in 7 days" | "رسائل انتهت صلاحيتها خلال ٧ أيام";
    mails_late: "mails wait for more than 5 minutes" | "رسائل تنتظر أكثر من ٥ دقائق";
    held_now: "held by a limit" | "محظورون مؤقتًا";
    sign_ups: "Sign-ups, 30 days" | "التسجيلات خلال ٣٠ يومًا";
    logins: "Logins, 30 days" | "عمليات الدخول خلال ٣٠ يومًا";
    in_all: "In all" | "المجموع";
    today: "today" | "اليوم";
    health: "Health" | "حالة النظام";
    database: "Database" | "قاعدة البيانات";
    redis: "Redis" | "Redis";
    smtp: "SMTP" | "SMTP";
    workers: "Workers" | "العمّال";
    media: "Pictures" | "الصور";
    works: "works" | "يعمل";
    degraded: "degraded" | "متدهور";
    down: "does not answer" | "لا يستجيب";
    workers_none: "none is running" | "لا يعمل أي منها";
    smtp_idle: "nothing was sent in 7 days" | "لم يُرسل شيء خلال ٧ أيام";
    smtp_waits: "mails wait and none was tried" | "رسائل تنتظر ولم تُجرَّب أي منها";
    smtp_last: "accepted the last mail at" | "قُبلت آخر رسالة في";
    smtp_stuck: "no mail gets through, the last reason:" | "لا تصل أي رسالة، آخر سبب:";
    smtp_stuck_short: "no mail gets through" | "لا تصل أي رسالة";
    smtp_refuses: "mails to several domains are refused, the last reason:" | "تُرفض رسائل إلى عدة نطاقات، آخر سبب:";
    smtp_refuses_short: "mails to several domains are refused" | "تُرفض رسائل إلى عدة نطاقات";
    smtp_one_refused: "answers; the mail of one recipient is not taken" | "يعمل؛ رسالة مستلم واحد لا تُقبل";

    // Users.
    search_hint: "Name, e-mail or phone" | "الاسم أو البريد أو الهاتف";
    sort: "Order" | "الترتيب";
    found: "Found" | "النتائج";
    export: "Export as CSV" | "تصدير CSV";
    nobody_found: "Nobody fits this." | "لا يوجد من يطابق ذلك.";
    all_here: "All on this page" | "كل من في هذه الصفحة";
    choose: "Choose" | "اختيار";
    chosen: "Chosen" | "المختارون";
    name: "Name" | "الاسم";
    activated: "Activated" | "مفعّل";
    active: "Active" | "نشط";
    staff: "Staff" | "موظف";
    superuser: "Superuser" | "مدير عام";
    gender: "Gender" | "الجنس";
    male: "Male" | "ذكر";
    female: "Female" | "أنثى";
    not_said: "Not said" | "غير محدد";
    joined: "Joined" | "انضم";
    joined_1: "Within a day" | "خلال يوم";
    joined_7: "Within 7 days" | "خلال ٧ أيام";
    joined_30: "Within 30 days" | "خلال ٣٠ يومًا";
    last_login: "Last login" | "آخر دخول";
    waits: "Waiting" | "ينتظر";
    waits_for_owner: "Awaits owner" | "بانتظار صاحبه";
    shut: "Shut" | "مغلق";
    activate: "Activate" | "تفعيل";
    deactivate: "Deactivate" | "إيقاف";
    end_sessions: "Sign out everywhere" | "إنهاء كل الجلسات";
    delete: "Delete" | "حذف";
    confirm_reopen: "Some of these accounts are shut. Activating opens them again, and their owners get a mail. Go on?" | "بعض هذه الحسابات مغلق. التفعيل يفتحها من جديد وتصل رسالة إلى أصحابها. متابعة؟";
    reopen: "Open again" | "إعادة الفتح";
    goes_with: "With them go" | "يُحذف معها";
    goes_sessions: "living sessions" | "جلسات قائمة";
    goes_resets: "password resets" | "طلبات كلمة مرور";
    goes_pictures: "pictures" | "صور";
    stays: "Mails and the audit log stay." | "تبقى الرسائل وسجل التدقيق.";
    everybody: "Everybody" | "الجميع";
    kinds: "Kinds of accounts" | "أنواع الحسابات";
    filters: "Filters and order" | "التصفية والترتيب";
    confirm_deactivate: "Shut these accounts? Their sessions end at once, and nobody can log in with them until they are activated again." | "إيقاف هذه الحسابات؟ تنتهي جلساتها فورًا ولا يمكن الدخول بها حتى تفعيلها من جديد.";
    confirm_delete: "Delete these accounts? This cannot be undone." | "حذف هذه الحسابات؟ لا يمكن التراجع عن ذلك.";

    // One user.
    phone: "Phone number" | "رقم الهاتف";
    date_birth: "Date of birth" | "تاريخ الميلاد";
    picture: "Picture" | "الصورة";
    remove_picture: "Remove the picture" | "إزالة الصورة";
    profile: "Profile" | "الملف الشخصي";
    activated_help: "May log in. Whoever is activated gets a mail." | "يُسمح له بالدخول، وتصله رسالة عند التفعيل.";
    active_help: "Unticked, the account is shut and its sessions end." | "عند إلغائه يُغلق الحساب وتنتهي جلساته.";
    rights: "Rights" | "الصلاحيات";
    staff_help: "May sign in here." | "يُسمح له بالدخول إلى هنا.";
    superuser_help: "May do everything." | "يملك كل الصلاحيات.";
    request_password_reset: "Send a reset mail" | "إرسال رسالة لتغيير كلمة المرور";
    only_superusers: "Only superusers change accounts of staff." | "المديرون العامون وحدهم يغيّرون حسابات الموظفين.";
    edit_conflict: "Somebody else saved first. Below is what you entered, here what is stored now. Save again to overwrite it." | "قام شخص آخر بالحفظ قبلك. في الأسفل ما أدخلته، وهنا المحفوظ الآن. احفظ مرة أخرى لاستبداله.";
    is_held: "Held by a limit until" | "محظور مؤقتًا حتى";
    sessions: "Sessions" | "الجلسات";
    last_used: "last used" | "آخر استخدام";
    end_session: "End" | "إنهاء";
    all_events: "All events" | "كل الأحداث";

    // Resets, mails, limits, audit.
    resets_intro: "Who asked for a new password. There is nothing to change here, and neither token nor code is shown." | "من طلب كلمة مرور جديدة. لا شيء يمكن تغييره هنا، ولا يُعرض الرمز.";
    state: "State" | "الحالة";
    created: "Created" | "أُنشئ";
    expires: "Expires" | "ينتهي";
    tries: "Tries" | "المحاولات";
    no_account: "(no account known)" | "(لا حساب معروف)";
    made_late: "For more than 5 minutes" | "منذ أكثر من ٥ دقائق";
    recipient: "Recipient" | "المستلم";
    kind: "Kind" | "النوع";
    reason: "Reason" | "السبب";
    sent: "Sent" | "أُرسلت";
    next_try: "Next try" | "المحاولة التالية";
    deliver_before: "Worth sending until" | "صالحة للإرسال حتى";
    retry: "Send again" | "إعادة الإرسال";
    cancel_mail: "Cancel the mail" | "إلغاء الرسالة";
    text: "Text" | "النص";
    limits_intro: "Who tried too often and has to wait. Whoever is released may try again at once." | "من حاول كثيرًا وعليه الانتظار. من يُرفع عنه الحظر يمكنه المحاولة فورًا.";
    nobody_held: "Nobody is held." | "لا أحد محظور.";
    who: "Who" | "من";
    why: "Why" | "السبب";
    until: "Until" | "حتى";
    release: "Release" | "رفع الحظر";
    mailbox: "mailbox" | "صندوق بريد";
    account_hint: "Id or e-mail" | "الرقم أو البريد";
    since: "Since" | "منذ";
    to_and_with: "Up to" | "حتى نهاية";
    no_such_account: "No account has this address." | "لا حساب بهذا البريد.";
    bad_account: "An id or an e-mail address." | "رقم حساب أو بريد إلكتروني.";
    bad_actor: "An id, an e-mail address, operator or anonymous." | "رقم حساب أو بريد إلكتروني أو operator أو anonymous.";
    bad_day: "A day such as 2026-02-28." | "يوم مثل 2026-02-28.";
    actor: "Actor" | "الفاعل";
    verify: "Verify the chain" | "التحقق من السلسلة";
    verified_whole: "None altered, removed or moved, of events:" | "لم يُغيَّر أو يُحذف أو يُنقل شيء، عدد الأحداث:";
    verified_broken: "The log is not whole:" | "السجل غير سليم:";
    time: "Time" | "الوقت";
    event: "Event" | "الحدث";
    account: "Account" | "الحساب";
    peer: "Address" | "العنوان";
    detail: "Detail" | "التفاصيل";

    // The own account.
    change_password: "Change password" | "تغيير كلمة المرور";
    password_now: "Current password" | "كلمة المرور الحالية";
    password_new: "New password" | "كلمة المرور الجديدة";
    passwords_differ: "The two passwords differ." | "كلمتا المرور مختلفتان.";
    wrong_password: "This is not the current password." | "كلمة المرور الحالية غير صحيحة.";
    sign_out_everywhere: "Sign out everywhere" | "تسجيل الخروج من كل مكان";
    sign_out_everywhere_help: "Ends every session of this account, in apps, too." | "ينهي كل جلسات هذا الحساب، في التطبيقات أيضًا.";

    // Rights.
    right_view_users: "See users" | "عرض المستخدمين";
    right_change_users: "Change users" | "تعديل المستخدمين";
    right_delete_users: "Delete users" | "حذف المستخدمين";
    right_mails: "Mails" | "الرسائل";
    right_audit: "Read the audit log" | "قراءة سجل التدقيق";

    // What was done.
    done_activated: "Activated." | "تم التفعيل.";
    done_deactivated: "Deactivated." | "تم الإيقاف.";
    done_deleted: "Deleted." | "تم الحذف.";
    done_signed_out: "Signed out everywhere." | "أُنهيت كل الجلسات.";
    done_asked: "A mail asks for a new password." | "أُرسلت رسالة تطلب كلمة مرور جديدة.";
    done_saved: "Saved." | "تم الحفظ.";
    done_session_ended: "The session has ended." | "انتهت الجلسة.";
    done_released: "Released." | "رُفع الحظر.";
    done_retried: "The mail is on its way again." | "الرسالة في طريقها من جديد.";
    done_cancelled: "The mail is cancelled." | "أُلغيت الرسالة.";
    done_password: "The password is changed." | "تم تغيير كلمة المرور.";
    done_nothing: "Nothing was chosen." | "لم يُختر شيء.";
    done_left: "You are signed out." | "تم تسجيل خروجك.";
    done_set_up: "The account is made. Sign in with it." | "تم إنشاء الحساب. سجّل الدخول به.";

    // Limits.
    limit_login: "too many logins from one network" | "محاولات دخول كثيرة من شبكة واحدة";
    limit_failed_attempts: "too many failed logins" | "محاولات دخول فاشلة كثيرة";
    limit_register: "too many registrations" | "تسجيلات كثيرة";
    limit_reset: "too many requests for a code" | "طلبات رمز كثيرة";
    limit_reset_password: "too many new passwords sent" | "إرسال كلمات مرور جديدة كثيرة";
    limit_otp: "too many codes tried" | "محاولات رمز كثيرة";
    limit_change: "too many password changes" | "تغييرات كثيرة لكلمة المرور";
    limit_address: "too many changes of the address" | "تغييرات كثيرة للعنوان";
    limit_picture: "too many picture uploads" | "صور مرفوعة كثيرة جدا";

    // Mails.
    mail_reset_code: "Reset code" | "رمز التغيير";
    mail_password_changed: "Password changed" | "تغيّرت كلمة المرور";
    mail_welcome: "Welcome" | "ترحيب";
    mail_activated: "Account activated" | "تفعيل الحساب";
    mail_token_replayed: "Token used twice" | "استخدام رمز مرتين";
    mail_address_taken: "Address has an account" | "العنوان مسجّل";
    mail_reset_asked: "Asked for a new password" | "طلب كلمة مرور جديدة";
    mail_email_changed: "Address changed" | "تغيّر العنوان";
    mail_activation_code: "Activation code" | "رمز التفعيل";
    mail_queued: "Waiting" | "تنتظر";
    mail_sent: "Sent" | "أُرسلت";
    mail_failed: "Failed" | "فشلت";
    mail_expired: "Expired" | "انتهت صلاحيتها";
    mail_cancelled: "Cancelled" | "أُلغيت";
    mail_suppressed: "Suppressed" | "حُجبت";

    // Resets.
    stage_open: "Open" | "مفتوح";
    stage_checked: "Code was right" | "الرمز صحيح";
    stage_used: "Used" | "استُخدم";
    stage_overtaken: "Overtaken" | "حل محله طلب آخر";
    stage_expired: "Expired" | "انتهت صلاحيته";

    // Errors.
    error_not_permitted: "Your account may not do this." | "ليس لحسابك صلاحية لذلك.";
    error_form_expired: "The form is too old. Load the page anew and try again." | "انتهت صلاحية النموذج. أعد تحميل الصفحة وحاول مرة أخرى.";
    error_not_found: "There is nothing here." | "لا يوجد شيء هنا.";
    error_own_account: "Nobody shuts, deletes or changes the rights of the account they are signed in with." | "لا يمكن لأحد إيقاف الحساب الذي دخل به أو حذفه أو تغيير صلاحياته.";
    error_last_superuser: "Without this account nobody could administer this installation." | "لا يمكن الاستغناء عن هذا الحساب، فهو آخر مدير عام.";
    error_invalid_state: "This cannot be done in its present state." | "لا يمكن ذلك في الحالة الحالية.";
    error_edit_conflict: "Somebody else changed this meanwhile." | "غيّره شخص آخر في هذه الأثناء.";
    error_email_taken: "Another account has this e-mail address." | "هذا البريد مسجّل لحساب آخر.";
    error_unavailable: "A part of the service does not answer at the moment. Try again shortly." | "جزء من الخدمة لا يستجيب الآن. حاول بعد قليل.";
    error_other: "Something went wrong." | "حدث خطأ ما.";

    // Fields, by the code of what is wrong.
    field_required: "Please fill this in." | "يرجى ملء هذا الحقل.";
    field_too_long: "Too long." | "طويل جدًا.";
    field_too_short: "Too short." | "قصير جدًا.";
    field_too_common: "One of the most common passwords." | "من أكثر كلمات المرور شيوعًا.";
    field_breached: "This password was in a data breach." | "ظهرت كلمة المرور هذه في تسريب بيانات.";
    field_too_similar: "Too similar to the data of the account." | "مشابه جدًا لبيانات الحساب.";
    field_out_of_range: "Out of range." | "خارج النطاق.";
    field_invalid: "Not valid." | "غير صالح.";
}

impl Texts {
    /// What was done, by its word in the cookie.
    #[must_use]
    pub fn done(&self, what: &str) -> Option<&'static str> {
        Some(match what {
            "activated" => self.done_activated,
            "deactivated" => self.done_deactivated,
            "deleted" => self.done_deleted,
            "signed_out" => self.done_signed_out,
            "asked" => self.done_asked,
            "saved" => self.done_saved,
            "session_ended" => self.done_session_ended,
            "released" => self.done_released,
            "retried" => self.done_retried,
            "cancelled" => self.done_cancelled,
            "password" => self.done_password,
            "nothing" => self.done_nothing,
            "left" => self.done_left,
            "set_up" => self.done_set_up,
            _ => return None,
        })
    }

    /// What a limit holds back.
    #[must_use]
    pub fn limit_name(&self, what: &str) -> &'static str {
        match what {
            "login" => self.limit_login,
            "register" => self.limit_register,
            "reset" => self.limit_reset,
            "otp" | "otp-ip" => self.limit_otp,
            "reset-password" => self.limit_reset_password,
            "change" | "change_failed_attempts" => self.limit_change,
            "address" => self.limit_address,
            "picture" => self.limit_picture,
            _ => self.limit_failed_attempts,
        }
    }

    /// What a mail says.
    #[must_use]
    pub fn mail_kind(&self, kind: &str) -> &'static str {
        match kind {
            "reset_code" => self.mail_reset_code,
            "password_changed" => self.mail_password_changed,
            "welcome" => self.mail_welcome,
            "activated" => self.mail_activated,
            "token_replayed" => self.mail_token_replayed,
            "address_taken" => self.mail_address_taken,
            "reset_asked" => self.mail_reset_asked,
            "email_changed" => self.mail_email_changed,
            "activation_code" => self.mail_activation_code,
            _ => "?",
        }
    }

    /// How far a mail has come.
    #[must_use]
    pub fn mail_state(&self, state: &MailState) -> &'static str {
        match state {
            MailState::Queued => self.mail_queued,
            MailState::Sent => self.mail_sent,
            MailState::Failed => self.mail_failed,
            MailState::Expired => self.mail_expired,
            MailState::Cancelled => self.mail_cancelled,
            MailState::Suppressed => self.mail_suppressed,
        }
    }

    /// How far a reset has come.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> &'static str {
        match stage {
            Stage::Open => self.stage_open,
            Stage::Checked => self.stage_checked,
            Stage::Used => self.stage_used,
            Stage::Superseded => self.stage_overtaken,
            Stage::Expired => self.stage_expired,
        }
    }

    /// A right.
    #[must_use]
    pub fn right(&self, permission: Permission) -> &'static str {
        match permission {
            Permission::ViewUsers => self.right_view_users,
            Permission::ChangeUsers => self.right_change_users,
            Permission::DeleteUsers => self.right_delete_users,
            Permission::Mails => self.right_mails,
            Permission::Audit => self.right_audit,
        }
    }

    /// What went wrong.
    #[must_use]
    pub fn error(&self, error: &ApiError) -> &'static str {
        match error {
            ApiError::NotPermitted => self.error_not_permitted,
            ApiError::FormExpired => self.error_form_expired,
            ApiError::NotFound | ApiError::MethodNotAllowed => self.error_not_found,
            ApiError::OwnAccount => self.error_own_account,
            ApiError::LastSuperuser => self.error_last_superuser,
            ApiError::InvalidState => self.error_invalid_state,
            ApiError::EditConflict => self.error_edit_conflict,
            ApiError::EmailTaken => self.error_email_taken,
            ApiError::WrongPassword => self.wrong_password,
            ApiError::InvalidCredentials => self.wrong_sign_in,
            ApiError::Unavailable(_) | ApiError::Undecided(_) | ApiError::Busy => {
                self.error_unavailable
            }
            _ => self.error_other,
        }
    }

    /// What is wrong with a field. English has a sentence for each fault, Arabic one for each kind.
    #[must_use]
    pub fn field(&self, error: &FieldError) -> String {
        if self.code == "en" {
            return error.detail.clone();
        }
        match error.code.as_str() {
            "required" | "blank" | "null" => self.field_required,
            "too_long" => self.field_too_long,
            "too_short" => self.field_too_short,
            "too_common" => self.field_too_common,
            "breached" => self.field_breached,
            "too_similar" => self.field_too_similar,
            "out_of_range" => self.field_out_of_range,
            "taken" => self.error_email_taken,
            "differ" => self.passwords_differ,
            "wrong" => self.wrong_password,
            _ => self.field_invalid,
        }
        .to_owned()
    }
}
