use std::{fs, path::Path};

use chrono::{DateTime, TimeDelta};
use url::Url;

use super::*;
use crate::models::mail::MailKind;

mod html;

fn branding() -> MailBranding {
    MailBranding {
        support: Some("help@example.com".parse().unwrap()),
        login_url: Url::parse("https://app.example.com/login").ok(),
        reset_url: Url::parse("https://app.example.com/reset?a=1&b=2").ok(),
        ..MailBranding::new("Latchkey")
    }
}

fn without_optional_values() -> MailBranding {
    MailBranding::new("Latchkey")
}

fn templates() -> MailTemplates {
    MailTemplates::load(None).unwrap()
}

/// Renders each kind of mail in each language.
fn render_all(branding: &MailBranding) -> Vec<(String, RenderedMail)> {
    let templates = templates();
    let mut mails = Vec::new();
    for (tag, _) in templates.languages() {
        for kind in MailKind::ALL {
            let mail = templates.render(&sample(kind, 5), branding, Some(tag));
            mails.push((format!("{tag}_{}", kind.as_str()), mail.unwrap()));
        }
    }
    mails
}

fn in_english(branding: &MailBranding) -> Vec<(String, RenderedMail)> {
    let mut mails = render_all(branding);
    mails.retain(|(name, _)| name.starts_with("en_"));
    mails
}

#[test]
fn mail_texts_match_snapshots() {
    for (name, mail) in render_all(&branding()) {
        let whole = format!("Subject: {}\n\n{}", mail.subject, mail.text);
        insta::assert_snapshot!(name, whole);
    }
}

#[test]
fn hidden_code_appears_in_no_part() {
    let content = Content::Code {
        kind: MailKind::ResetCode,
        code: Code::Hidden,
        at: DateTime::UNIX_EPOCH,
        device: None,
        lifetime: TimeDelta::seconds(300),
    };
    let mail = templates().render(&content, &branding(), None).unwrap();
    for part in [mail.subject, mail.text, mail.html] {
        assert!(part.contains("······"), "{part}");
    }
}

/// An operator reads the text part in `MAIL_DIR` without decoding it.
#[test]
fn english_text_part_has_short_ascii_lines() {
    for branding in [branding(), without_optional_values()] {
        for (name, mail) in in_english(&branding) {
            assert!(mail.text.is_ascii() && mail.subject.is_ascii(), "{name}");
            for line in mail.text.lines() {
                assert!(line.len() < 78, "{name}: {line}");
            }
        }
    }
}

#[test]
fn mail_without_optional_values_mentions_none() {
    for (name, mail) in render_all(&without_optional_values()) {
        if name.ends_with("_email_change_requested") {
            // The link that cancels the change is not optional.
            continue;
        }
        for part in [mail.text, mail.html] {
            for absent in ["help@", "mailto:", "https://", "href"] {
                assert!(!part.contains(absent), "{name}: {absent}: {part}");
            }
        }
    }
}

/// Links are buttons in the HTML part and lines of their own in the text part.
#[test]
fn mails_link_to_pages_of_the_front_end() {
    let mails = in_english(&branding());
    for (kind, url, other) in [
        ("activated", "/login", "/reset"),
        ("password_changed", "/reset?a=1&b=2", "/login"),
        ("token_reused", "/reset?a=1&b=2", "/login"),
        ("new_device", "/reset?a=1&b=2", "/login"),
        ("second_factor_added", "/reset?a=1&b=2", "/login"),
        ("second_factor_removed", "/reset?a=1&b=2", "/login"),
        ("recovery_code_used", "/reset?a=1&b=2", "/login"),
        ("recovery_codes_replaced", "/reset?a=1&b=2", "/login"),
        ("reset_asked", "/reset?a=1&b=2", "/login"),
        ("invitation", "/reset?a=1&b=2", "/login"),
        ("deletion_scheduled", "/login", "/reset"),
    ] {
        let (_, mail) = mails.iter().find(|(name, _)| name.ends_with(kind)).unwrap();
        let url = format!("https://app.example.com{url}");
        assert!(mail.text.lines().any(|line| line == url), "{}", mail.text);
        let href = format!("href=\"{}\"", url.replace('&', "&amp;"));
        assert!(mail.html.contains(&href), "{href}: {}", mail.html);
        assert!(!mail.text.contains(other) && !mail.html.contains(other));
    }
}

/// Two codes in one inbox differ in the time of their requests.
#[test]
fn code_mail_says_when_the_code_was_requested() {
    for kind in [MailKind::ResetCode, MailKind::ActivationCode] {
        let content = sample(kind, 5);
        let mail = templates().render(&content, &branding(), None).unwrap();
        for part in [mail.text, mail.html] {
            assert!(part.contains("2 March 2026 at 11:14:07 UTC"), "{part}");
        }
    }
}

/// Values are escaped, and cannot reorder the text around them.
#[test]
fn values_are_escaped_and_isolated() {
    let branding = MailBranding {
        product: "<b>مفتاح & Co</b>".to_owned(),
        ..branding()
    };
    for (name, mail) in in_english(&branding) {
        assert!(!mail.html.contains("<b>"), "{name}");
        assert!(
            mail.html
                .contains("<bdi>&lt;b&gt;مفتاح &amp; Co&lt;&#x2f;b&gt;</bdi>")
        );
        let isolated = "\u{2068}<b>مفتاح & Co</b>\u{2069}";
        assert!(mail.text.contains(isolated), "{name}: {}", mail.text);
        assert!(mail.subject.contains("مفتاح") == mail.subject.contains(isolated));
    }
}

/// Writes files to a new folder and loads the templates with it.
fn load(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<MailTemplates, String>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, source).unwrap();
    }
    let loaded = MailTemplates::load(Some(folder.path())).map_err(|error| error.to_string());
    (folder, loaded)
}

#[test]
fn file_replaces_one_embedded_template() {
    let (_folder, loaded) = load(&[
        (
            "en/welcome.txt",
            "{% extends 'layout.txt' %}{% block subject %}Hi{% endblock %}{% block preheader %}Soon{% endblock %}\
             {% block body %}Please wait.{% endblock %}",
        ),
        (".DS_Store", "\0"),
        ("en/.welcome.txt.swp", "{{"),
    ]);
    let templates = loaded.unwrap();
    let render = |kind| {
        templates
            .render(&sample(kind, 5), &branding(), None)
            .unwrap()
    };
    let welcome = render(MailKind::Welcome);
    assert_eq!(welcome.subject, "Hi");
    assert!(
        welcome.text.starts_with("Please wait.\n"),
        "{}",
        welcome.text
    );
    assert!(welcome.html.contains("Soon") && welcome.html.contains("An administrator"));
    let activated = render(MailKind::Activated);
    assert_eq!(activated.subject, "Your Latchkey account is active");
}

#[test]
fn broken_template_is_named_with_file_and_line() {
    const WELCOME: &str = "en/welcome.html";
    for (name, source, expected) in [
        (WELCOME, "\n{% if %}", "/en/welcome.html:2: syntax error"),
        (
            WELCOME,
            "Hello\n\n{{ username }}",
            "/en/welcome.html:3: undefined value",
        ),
        (
            WELCOME,
            "\n{{ code }}",
            "/en/welcome.html:2: undefined value: this mail lacks",
        ),
        (
            WELCOME,
            "{% extends 'frame.html' %}",
            "/en/welcome.html:1: template not found",
        ),
        (WELCOME, " ", "/en/welcome.html: expected a text"),
        ("en/welcome.txt", "Hi", "/en/welcome.txt: unknown block"),
        (
            "en/reset_code.html",
            "Hi",
            "/en/reset_code.html: expected a text, with {{ code }}",
        ),
        ("parts.html", "{{ 1 // 0 }}", "/parts.html:1: "),
        (
            "en/farewell.html",
            "Bye",
            "/en/farewell.html: no mail has this name",
        ),
        (
            "welcome.htm",
            "Hi",
            "/welcome.htm: expected a file .html or .txt",
        ),
        (
            "english/welcome.txt",
            "Hi",
            "/english: expected a folder named by a language tag",
        ),
        ("en/deeper/welcome.txt", "Hi", "/en/deeper: "),
        (
            "de/welcome.txt",
            "Hallo",
            "/de/welcome.html: missing; the language is incomplete",
        ),
    ] {
        let (folder, loaded) = load(&[(name, source)]);
        let errors = loaded.map(|_| ()).unwrap_err();
        let expected = format!("{}{expected}", folder.path().display());
        assert!(
            errors.contains(&expected),
            "{expected} is not in:\n{errors}"
        );
    }
}

#[test]
fn missing_folder_of_templates_is_named() {
    let missing = MailTemplates::load(Some(Path::new("/nowhere/at/all")));
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .starts_with("/nowhere/at/all: ")
    );
}

#[test]
fn error_of_a_delivery_repeats_no_value() {
    let (_folder, loaded) = load(&[(
        "en/reset_code.html",
        "{% extends 'layout.html' %}{% block body %}{{ code }}\n{% if minutes == 59 %}{{ code + 1 }}{% endif %}{% endblock %}",
    )]);
    let failed = loaded
        .unwrap()
        .render(&sample(MailKind::ResetCode, 59), &branding(), None);
    let error = failed.unwrap_err().to_string();
    assert!(error.starts_with("en/reset_code.html:2: "), "{error}");
    assert!(!error.contains("048291"), "{error}");
}

#[test]
fn exported_templates_render_the_same_mails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("templates");
    assert!(export(&path).unwrap() > 20);
    let exported = MailTemplates::load(Some(&path)).unwrap();
    for kind in MailKind::ALL {
        let [one, other] = [&exported, &templates()].map(|templates| {
            let mail = templates.render(&sample(kind, 5), &branding(), None);
            mail.unwrap().html
        });
        assert_eq!(one, other);
    }
    let refused = export(&path).unwrap_err().to_string();
    assert!(
        refused.ends_with("exists; nothing was written"),
        "{refused}"
    );
}

/// Arabic has six forms for numbers. No mail is half English.
#[test]
fn arabic_mails_use_six_plural_forms() {
    let arabic = "ar".parse().unwrap();
    let templates = templates();
    for (minutes, expected) in [
        (0, "خلال أقل من دقيقة."),
        (1, "خلال دقيقة واحدة."),
        (2, "خلال دقيقتين."),
        (5, "خلال 5 دقائق."),
        (60, "خلال 60 دقيقة."),
        (100, "خلال 100 دقيقة."),
    ] {
        let content = sample(MailKind::ResetCode, minutes);
        let mail = templates
            .render(&content, &branding(), Some(&arabic))
            .unwrap();
        assert!(mail.text.contains(expected), "{expected}: {}", mail.text);
    }
    let known = [
        "Latchkey",
        "help@example.com",
        "https://app.example.com/",
        "Chrome (Windows)",
        "API",
        "Nightly export",
    ];
    for (name, mail) in render_all(&branding()) {
        if !name.starts_with("ar_") {
            continue;
        }
        let visible = mail.subject + &mail.text;
        let rest = visible
            .lines()
            .filter(|line| !line.starts_with("https://"))
            .map(|line| {
                known
                    .iter()
                    .fold(line.to_owned(), |line, word| line.replace(word, ""))
            });
        for line in rest {
            assert!(
                !line.contains(|c: char| c.is_ascii_alphabetic()),
                "{name}: {line}"
            );
        }
    }
}

#[test]
fn language_falls_back_to_a_more_general_one() {
    let templates = templates();
    for (wanted, expected) in [
        ("ar-EG", "ar"),
        ("en-GB", "en"),
        ("pt-BR", "en"),
        ("arq", "en"),
    ] {
        assert_eq!(templates.resolve(Some(&wanted.parse().unwrap())), expected);
    }
    assert_eq!(templates.resolve(None), "en");
}
