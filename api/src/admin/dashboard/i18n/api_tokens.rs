//! The texts of the pages about API tokens in English and Arabic, side by side.

texts! {
    title: "API tokens" | "مفاتيح API";
    intro: "Scripts and services use API tokens for the administration API. A token has the chosen permissions as long as its owner has them." | "تستخدم البرامج والخدمات مفاتيح API لواجهة الإدارة البرمجية. للمفتاح الصلاحيات المختارة ما دام صاحبه يملكها.";
    none: "No API tokens yet. Create one for a script or a service." | "لا توجد مفاتيح API بعد. أنشئ مفتاحًا لبرنامج أو خدمة.";
    at_maximum: "Your account has the maximum of 20 API tokens. Revoke one to create another." | "لحسابك الحد الأقصى من مفاتيح API، وهو 20 مفتاحًا. ألغِ أحدها لإنشاء مفتاح آخر.";
    manage: "Manage API tokens" | "إدارة مفاتيح API";
    account_help: "For scripts and services that use the administration API." | "للبرامج والخدمات التي تستخدم واجهة الإدارة البرمجية.";
    create: "Create API token" | "إنشاء مفتاح API";
    owner: "Owner" | "المالك";
    last_used: "Last used" | "آخر استخدام";
    never_used: "Never" | "لم يُستخدم";
    live: "Active" | "نشط";
    expired: "Expired" | "منتهٍ";
    revoked: "Revoked" | "ملغى";
    name_help: "What uses the token, such as “Nightly export”." | "ما يستخدم المفتاح، مثل «تصدير ليلي».";
    permissions_help: "Choose only what the script needs." | "اختر ما يحتاجه البرنامج فقط.";
    no_permissions: "Your account has no permissions that a token could have. Ask a superuser for them." | "ليس لحسابك صلاحيات يمكن منحها لمفتاح. اطلبها من مدير عام.";
    lifetime: "Expires in" | "ينتهي بعد";
    days_30: "30 days" | "30 يومًا";
    days_90: "90 days" | "90 يومًا";
    days_365: "365 days" | "365 يومًا";
    created_title: "API token created" | "أُنشئ مفتاح API";
    shown_once: "Copy the token now. It is not shown again." | "انسخ المفتاح الآن. لن يُعرض مرة أخرى.";
    token: "Token" | "المفتاح";
    copy: "Copy" | "نسخ";
    copied: "Copied." | "تم النسخ.";
    back: "Back to API tokens" | "العودة إلى مفاتيح API";
    revoke: "Revoke" | "إلغاء المفتاح";
    revoke_title: "Revoke API token" | "إلغاء مفتاح API";
    confirm_revoke: "Revoke this API token? Scripts that use it stop working at once. This cannot be undone." | "هل تريد إلغاء مفتاح API هذا؟ تتوقف البرامج التي تستخدمه فورًا. لا يمكن التراجع عن ذلك.";
    flash_revoked: "API token revoked." | "أُلغي مفتاح API.";
    name_taken: "Another of your API tokens has this name." | "لديك مفتاح API آخر بهذا الاسم.";
    by_token: "API token" | "مفتاح API";
}
