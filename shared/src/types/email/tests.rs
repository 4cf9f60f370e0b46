//! Tests of emails and their keys.

use super::*;

fn code(text: &str) -> &'static str {
    text.parse::<Email>()
        .map_or_else(|invalid| invalid.code, |_| "")
}

fn key(text: &str) -> String {
    let email: Email = text
        .parse()
        .unwrap_or_else(|_| panic!("{text:?} was refused"));
    email.key().as_str().to_owned()
}

#[test]
fn email_with_a_dotted_domain_is_kept_as_typed() {
    for good in [
        "Ada@Example.com",
        "o'brien+tag@mail.example.co.uk",
        "\u{fc}ber@example.com",
        "x@b\u{fc}cher.example",
        "x@xn--bcher-kva.example",
        "x@sub.123.example",
        "\"a b\"@example.com",
        "a@1.museum",
    ] {
        assert_eq!(good.parse::<Email>().unwrap().to_string(), good);
    }
}

/// Emails may use any script, Latin with Korean, and in labels of the domain Latin with Chinese or Japanese.
#[test]
fn email_in_any_script_is_accepted() {
    for good in [
        "иван.петров@почта.рф",
        "иван2@example.com",
        "оса@почта.рф",
        "x@оса.рф",
        "κώστας@example.gr",
        "محمد.5@مثال.مصر",
        "نگار۵۶@example.com",
        "संपर्क@डाटामेल.भारत",
        "ไทย@example.com",
        "山田太郎@例え.テスト",
        "山田.99@例えabc.テスト",
        "ひらカタ漢字@example.com",
        "한국어abc@example.com",
        "한국韓國@example.com",
        "中文2@中文abc.example",
        "josé@example.com",
        "ærø@example.dk",
        "þorsteinn@example.is",
        "ışık@example.com.tr",
        "tiếng-việt@example.vn",
        "straße@straße.de",
    ] {
        assert_eq!(code(good), "", "{good}");
    }
}

#[test]
fn invalid_email_is_refused() {
    for bad in [
        "",
        "a",
        "a@",
        "@b.co",
        "a b@c.com",
        "a..b@c.com",
        ".a@c.com",
        "\"\"@c.com",
        "a@b",
        "a@[127.0.0.1]",
        "Ada <a@b.co>",
        "a@b.co\r\nBcc: x@y.z",
        "a\0@b.co",
        "a\u{2028}b@c.com",
        "ada\u{2027}smith@example.com",
        "سل\u{6fd}م@example.com",
        "a@paypal\u{2027}com.example",
        "a@а\u{2027}б.example",
        "a@ա\u{58a}բ.example",
        "a@سل\u{6fd}م.example",
        "a@ག\u{f0b}ག.example",
    ] {
        assert!(bad.parse::<Email>().is_err(), "{bad:?} was taken");
    }
    let name = "a".repeat(60);
    for long in [
        format!("{}@example.com", "a".repeat(250)),
        format!("{name}@{name}.{name}.{name}.{name}.com"),
        "\u{301}".repeat(10_000),
    ] {
        assert_eq!(code(&long), "too_long");
    }
    assert_eq!(code(&format!("{}@example.com", "a".repeat(65))), "invalid");
}

/// M2: capital letters of other scripts look like Latin letters more often than lower-case ones do.
#[test]
fn non_ascii_domain_is_stored_in_lower_case() {
    for (typed, stored) in [
        (
            "billing@\u{41c}\u{415}\u{422}\u{410}.com",
            "billing@\u{43c}\u{435}\u{442}\u{430}.com",
        ),
        ("Ada@B\u{dc}CHER.Example", "Ada@b\u{fc}cher.Example"),
        ("Ada@Example.COM", "Ada@Example.COM"),
    ] {
        let email: Email = typed.parse().unwrap();
        assert_eq!(email.as_str(), stored);
    }
}

#[test]
fn invalid_domain_is_refused() {
    let label = "a".repeat(64);
    for bad in [
        "127.0.0.1",
        "1.2.3.4",
        "[::1]",
        "[IPv6:::1]",
        "::1",
        "0x7f.1",
        "example.0x10",
        "example.123",
        "example",
        "example.",
        "example.com.",
        ".example.com",
        "a..com",
        "-a.com",
        "a-.com",
        "ab--cd.com",
        "a_b.com",
        "example.invalid",
        "api.localhost",
        "a!b.com",
        "xn--a.example",
        "xn--.example",
        "xn--abc-.example",
        "xn--bcher-kva8445foa.xn--a",
        &format!("{label}.com"),
        &format!("{}\u{fc}.com", "a".repeat(58)),
    ] {
        let refused = format!("a@{bad}").parse::<Email>().unwrap_err();
        assert!(
            refused.detail.contains("not a domain"),
            "{bad}: {refused:?}"
        );
    }
}

/// M2: refuses invisible characters and variants of others.
#[test]
fn invisible_or_variant_character_is_refused() {
    for bad in [
        "kate\u{3164}@example.com",
        "\u{200b}kate@example.com",
        "kate\u{200d}@example.com",
        "ka\u{ad}te@example.com",
        "ka\u{202e}te@example.com",
        "ka\u{2066}te@example.com",
        "ka\u{34f}te@example.com",
        "kate\u{fe0f}@example.com",
        "ｋａｔｅ@example.com",
        "\u{212a}ate@example.com",
        "\u{17f}am@example.com",
        "ﬁn@example.com",
        "kate\u{2010}b@example.com",
        "kati\u{307}@example.com",
        "hị\u{307}m@example.com",
        "h\u{307}i\u{323}\u{307}m@example.com",
        "hį\u{307}m@example.com",
        "h\u{268}\u{307}m@example.com",
        "hI\u{323}\u{307}m@example.com",
        "\u{237}\u{307}oe@example.com",
        "\u{458}\u{307}аж@example.com",
        "x@hị\u{307}m.example",
        "kate\u{323}\u{323}@example.com",
        "a.\u{308}b@example.com",
        "kate😀@example.com",
        "kate@ｅxample.com",
        "kate@example。com",
        "kate@ex\u{ad}ample.com",
        "kate@\u{212a}ate.com",
        "kate@\u{17f}am.com",
        "kate@\u{130}x.com",
        "kate@i❤.ws",
        "kate@xn--i-7iq.ws",
    ] {
        assert_eq!(code(bad), "character", "{bad}");
    }
    assert_eq!(code("kate＠example.com"), "invalid");
}

#[test]
fn look_alike_is_refused() {
    for bad in [
        "c\u{435}o@example.com",
        "\u{441}\u{435}\u{43e}@example.com",
        "αdmin@example.com",
        "adm\u{131}n@example.com",
        "abcمحمد@example.com",
        "ada٥@example.com",
        "محمد5٥@example.com",
        "৪@example.com",
        "օhm@example.com",
        "x@p\u{430}ypal.com",
        "x@\u{430}\u{440}\u{440}\u{4cf}\u{435}.com",
        "x@xn--pple-43d.com",
        "x@xn--80ak6aa92e.com",
        "x@example.\u{441}\u{43e}",
    ] {
        assert_eq!(code(bad), "look_alike", "{bad}");
    }
}

/// M2: a local part mixes no Latin letters with Chinese or Japanese characters, many of which resemble Latin letters.
#[test]
fn local_part_mixing_latin_with_cjk_is_refused() {
    for c in "卂乃乇千卄爪几卩尺丂山七ナ尸ム".chars() {
        assert_ne!(code(&format!("{c}on@example.com")), "", "{c}");
    }
    for bad in [
        "尺on@example.com",
        "乃ob@example.com",
        "ア丨lan@example.com",
        "paypa丨@example.com",
        "ada一smith@example.com",
        "adaーsmith@example.com",
        "g〇〇gle@example.com",
        "トacebook@example.com",
        "adaノsmith@example.com",
        "エbm@example.com",
        "josé丨@example.com",
        "paypal・com@example.com",
        "山田taro@example.com",
        "ひらカタ漢字abc@example.com",
        "中文abc@example.com",
    ] {
        assert_eq!(code(bad), "look_alike", "{bad}");
    }
}

/// M2: characters of Chinese and Japanese that look like ASCII letters or punctuation, beside Latin letters or digits.
#[test]
fn cjk_lookalike_beside_latin_is_refused() {
    for bad in [
        "x@paypa丨.com",
        "x@丨bm.com",
        "x@ada一smith.com",
        "x@adaーsmith.com",
        "x@ada二smith.com",
        "x@adaニsmith.com",
        "x@g〇〇gle.com",
        "x@g口gle.com",
        "x@gロロgle.com",
        "x@卜acebook.com",
        "x@トacebook.com",
        "x@adaノsmith.com",
        "x@ada丶smith.com",
        "x@エbm.com",
        "x@乙oe.com",
        "x@josé丨.com",
        "丨23@example.com",
        "2ーー3@example.com",
    ] {
        assert_eq!(code(bad), "look_alike", "{bad}");
    }
    for good in [
        "x@一郎taro.com",
        "x@taro口田.com",
        "x@ニコtaro.com",
        "スター99@example.com",
        "山本一@example.com",
        "一郎2@example.com",
        "x@abc三.com",
        "x@二〇二六abc年.com",
        "ノート2@example.com",
    ] {
        assert_eq!(code(good), "", "{good}");
    }
}

/// M2: the capital I of such a script looks like l.
#[test]
fn script_whose_capital_i_looks_like_l_is_refused() {
    for bad in [
        // Lisu
        "ꓮꓡꓲꓚꓰ@example.com",
        "aꓲice@example.com",
        // Cyrillic palochka
        "\u{4c0}оре@example.com",
        "aIic\u{4c0}@example.com",
        // Tifinagh, Coptic
        "\u{2d4f}\u{2d54}@example.com",
        "\u{2c92}\u{2c9e}@example.com",
        "x@ꓮꓡꓲꓚꓰ.com",
    ] {
        assert_ne!(code(bad), "", "{bad}");
    }
}

/// M2: a mailbox has one key, independent of case, the form of its domain and the composition of letters.
#[test]
fn spellings_of_one_mailbox_have_one_key() {
    for (one, other) in [
        ("ADA@Example.com", "ada@example.COM"),
        ("x@b\u{fc}cher.example", "X@xn--bcher-kva.example"),
        ("x@B\u{dc}CHER.example", "x@XN--BCHER-KVA.example"),
        ("x@bu\u{308}cher.example", "x@b\u{fc}cher.example"),
        ("jose\u{301}@example.com", "JOS\u{c9}@example.com"),
        ("ИВАН@example.com", "иван@example.com"),
        (
            "\u{1112}\u{1161}\u{11ab}@example.com",
            "\u{d55c}@example.com",
        ),
        ("\"ada\"@example.com", "ada@example.com"),
        ("\"\\a b\"@example.com", "\"a b\"@example.com"),
    ] {
        assert_eq!(key(one), key(other));
    }
}

/// M2: a key merges only the two cases of a letter.
#[test]
fn different_mailboxes_have_different_keys() {
    for (one, other) in [
        ("\u{130}lker@example.com", "ilker@example.com"),
        (
            "\u{130}lker@example.com",
            "I\u{307}lker@example.com".trim_start_matches('I'),
        ),
        ("stra\u{1e9e}e@example.com", "stra\u{df}e@example.com"),
        ("stra\u{df}e@example.com", "strasse@example.com"),
        ("x@stra\u{df}e.de", "x@strasse.de"),
        ("κώστας@example.com", "κώστασ@example.com"),
        ("ışık@example.com", "işik@example.com"),
    ] {
        let other = other
            .parse::<Email>()
            .map(|email| email.key().as_str().to_owned());
        assert_ne!(Ok(key(one)), other);
    }
}

#[test]
fn key_is_an_email_and_its_own_key() {
    for text in [
        "Ada@Example.com",
        "JOS\u{c9}@B\u{fc}cher.example",
        "\u{130}lker@example.com",
        "\"A b\"@example.com",
    ] {
        assert_eq!(key(&key(text)), key(text));
    }
}

#[test]
fn ascii_domain_keeps_the_local_part() {
    let email: Email = "J\u{f6}rg@B\u{fc}cher.Example".parse().unwrap();
    assert_eq!(email.to_ascii_domain(), "J\u{f6}rg@xn--bcher-kva.example");
    assert_eq!(email.ascii_domain(), "xn--bcher-kva.example");
    assert_eq!(email.domain(), "b\u{fc}cher.Example");
}

#[test]
fn debug_hides_the_local_part() {
    let email: Email = "ADA@Example.com".parse().unwrap();
    assert_eq!(format!("{email:?}"), "Email(…@Example.com)");
    assert_eq!(format!("{:?}", email.key()), "EmailKey(…)");
}
