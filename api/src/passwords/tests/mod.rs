//! Tests of the rules for new passwords.

mod accepted;
mod combined;
mod guessable;

use chrono::NaiveDate;
use latchkey_shared::config::settings::Settings;

use super::*;
use crate::config::Config;

/// The rules of an installation with these variables.
fn policy(variables: &[(&'static str, &'static str)]) -> PasswordPolicy {
    let key = [("SECRET_KEY", "0123456789abcdef0123456789abcdef")];
    let pairs = key.iter().chain(variables).copied();
    PasswordPolicy::new(&Config::read(Settings::from_pairs(pairs)).unwrap())
}

fn judge(password: &str) -> Result<(), &'static str> {
    judge_by(&policy(&[]), password)
}

fn judge_by(policy: &PasswordPolicy, password: &str) -> Result<(), &'static str> {
    let (email, username, number) = (
        "ada.lovelace@example.com".parse().unwrap(),
        "Countess Ada".parse().unwrap(),
        "+201001234567".parse().unwrap(),
    );
    let owner = Owner {
        email: &email,
        username: &username,
        phone_number: Some(&number),
        date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
    };
    password
        .parse::<Password>()
        .and_then(|password| policy.check(&password, Some(owner)))
        .map_err(|invalid| invalid.code)
}

/// P1
#[test]
fn eight_to_128_characters_counted_after_nfkc() {
    assert_eq!(judge("kq9$wzt"), Err("too_short"));
    assert_eq!(judge("kq9$wztx"), Ok(()));
    assert_eq!(judge(&"éß漢🦀x1".repeat(22)[..]), Err("too_long"));
    // Each ligature counts as the letters it stands for: 4 characters become 8.
    assert_eq!(judge("ﬁﬂﬃﬁ"), Ok(()));
    assert_eq!("ﬁ".parse::<Password>().unwrap().normalized, "fi");
    // A login accepts the longer passwords of imported accounts, up to a bound.
    assert!(
        "x".repeat(Password::MAX_BYTES)
            .parse::<CurrentPassword>()
            .is_ok()
    );
    assert!(
        "x".repeat(Password::MAX_BYTES + 1)
            .parse::<CurrentPassword>()
            .is_err()
    );
}

/// P1
#[test]
fn blanks_and_case_are_kept() {
    assert_eq!(
        "  Two Words ".parse::<Password>().unwrap().normalized,
        "  Two Words "
    );
}

/// P2
#[test]
fn no_composition_is_asked_for() {
    for plain in ["velvet harbour lantern", "qhzmvxkwpl", "4719302856471"] {
        assert_eq!(judge(plain), Ok(()), "{plain}");
    }
}

/// P3
#[test]
fn the_most_common_are_refused() {
    for common in [
        "password",
        "Password1",
        "12345678",
        "qwertyuiop",
        "iloveyou",
        "P@ssw0rd",
        "aaaaaaaa",
        "trustno1",
    ] {
        assert_eq!(judge(common), Err("too_common"), "{common}");
    }
}

/// P3
#[test]
fn what_is_known_of_the_owner_is_refused() {
    for similar in [
        "ada.lovelace@example.com",
        "ada.lovelace1",
        "Lovelace.Ada",
        "countess ada",
        "countessada!",
        "Lovelace2025!",
        "ecalevol.ada",
        "Countess123",
        "+201001234567",
        "201001234567",
    ] {
        assert_eq!(judge(similar), Err("too_similar"), "{similar}");
    }
}

/// P3
#[test]
fn common_password_in_look_alikes_is_refused() {
    for common in [
        "pässword",
        "p\u{430}ssword1",
        "P\u{410}SSW\u{41e}RD",
        "\u{440}\u{430}\u{455}\u{455}w\u{43e}rd",
        "pá\u{455}\u{455}w0rd!",
        "p@\u{455}\u{455}w\u{660}rd",
        "ĵéñňîfèŕ",
        "pa\u{df}word1",
        "pass\u{200d}word",
        "passwordpässword",
        "drówssáp1",
    ] {
        assert_eq!(judge(common), Err("too_common"), "{common}");
    }
    for similar in [
        "L\u{f3}vel\u{e4}ce1",
        "\u{421}\u{43e}untess ad\u{430}",
        "L\u{e4}tchkey2025",
    ] {
        assert_eq!(judge(similar), Err("too_similar"), "{similar}");
    }
}

/// P2: scripts whose letters look like ASCII letters here and there.
#[test]
fn passphrases_in_other_scripts_are_accepted() {
    for good in [
        "قمر فوق البحر الهادئ",
        "سبع نوافذ خضراء",
        "θάλασσα και ουρανός",
        "ΠΡΑΣΙΝΟ ΠΑΡΑΘΥΡΟ",
        "тихое озеро на рассвете",
        "СЕРЕБРОВЕЧЕРОСЕНЬ",
        "山川草木鳥獣虫魚花月雪星",
        "蓝色的窗户外面下着小雨雪",
        "조용한 아침의 푸른 바다 물결",
        "नीली खिड़की के बाहर बारिश",
        "חלון כחול מעל הים",
        "größere Brücke überm Fluß",
    ] {
        assert_eq!(judge(good), Ok(()), "{good}");
    }
}

/// P3
#[test]
fn own_words_in_any_order_and_own_domain_are_refused() {
    for (email, name, similar) in [
        ("jsm@contoso.com", "J", "contoso.com"),
        ("jsm@contoso.com", "J", "ContosoCom1!"),
        ("jsm@mail.example.org", "J", "mail.example.org"),
        ("jsm@mail.hp.io", "J", "mail.hp.io"),
        ("j@x.example.org", "John Smith bin Khalifa", "smithjohn"),
        ("j@x.example.org", "John Smith bin Khalifa", "khalifajohn99"),
        ("j@x.example.org", "John Smith bin Khalifa", "johnsmith"),
        ("j@x.example.org", "John Smith bin Khalifa", "Bin Khalifa"),
        ("j@x.example.org", "Li Na Wang", "linawang"),
        ("j@x.example.org", "Li Na Wang", "wang.na.li"),
        ("j@x.example.org", "محمد العلي", "العلي محمد"),
        ("j@x.example.org", "محمد بن سالم العلي", "محمدالعلي"),
        ("j@x.example.org", "Иван Петров", "петровиван1"),
        ("j@x.example.org", "Bob Lee", "LeeBob!!"),
        ("j@x.example.org", "Bob Lee", "leebob2026"),
        ("j@x.example.org", "Bob Lee", "Lee&Bob99"),
        ("j@x.example.org", "Li Na Wu", "WuLiNa88"),
        ("j@x.example.org", "Kim Jae Ho", "HoJaeKim!"),
        ("j@x.example.org", "דוד לוי", "לוידוד!!"),
        ("bob.lee@abc.io", "Nobody", "BobABC12"),
        ("bob.lee@abc.io", "Nobody", "abc.io!!"),
    ] {
        let (email, username) = (email.parse().unwrap(), name.parse().unwrap());
        let owner = Owner {
            email: &email,
            username: &username,
            phone_number: None,
            date_birth: None,
        };
        let password = similar.parse::<Password>().unwrap();
        let judged = policy(&[]).check(&password, Some(owner));
        let code = judged.map_err(|invalid| invalid.code);
        assert_eq!(code, Err("too_similar"), "{similar}");
    }
}

/// P3
#[test]
fn known_words_repeated_backwards_or_together_are_refused() {
    for similar in [
        "countesscountess1",
        "ssetnuoc.ada",
        "ada.ssetnuoc1",
        "lovelace1lovelace",
        "countess!lovelace!countess",
        "lovelace7countess9",
        "adaadaadalovelace",
        "C0unt3ss-L0v3l4c3-xy",
        "latchkey-lovelace",
    ] {
        assert_eq!(judge(similar), Err("too_similar"), "{similar}");
    }
    for good in [
        "countess velvet harbour",
        "lovelace4719302856velvet",
        "adamant adverb",
    ] {
        assert_eq!(judge(good), Ok(()), "{good}");
    }
}

/// P3
#[test]
fn dates_of_birth_are_refused() {
    for similar in [
        "19900228ada",
        "ada28021990",
        "28.02.1990",
        "1990-02-28x!",
        "02/28/1990ada",
        "28-2-1990!ada",
        "900228ada!",
        "ada.28.02.90.ada",
        "adaada1990",
        "countess2802",
        "٢٨٠٢١٩٩٠",
        "82200991ada",
        "4719900228471",
        "471990-02-2893",
        "4719302-28.02.1990-4719302",
        "47280290471930",
        "xx471990-02-2893",
        "Feb281990",
        "28Feb1990ada",
        "xx February 28, 1990",
        "90feb28xx",
    ] {
        assert_eq!(judge(similar), Err("too_similar"), "{similar}");
    }
    for good in [
        "velvet1990lantern",
        "velvet28021990",
        "4719902856",
        "4728024719",
    ] {
        assert_eq!(judge(good), Ok(()), "{good}");
    }
}

/// P3: words that an attacker takes from the product and its URL.
#[test]
fn names_of_the_installation_are_refused() {
    let by_name = policy(&[
        ("PRODUCT_NAME", "Velvet Notes"),
        ("PUBLIC_URL", "https://accounts.lanternworks.example"),
    ]);
    for similar in [
        "Velvet Notes",
        "velvetnotes",
        "velvetnotesvelvetnotes",
        "VelvetNotes2025!",
        "V3lv3tN0t3s",
        "lanternworks1",
        "!Lanternworks2026",
        "accounts.lanternworks.example",
        "skrownretnal",
    ] {
        assert_eq!(judge_by(&by_name, similar), Err("too_similar"), "{similar}");
    }
    assert_eq!(judge_by(&by_name, "harbour lantern snow"), Ok(()));
    let by_number = policy(&[("PUBLIC_URL", "http://127.0.0.1:31041")]);
    for similar in ["127.0.0.1", "127.0.0.1:80"] {
        assert_eq!(
            judge_by(&by_number, similar),
            Err("too_similar"),
            "{similar}"
        );
    }
    for similar in ["latchkey", "Latchkey2025!", "latchkeylatchkey", "L4tchk3y"] {
        assert_eq!(judge(similar), Err("too_similar"), "{similar}");
    }
}

/// P1
#[test]
fn the_shortest_password_is_configured() {
    let policy = policy(&[("PASSWORD_MIN_LENGTH", "12")]);
    let short: Password = "kq9$wztxvbn".parse().unwrap();
    let invalid = policy.check(&short, None).unwrap_err();
    assert_eq!(invalid.code, "too_short");
    assert_eq!(invalid.detail, "At least 12 characters.");
    assert_eq!(judge_by(&policy, "kq9$wztxvbnm"), Ok(()));
}
