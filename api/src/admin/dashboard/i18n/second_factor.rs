//! The texts about second factors in English and Arabic, side by side.

texts! {
    security: "Security" | "الأمان";
    security_help: "Authenticator app, recovery codes and sessions." | "تطبيق المصادقة ورموز الاسترداد والجلسات.";
    second_factor: "Second factor" | "عامل التحقّق الثاني";
    second_step: "Confirm that it is you" | "أكّد هويتك";
    second_step_help: "Enter the code that your authenticator app shows, or a recovery code." | "أدخل الرمز الظاهر في تطبيق المصادقة، أو رمز استرداد.";
    verify_help: "Enter the code that your authenticator app shows, or a recovery code, to continue." | "للمتابعة أدخل الرمز الظاهر في تطبيق المصادقة، أو رمز استرداد.";
    factor_code: "Code" | "الرمز";
    sign_in_again: "Start again" | "البدء من جديد";
    proceed: "Continue" | "متابعة";
    authenticator_app: "Authenticator app" | "تطبيق المصادقة";
    totp_help: "An app on your phone shows a new code every 30 seconds. Your password alone is then not enough to sign in." | "يعرض تطبيق على هاتفك رمزًا جديدًا كل 30 ثانية، فلا تكفي كلمة مرورك وحدها لتسجيل الدخول.";
    set_up_app: "Set up an authenticator app" | "إعداد تطبيق المصادقة";
    scan_qr_code: "Scan the QR code with your app, or type the secret. Then enter the code that the app shows." | "امسح رمز QR بتطبيقك أو اكتب المفتاح السري، ثم أدخل الرمز الظاهر في التطبيق.";
    qr_code: "QR code of the secret" | "رمز QR للمفتاح السري";
    totp_secret: "Secret" | "المفتاح السري";
    first_code: "Code of the app" | "الرمز الظاهر في التطبيق";
    end_other_sessions: "End my other sessions" | "إنهاء جلساتي الأخرى";
    confirm_app: "Turn on" | "تفعيل";
    factor_since: "On since" | "مفعّل منذ";
    remove_app: "Turn off" | "إيقاف";
    recovery_codes: "Recovery codes" | "رموز الاسترداد";
    recovery_codes_left: "Unused recovery codes" | "رموز الاسترداد غير المستخدمة";
    recovery_codes_shown_once: "Save these codes now: they are not shown again. Each replaces a code of the app once." | "احفظ هذه الرموز الآن، فلن تظهر مرة أخرى. يحلّ كل رمز محلّ رمز التطبيق مرة واحدة.";
    new_recovery_codes: "Create new recovery codes" | "إنشاء رموز استرداد جديدة";
    factor_required: "Your administrators require a second factor. Set one up to continue." | "يشترط المسؤولون عامل تحقّق ثانيًا. أعدّه للمتابعة.";
    this_session: "This session" | "هذه الجلسة";
    remove_factor: "Remove second factor" | "إزالة عامل التحقّق الثاني";
    remove_factor_help: "Only if the owner has lost the device and the recovery codes. A login then needs the password only." | "فقط إذا فقد صاحب الحساب جهازه ورموز الاسترداد. بعدها يكفي لتسجيل الدخول إدخال كلمة المرور.";
    clock_slow: "The clock of your device is about {n} minutes slow. Set it, and wait for the next code." | "ساعة جهازك متأخرة نحو {n} دقيقة. اضبطها وانتظر الرمز التالي.";
    clock_fast: "The clock of your device is about {n} minutes fast. Set it, and wait for the next code." | "ساعة جهازك متقدمة نحو {n} دقيقة. اضبطها وانتظر الرمز التالي.";
}
