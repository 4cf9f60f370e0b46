//! The texts of the dashboard in English and Arabic, side by side.

texts! {
    code: "en" | "ar";
    dir: "ltr" | "rtl";

    // Frame.
    skip: "Skip to content" | "تخطَّ إلى المحتوى";
    sections: "Sections" | "الأقسام";
    menu: "Menu" | "القائمة";
    breadcrumb: "Breadcrumb" | "مسار الصفحة";
    overview: "Overview" | "نظرة عامة";
    users: "Users" | "المستخدمون";
    resets: "Password resets" | "طلبات كلمة المرور";
    lockouts: "Lockouts" | "الحظر المؤقت";
    mails: "Mails" | "الرسائل";
    audit: "Audit log" | "سجل التدقيق";
    own_account: "My account" | "حسابي";
    sign_out: "Sign out" | "تسجيل الخروج";
    theme: "Theme" | "المظهر";
    theme_system: "System" | "حسب النظام";
    theme_light: "Light" | "فاتح";
    theme_dark: "Dark" | "داكن";
    language: "Language" | "اللغة";
    mail_language: "Language of mails" | "لغة الرسائل";
    apply: "Apply" | "تطبيق";
    utc: "All times are in UTC." | "جميع الأوقات بتوقيت UTC.";
    local_times: "Times are in your time zone ({zone})." | "الأوقات حسب منطقتك الزمنية ({zone}).";
    api_docs: "API documentation" | "توثيق الواجهة البرمجية";
    no_roles: "No roles yet. Add one to give several staff members the same permissions." | "لا توجد أدوار بعد. أضف دورًا لمنح عدة موظفين الصلاحيات نفسها.";
    no_members: "No members yet. Assign the role on the page of a staff account." | "لا يوجد أعضاء بعد. عيّن الدور من صفحة حساب موظف.";
    no_resets: "No password resets. Requests by owners and staff appear here." | "لا توجد طلبات. تظهر هنا طلبات أصحاب الحسابات والموظفين.";
    no_mails: "No mails yet. Registrations, password resets and account changes send mails." | "لا توجد رسائل بعد. تُرسَل الرسائل عند التسجيل وطلب كلمة المرور وتغيير الحساب.";
    no_mails_found: "No mails match these filters." | "لا توجد رسائل تطابق عوامل التصفية.";
    none: "None." | "لا يوجد.";
    any: "Any" | "الكل";
    yes: "Yes" | "نعم";
    no: "No" | "لا";
    search: "Search" | "بحث";
    pages: "Pages" | "الصفحات";
    previous: "Previous page" | "الصفحة السابقة";
    next: "Next page" | "الصفحة التالية";
    first_page: "First page" | "الصفحة الأولى";
    newest: "Newest entries" | "أحدث الإدخالات";
    cancel: "Cancel" | "إلغاء";
    save: "Save" | "حفظ";
    back_home: "Back to the dashboard" | "العودة إلى لوحة التحكم";
    request: "Request ID" | "رقم الطلب";
    unsaved: "Your session ended before your last change was saved. Sign in and repeat the change." | "انتهت جلستك قبل حفظ تغييرك الأخير. سجّل الدخول وأعد إجراء التغيير.";

    // Sign-in and set-up.
    sign_in: "Sign in" | "تسجيل الدخول";
    email: "Email address" | "البريد الإلكتروني";
    password: "Password" | "كلمة المرور";
    min_length: "Minimum length" | "الحد الأدنى للطول";
    password_again: "Confirm password" | "تأكيد كلمة المرور";
    wrong_sign_in: "The email address or password is wrong, or this account cannot access the dashboard." | "البريد الإلكتروني أو كلمة المرور غير صحيحة، أو ليس للحساب صلاحية دخول لوحة التحكم.";
    too_many_attempts: "Too many attempts. Try again in {n} seconds." | "محاولات كثيرة جدًا. حاول مرة أخرى بعد {n} ثانية.";
    forgot_password: "Forgot password?" | "نسيت كلمة المرور؟";
    reset_password: "Reset your password" | "إعادة تعيين كلمة المرور";
    forgot_intro: "Enter your email address. If it has an account, you will get a code by mail." | "أدخل بريدك الإلكتروني. إن كان له حساب فستصلك رسالة فيها رمز.";
    send_code: "Send code" | "إرسال الرمز";
    reset_intro: "If the email address has an account, a code is on its way. Enter it with a new password." | "إن كان للبريد الإلكتروني حساب فالرمز في طريقه. أدخله مع كلمة مرور جديدة.";
    one_time_code: "Code" | "الرمز";
    code_accepted: "The code is correct. Choose a new password." | "الرمز صحيح. اختر كلمة مرور جديدة.";
    set_password: "Set password" | "تعيين كلمة المرور";
    request_new_code: "Request a new code" | "طلب رمز جديد";
    back_to_sign_in: "Back to sign-in" | "العودة إلى تسجيل الدخول";
    setup: "Set up the first administrator" | "إعداد المدير الأول";
    setup_intro: "This installation has no administrator yet. The account that you create here has every permission." | "لا يوجد مدير لهذا النظام بعد. الحساب الذي تنشئه هنا يملك كل الصلاحيات.";
    setup_button: "Create account" | "إنشاء الحساب";

    // Overview.
    none_pending: "No accounts are pending approval." | "لا توجد حسابات بانتظار الموافقة.";
    all_pending: "View all accounts pending approval" | "عرض كل الحسابات بانتظار الموافقة";
    mails_failed: "mails failed in the last 7 days" | "رسائل فشلت خلال آخر 7 أيام";
    mails_expired: "mails expired in the last 7 days" | "رسائل انتهت صلاحيتها خلال آخر 7 أيام";
    mails_late: "mails queued for more than 5 minutes" | "رسائل في الانتظار منذ أكثر من 5 دقائق";
    active_lockouts: "active lockouts" | "حالات حظر مؤقت قائمة";
    registrations: "Registrations, last 30 days" | "التسجيلات خلال آخر 30 يومًا";
    logins: "Logins, last 30 days" | "عمليات الدخول خلال آخر 30 يومًا";
    total: "Total" | "المجموع";
    today: "today" | "اليوم";
    health: "Health checks" | "فحوص حالة النظام";
    database: "Database" | "قاعدة البيانات";
    redis: "Redis" | "Redis";
    smtp: "SMTP" | "SMTP";
    workers: "Mail workers" | "عمليات إرسال البريد";
    media: "Picture storage" | "مخزن الصور";
    available: "available" | "متاح";
    degraded: "degraded" | "متدهور";
    unavailable: "unavailable" | "غير متاح";
    workers_none: "none is running" | "لا تعمل أي منها";
    smtp_idle: "no mail was sent in the last 7 days" | "لم تُرسل أي رسالة خلال آخر 7 أيام";
    smtp_not_attempted: "mails are queued, but no delivery was attempted" | "توجد رسائل في الانتظار ولم تُجرَ أي محاولة تسليم";
    smtp_last_accepted: "last mail accepted at" | "قُبلت آخر رسالة في";
    smtp_failing: "no mail can be delivered; last error:" | "لا يمكن تسليم أي رسالة؛ آخر خطأ:";
    smtp_failing_short: "no mail can be delivered" | "لا يمكن تسليم أي رسالة";
    smtp_rejecting: "mails to several domains are rejected; last error:" | "تُرفض رسائل إلى عدة نطاقات؛ آخر خطأ:";
    smtp_rejecting_short: "mails to several domains are rejected" | "تُرفض رسائل إلى عدة نطاقات";
    smtp_one_rejected: "available; mail to one recipient is rejected" | "متاح؛ تُرفض رسائل مستلم واحد";

    // Users.
    search_hint: "Name, email or phone" | "الاسم أو البريد أو الهاتف";
    sort_default: "Default" | "الافتراضي";
    sort: "Sort by" | "ترتيب حسب";
    results: "Results" | "النتائج";
    export: "Export CSV" | "تصدير CSV";
    add_user: "Add user" | "إضافة مستخدم";
    none_found: "No users match this search." | "لا يوجد مستخدمون يطابقون هذا البحث.";
    select_all: "Select all on this page" | "تحديد كل من في هذه الصفحة";
    select: "Select" | "تحديد";
    selected: "{n} selected" | "تم تحديد {n}";
    clear_selection: "Clear selection" | "إلغاء التحديد";
    bulk_actions: "Actions for the selected users" | "إجراءات على المستخدمين المحدَّدين";
    user: "User" | "المستخدم";
    status: "Status" | "الحالة";
    role: "Access" | "الدخول";
    no_role: "No access" | "بلا دخول";
    locked_out: "Locked out" | "محظور مؤقتًا";
    remove_filter: "Remove filter" | "إزالة التصفية";
    clear_filters: "Clear filters" | "مسح التصفية";
    show_all_users: "Show all users" | "عرض كل المستخدمين";
    name: "Name" | "الاسم";
    active: "Active" | "نشط";
    staff: "Staff" | "موظف";
    superuser: "Superuser" | "مدير عام";
    gender: "Gender" | "الجنس";
    male: "Male" | "ذكر";
    female: "Female" | "أنثى";
    not_specified: "Not specified" | "غير محدد";
    joined: "Joined" | "انضم";
    joined_1: "Last 24 hours" | "آخر 24 ساعة";
    joined_7: "Last 7 days" | "آخر 7 أيام";
    joined_30: "Last 30 days" | "آخر 30 يومًا";
    last_login: "Last login" | "آخر دخول";
    pending_approval: "Pending approval" | "بانتظار الموافقة";
    pending_verification: "Pending verification" | "بانتظار التحقق";
    deactivated: "Deactivated" | "معطّل";
    activate: "Activate" | "تفعيل";
    deactivate: "Deactivate" | "تعطيل";
    reactivate: "Reactivate" | "إعادة التفعيل";
    end_sessions: "End all sessions" | "إنهاء كل الجلسات";
    delete: "Delete" | "حذف";
    all_users: "All" | "الكل";
    filters: "Filters" | "التصفية";
    confirm_reactivate: "Some of these accounts are deactivated. Reactivate them? Their owners get a mail." | "بعض هذه الحسابات معطّل. هل تريد إعادة تفعيلها؟ ستصل رسالة إلى أصحابها.";
    confirm_deactivate: "Deactivate these accounts? Their sessions end immediately. The owners cannot log in until the accounts are reactivated." | "هل تريد تعطيل هذه الحسابات؟ تنتهي جلساتها فورًا ولا يستطيع أصحابها الدخول حتى إعادة تفعيلها.";
    confirm_reactivate_one: "This account is deactivated. Reactivate it? Its owner gets a mail." | "هذا الحساب معطّل. هل تريد إعادة تفعيله؟ ستصل رسالة إلى صاحبه.";
    confirm_deactivate_one: "Deactivate this account? Its sessions end immediately. The owner cannot log in until the account is reactivated." | "هل تريد تعطيل هذا الحساب؟ تنتهي جلساته فورًا ولا يستطيع صاحبه الدخول حتى إعادة تفعيله.";
    confirm_delete_one: "Delete this account? This cannot be undone." | "هل تريد حذف هذا الحساب؟ لا يمكن التراجع عن ذلك.";
    confirm_delete: "Delete these accounts? This cannot be undone." | "هل تريد حذف هذه الحسابات؟ لا يمكن التراجع عن ذلك.";
    also_deleted: "Also deleted" | "يُحذف معها أيضًا";
    deleted_sessions: "active sessions" | "الجلسات القائمة";
    deleted_resets: "password resets" | "طلبات كلمة المرور";
    deleted_pictures: "pictures" | "الصور";
    kept: "Mails and audit events are kept." | "تبقى الرسائل وأحداث التدقيق.";

    // One user.
    phone: "Phone number" | "رقم الهاتف";
    date_birth: "Date of birth" | "تاريخ الميلاد";
    picture: "Picture" | "الصورة";
    remove_picture: "Remove picture" | "إزالة الصورة";
    profile: "Profile" | "الملف الشخصي";
    status_help: "Activation sends the owner a mail. Deactivation ends all sessions." | "عند التفعيل تصل رسالة إلى صاحب الحساب، وعند التعطيل تنتهي كل الجلسات.";
    unsaved_changes: "You have unsaved changes." | "لديك تغييرات غير محفوظة.";
    leave_unsaved: "Leave this page and lose your changes?" | "هل تريد مغادرة الصفحة وفقدان تغييراتك؟";
    permissions: "Permissions" | "الصلاحيات";
    staff_help: "Can sign in to this dashboard." | "يمكنه الدخول إلى لوحة التحكم هذه.";
    superuser_help: "Has every permission." | "يملك كل الصلاحيات.";
    request_password_reset: "Request a password reset" | "طلب تغيير كلمة المرور";
    only_superusers: "Only superusers can change staff accounts." | "لا يمكن تغيير حسابات الموظفين إلا للمديرين العامين.";
    edit_conflict: "This account has changed since you opened it. The list shows the stored values, the form shows yours. Save again to overwrite the stored values." | "تغيّر هذا الحساب منذ أن فتحته. تعرض القائمة القيم المحفوظة، ويعرض النموذج قيمك. احفظ مرة أخرى لاستبدال القيم المحفوظة.";
    deletion_scheduled: "The owner asked to delete this account. Unless the owner logs in, it will be deleted at" | "طلب صاحب الحساب حذفه. ما لم يسجّل الدخول، فسيُحذف الحساب في";
    locked_out_until: "Locked out until" | "محظور مؤقتًا حتى";
    sessions: "Sessions" | "الجلسات";
    unknown_device: "Unknown device" | "جهاز غير معروف";
    last_used: "last used" | "آخر استخدام";
    end_session: "End session" | "إنهاء الجلسة";
    all_mails: "View all mails to this email" | "عرض كل الرسائل إلى هذا البريد";
    all_events: "View all audit events" | "عرض كل أحداث التدقيق";

    // A new user.
    create_user: "Create user" | "إنشاء المستخدم";
    first_password: "First password" | "كلمة المرور الأولى";
    access_invite: "Invite by mail" | "الدعوة بالبريد";
    access_invite_help: "A mail tells the person to set a password with “Forgot password”. This activates the account." | "تصل إلى الشخص رسالة تطلب تعيين كلمة مرور عبر «نسيت كلمة المرور»، وهذا يفعّل الحساب.";
    access_password: "Choose a password" | "اختيار كلمة مرور";
    access_password_help: "The account is active at once. Ask the person to change the password after the first login." | "يُفعَّل الحساب فورًا. اطلب من الشخص تغيير كلمة المرور بعد أول دخول.";
    access_none: "No password and no mail" | "بلا كلمة مرور وبلا رسالة";
    access_none_help: "The person can still set a password with “Forgot password”. You can send the invitation later." | "يبقى بإمكان الشخص تعيين كلمة مرور عبر «نسيت كلمة المرور». ويمكنك إرسال الدعوة لاحقًا.";
    send_invitation: "Send invitation" | "إرسال الدعوة";

    // Roles.
    roles: "Roles" | "الأدوار";
    roles_intro: "A role is a set of permissions. Assign it to staff on their pages. Staff have their own permissions and those of their roles." | "الدور مجموعة صلاحيات. أسنده إلى الموظفين في صفحاتهم. للموظف صلاحياته الخاصة وصلاحيات أدواره.";
    add_role: "Add role" | "إضافة دور";
    members: "Members" | "الأعضاء";
    confirm_delete_role: "Delete this role? Its members lose its permissions at once, and keep their own." | "هل تريد حذف هذا الدور؟ يفقد أعضاؤه صلاحياته فورًا ويحتفظون بصلاحياتهم الخاصة.";
    role_conflict: "This role has changed since you opened it. Save again to overwrite it." | "تغيّر هذا الدور منذ أن فتحته. احفظ مرة أخرى للكتابة فوقه.";
    role_name_taken: "Another role has this name." | "يوجد دور آخر بهذا الاسم.";
    comma: ", " | "، ";

    // Password resets, mails, lockouts and the audit log.
    resets_intro: "Requests for a new password. Tokens and codes are not shown." | "طلبات كلمة مرور جديدة. لا تُعرض الرموز.";
    state: "State" | "الحالة";
    created: "Created" | "أُنشئ";
    changed: "Changed" | "عُدّل";
    expires: "Expires" | "ينتهي";
    attempts: "Attempts" | "المحاولات";
    no_account: "(no known account)" | "(لا حساب معروف)";
    created_late: "More than 5 minutes ago" | "منذ أكثر من 5 دقائق";
    recipient: "Recipient" | "المستلم";
    kind: "Type" | "النوع";
    reason: "Last error" | "آخر خطأ";
    sent: "Sent" | "أُرسلت";
    next_attempt: "Next attempt" | "المحاولة التالية";
    deliver_before: "Deliver before" | "تُسلَّم قبل";
    retry: "Send again" | "إعادة الإرسال";
    retry_failed: "Send all failed mails again" | "إعادة إرسال كل الرسائل الفاشلة";
    confirm_retry_failed: "Send the failed mails of this list again? Mails with an expired code are left out." | "هل تريد إعادة إرسال الرسائل الفاشلة في هذه القائمة؟ تُستثنى الرسائل ذات الرموز المنتهية.";
    retry_count: "Mails to send" | "عدد الرسائل";
    retry_limit: "One action sends at most 500 mails, the newest first. Repeat it for the rest." | "يرسل الإجراء الواحد 500 رسالة، الأحدث أولًا. كرّره لإرسال الباقي.";
    cancel_mail: "Cancel mail" | "إلغاء الرسالة";
    preview: "Preview" | "معاينة";
    text_part: "Plain text" | "النص العادي";
    lockouts_intro: "Accounts, mailboxes and networks that are locked out after too many attempts. Unlock one to allow new attempts now." | "حسابات وصناديق بريد وشبكات محظورة مؤقتًا بعد محاولات كثيرة. ارفع الحظر للسماح بمحاولات جديدة الآن.";
    no_lockouts: "No active lockouts." | "لا يوجد حظر قائم.";
    subject: "Account or network" | "الحساب أو الشبكة";
    why: "Reason" | "السبب";
    until: "Until" | "حتى";
    unlock: "Unlock" | "رفع الحظر";
    mailbox: "mailbox" | "صندوق بريد";
    account_hint: "ID or email" | "الرقم أو البريد";
    since: "From (UTC)" | "من (UTC)";
    until_day: "To (UTC)" | "إلى (UTC)";
    no_such_account: "No account has this email address." | "لا حساب بهذا البريد.";
    bad_account: "Enter an account ID or an email address." | "أدخل رقم حساب أو بريدًا إلكترونيًا.";
    bad_actor: "Enter an account ID, an email address, operator or anonymous." | "أدخل رقم حساب أو بريدًا إلكترونيًا أو operator أو anonymous.";
    bad_day: "Enter a date such as 2026-02-28." | "أدخل تاريخًا مثل 2026-02-28.";
    actor: "Actor" | "الفاعل";
    verify: "Verify the audit log" | "التحقق من السجل";
    chain_valid: "The audit log is intact. Verified events:" | "السجل سليم. عدد الأحداث التي تم التحقق منها:";
    chain_broken: "The audit log is not intact:" | "السجل غير سليم:";
    time: "Time" | "الوقت";
    event: "Event" | "الحدث";
    account: "Account" | "الحساب";
    client_ip: "Client IP" | "عنوان IP";
    operator: "The operator" | "مشغّل النظام";
    anonymous: "Someone" | "شخص ما";
    unknown_account: "an unknown account" | "حساب غير معروف";
    account_id: "account" | "حساب";
    values_erased: "changed (values erased)" | "تغيّر (مُحيت القيم)";
    nothing: "none" | "لا شيء";
    activated: "Activated" | "مفعّل";
    ended: "Ended" | "انتهت";
    arrow: "→" | "←";
    no_events: "No events match this filter. Choose other dates or another account." | "لا أحداث تطابق هذه التصفية. اختر تواريخ أخرى أو حسابًا آخر.";
    no_events_yet: "Logins, changes of accounts and actions of staff appear here as they happen." | "تظهر هنا عمليات الدخول وتعديلات الحسابات وإجراءات الموظفين عند حدوثها.";
    no_account_events: "No events of this account yet. Its logins and changes appear here." | "لا أحداث لهذا الحساب بعد. تظهر هنا عمليات دخوله وتعديلاته.";
    no_account_resets: "No password resets for this account." | "لا طلبات كلمة مرور لهذا الحساب.";
    no_account_resets_yet: "No password resets yet. “Request a password reset” asks the owner to choose a new password." | "لا طلبات كلمة مرور بعد. يطلب زر «طلب تغيير كلمة المرور» من صاحب الحساب اختيار كلمة جديدة.";
    no_account_mails: "No mails about this account yet. Password resets and account changes send mails." | "لا رسائل عن هذا الحساب بعد. تُرسَل الرسائل عند طلب كلمة المرور وتغيير الحساب.";
    no_account_mails_invite: "No mails about this account yet. “Send invitation” asks the owner to set a password." | "لا رسائل عن هذا الحساب بعد. يطلب زر «إرسال الدعوة» من صاحب الحساب تعيين كلمة مرور.";
    no_sessions: "No active sessions. A login starts one." | "لا جلسات قائمة. تبدأ الجلسة عند الدخول.";

    // My account.
    change_password: "Change password" | "تغيير كلمة المرور";
    change_email: "Change your email address" | "تغيير بريدك الإلكتروني";
    current_email: "Current email address" | "البريد الإلكتروني الحالي";
    new_email: "New email address" | "البريد الإلكتروني الجديد";
    confirm_email: "Confirm the new email address" | "تأكيد البريد الإلكتروني الجديد";
    email_code_sent: "Enter the code that was sent to" | "أدخل الرمز الذي أُرسل إلى";
    cancel_email_change: "Cancel the change of your email address" | "إلغاء تغيير بريدك الإلكتروني";
    cancel_email_intro: "Someone who knows your password requested another email address for your account. If it was not you, cancel the change. Your account then keeps its current email address." | "طلب شخص يعرف كلمة مرورك بريدًا إلكترونيًا آخر لحسابك. إذا لم تكن أنت، فألغِ التغيير، فيحتفظ حسابك ببريده الإلكتروني الحالي.";
    email_change_cancelled: "The change was cancelled. Your account keeps its current email address. If you did not request the change, reset your password now: the person who requested it knows your password." | "أُلغي التغيير، ويحتفظ حسابك ببريده الإلكتروني الحالي. إذا لم تطلب التغيير أنت، فأعد تعيين كلمة مرورك الآن: من طلبه يعرف كلمة مرورك.";
    email_change_completed: "The change can no longer be cancelled: the code was entered, and your account has the new email address. If you did not request the change, write to us at once." | "لم يعد إلغاء التغيير ممكنًا: أُدخل الرمز، ولحسابك الآن البريد الإلكتروني الجديد. إذا لم تطلب التغيير أنت، فراسلنا فورًا.";
    email_change_ended: "There is no change to cancel: it was cancelled already, or its code has expired. If you did not request the change, reset your password: the person who requested it knows your password." | "لا يوجد تغيير لإلغائه: أُلغي من قبل، أو انتهت صلاحية رمزه. إذا لم تطلب التغيير أنت، فأعد تعيين كلمة مرورك: من طلبه يعرف كلمة مرورك.";
    cancel_link_expired: "This link has expired: the change was completed or cancelled, or its code has expired. If you did not request the change, reset your password. If you get no code for this, write to us." | "انتهت صلاحية هذا الرابط: اكتمل التغيير أو أُلغي، أو انتهت صلاحية رمزه. إذا لم تطلب التغيير أنت، فأعد تعيين كلمة مرورك. إذا لم يصلك رمز لذلك، فراسلنا.";
    cancel_link_invalid: "This link is not valid. Open the whole link from the mail." | "هذا الرابط غير صالح. افتح الرابط كاملًا من الرسالة.";
    email_unconfirmed: "New email not confirmed" | "البريد الجديد غير مؤكد";
    email_unconfirmed_help: "The owner has not confirmed the new email address. Until then, codes for password resets go to" | "لم يؤكد صاحب الحساب بريده الجديد. وحتى ذلك الحين تصل رموز إعادة تعيين كلمة المرور إلى";
    email_trusted_from: "They go to the new address from" | "وتصل إلى العنوان الجديد ابتداءً من";
    trust_email: "Send codes to the new address now" | "إرسال الرموز إلى العنوان الجديد الآن";
    your_password: "Your password" | "كلمة مرورك";
    current_password: "Current password" | "كلمة المرور الحالية";
    new_password: "New password" | "كلمة المرور الجديدة";
    passwords_differ: "The passwords do not match." | "كلمتا المرور غير متطابقتين.";
    wrong_password: "The current password is wrong." | "كلمة المرور الحالية غير صحيحة.";
    sign_out_everywhere: "Sign out everywhere" | "تسجيل الخروج من كل مكان";
    sign_out_everywhere_help: "Ends all sessions of your account, including those in apps." | "ينهي كل جلسات حسابك، بما فيها جلسات التطبيقات.";

    // Permissions.
    permission_view_users: "View users" | "عرض المستخدمين";
    permission_add_users: "Add and invite users" | "إضافة المستخدمين ودعوتهم";
    permission_change_users: "Change users" | "تعديل المستخدمين";
    permission_delete_users: "Delete users" | "حذف المستخدمين";
    permission_export_users: "Export users (CSV)" | "تصدير المستخدمين (CSV)";
    permission_mails: "Manage mails" | "إدارة الرسائل";
    permission_audit: "View the audit log" | "عرض سجل التدقيق";

    // Flash messages.
    flash_factor_removed: "The second factor has been removed." | "أُزيل عامل التحقّق الثاني.";
    flash_sign_in_expired: "Your sign-in has expired. Enter your password again." | "انتهت صلاحية تسجيل الدخول. أدخل كلمة مرورك مرة أخرى.";
    flash_created: "User created." | "تم إنشاء المستخدم.";
    flash_created_and_invited: "User created. The invitation is on its way." | "تم إنشاء المستخدم، والدعوة في طريقها.";
    flash_invited: "The invitation is on its way." | "الدعوة في طريقها.";
    flash_activated: "Activated." | "تم التفعيل.";
    flash_deactivated: "Deactivated." | "تم التعطيل.";
    flash_deleted: "Deleted." | "تم الحذف.";
    flash_sessions_ended: "All sessions ended." | "أُنهيت كل الجلسات.";
    flash_reset_requested: "A mail asks the owner to choose a new password." | "أُرسلت رسالة تطلب من صاحب الحساب اختيار كلمة مرور جديدة.";
    flash_saved: "Saved." | "تم الحفظ.";
    flash_session_ended: "Session ended." | "انتهت الجلسة.";
    flash_unlocked: "Unlocked." | "رُفع الحظر.";
    flash_mail_queued: "The mail is queued again." | "أُعيدت الرسالة إلى قائمة الانتظار.";
    flash_mails_queued: "The mails have been queued again." | "أُعيدت الرسائل إلى قائمة الانتظار.";
    flash_mail_cancelled: "The mail is cancelled." | "أُلغيت الرسالة.";
    flash_email_changed: "Your email address has been changed." | "تم تغيير بريدك الإلكتروني.";
    flash_email_change_expired: "This change has expired. Request a new code." | "انتهت صلاحية هذا التغيير. اطلب رمزًا جديدًا.";
    flash_email_trusted: "Codes go to the new address from now on." | "تصل الرموز إلى العنوان الجديد من الآن.";
    flash_password_changed: "Your password has been changed." | "تم تغيير كلمة مرورك.";
    flash_password_reset: "Your password has been changed. Sign in to continue." | "تم تغيير كلمة مرورك. سجّل الدخول للمتابعة.";
    flash_none_selected: "Select at least one user." | "حدّد مستخدمًا واحدًا على الأقل.";
    flash_signed_out: "You are signed out." | "تم تسجيل خروجك.";
    flash_set_up: "Your account has been created. Sign in to continue." | "تم إنشاء حسابك. سجّل الدخول للمتابعة.";

    // Reasons for a lockout.
    limit_login: "too many logins from one network" | "محاولات دخول كثيرة من شبكة واحدة";
    limit_failed_attempts: "too many failed logins" | "محاولات دخول فاشلة كثيرة";
    limit_register: "too many registrations" | "تسجيلات كثيرة";
    limit_reset: "too many requests for a code" | "طلبات رمز كثيرة";
    limit_reset_password: "too many password resets" | "طلبات كثيرة لتعيين كلمة المرور";
    limit_otp: "too many code attempts" | "محاولات رمز كثيرة";
    limit_change: "too many password changes" | "تغييرات كثيرة لكلمة المرور";
    limit_second_factor: "too many wrong second factors" | "عوامل تحقّق ثانية خاطئة كثيرة";
    limit_address: "too many email changes" | "تغييرات كثيرة للبريد الإلكتروني";
    limit_invitation: "too many new accounts and invitations" | "حسابات ودعوات جديدة كثيرة";
    limit_picture: "too many picture uploads" | "رفع صور كثيرة";
    limit_export: "too many exports of the account" | "عمليات تصدير كثيرة للحساب";

    // Mails.
    mail_queued: "Queued" | "في الانتظار";
    mail_sent: "Sent" | "أُرسلت";
    mail_failed: "Failed" | "فشلت";
    mail_expired: "Expired" | "انتهت صلاحيتها";
    mail_cancelled: "Cancelled" | "أُلغيت";
    mail_suppressed: "Suppressed" | "حُجبت";

    // Password resets.
    stage_open: "Open" | "مفتوح";
    stage_checked: "Code verified" | "تم التحقق من الرمز";
    stage_used: "Used" | "استُخدم";
    stage_superseded: "Superseded" | "حل محله طلب آخر";
    stage_expired: "Expired" | "انتهت صلاحيته";

    // Errors.
    error_not_permitted: "Your account does not have permission for this." | "ليس لحسابك صلاحية لذلك.";
    error_form_expired: "This form has expired. Reload the page and try again." | "انتهت صلاحية النموذج. أعد تحميل الصفحة وحاول مرة أخرى.";
    error_not_found: "This page does not exist." | "هذه الصفحة غير موجودة.";
    error_own_account: "You cannot deactivate or delete your own account or change its permissions." | "لا يمكنك تعطيل حسابك أو حذفه أو تغيير صلاحياته.";
    error_last_superuser: "This is the last superuser. Make another account a superuser first." | "هذا آخر مدير عام. اجعل حسابًا آخر مديرًا عامًا أولًا.";
    error_invalid_state: "This action is not possible in the current state. Reload the page." | "لا يمكن تنفيذ هذا الإجراء في الحالة الحالية. أعد تحميل الصفحة.";
    error_edit_conflict: "This has changed since you opened it. Reload the page and try again." | "تغيّر هذا منذ أن فتحته. أعد تحميل الصفحة وحاول مرة أخرى.";
    error_own_email: "Change your own email address on the page “My account”." | "غيّر بريدك الإلكتروني من صفحة «حسابي».";
    error_email_taken: "Another account has this email address." | "هذا البريد مسجّل لحساب آخر.";
    error_invalid_code: "The code is wrong or has expired. Check it, or request a new one." | "الرمز غير صحيح أو انتهت صلاحيته. تحقق منه أو اطلب رمزًا جديدًا.";
    error_invalid_factor: "The code is wrong or was used before. Wait for the next one." | "الرمز غير صحيح أو استُخدم من قبل. انتظر الرمز التالي.";
    error_no_factor: "The account has no second factor any more. Reload the page." | "لم يعد للحساب عامل تحقّق ثانٍ. أعد تحميل الصفحة.";
    error_no_pending_totp: "This setup has expired. Start it again." | "انتهت صلاحية الإعداد. ابدأ من جديد.";
    error_reset_expired: "This password reset has expired. Request a new code." | "انتهت صلاحية طلب كلمة المرور. اطلب رمزًا جديدًا.";
    error_unavailable: "The service is temporarily unavailable. Try again shortly." | "الخدمة غير متاحة مؤقتًا. حاول بعد قليل.";
    error_other: "Something went wrong. Try again later." | "حدث خطأ ما. حاول لاحقًا.";

    // Field errors, by code.
    field_required: "Fill in this field." | "يرجى ملء هذا الحقل.";
    field_too_long: "This is too long." | "طويل جدًا.";
    field_too_short: "This is too short." | "قصير جدًا.";
    field_too_common: "This is one of the most common passwords." | "من أكثر كلمات المرور شيوعًا.";
    field_breached: "This password appeared in a data breach." | "ظهرت كلمة المرور هذه في تسريب بيانات.";
    field_too_similar: "This is too similar to the account's data." | "مشابه جدًا لبيانات الحساب.";
    field_single_account: "Select only one account for this action." | "حدّد حسابًا واحدًا فقط لهذا الإجراء.";
    field_out_of_range: "This is out of range." | "خارج النطاق.";
    field_invalid: "This is not valid." | "غير صالح.";
}

#[cfg(test)]
mod tests {
    /// The pages show counts and dates in Western digits, so their texts have no other digits.
    #[test]
    fn arabic_texts_have_western_digits() {
        let digit = include_str!("texts.rs")
            .chars()
            .find(|c| ('\u{660}'..='\u{669}').contains(c));
        assert_eq!(digit, None);
    }
}
