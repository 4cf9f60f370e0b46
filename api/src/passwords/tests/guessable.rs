//! Passwords that attackers guess from common words, dates and what they know of an account.

use super::*;
use crate::passwords::common::Forms;

fn judge_for(email: &str, username: &str, password: &str) -> Result<(), &'static str> {
    let (email, username) = (email.parse().unwrap(), username.parse().unwrap());
    let number = "+201001234567".parse().unwrap();
    let owner = Owner {
        email: &email,
        username: &username,
        phone_number: Some(&number),
        date_birth: None,
    };
    let password = password.parse::<Password>().unwrap();
    let host = ("PUBLIC_URL", "https://konten.xn--lserkarte-v2a.example");
    let judged = policy(&[host]).check(&password, Some(owner));
    judged.map_err(|invalid| invalid.code)
}

fn assert_judged(expected: Result<(), &'static str>, passwords: &[&str]) {
    for password in passwords {
        let judged = judge_for("x@mail.example", "Nobody", password);
        assert_eq!(judged, expected, "{password}");
    }
}

/// P3: a digit or sign at the end of a word may replace its last letter.
#[test]
fn substitutes_beside_digits_and_signs_are_refused() {
    assert_judged(
        Err("too_common"),
        &[
            "$3cr37123",
            "p@$$w0r7!23",
            "5unsh1n3!!",
            "12$un5h1n3",
            "$3cr37!@#$%^&",
        ],
    );
    assert_judged(
        Ok(()),
        &[
            "$3cr37velvet",
            "$3cr3798719302",
            "4719302$3cr37",
            "k7$93cr37123",
        ],
    );
}

/// P3: brackets for c, 7 for l or t, separators between letters.
#[test]
fn brackets_sevens_and_separators_are_refused() {
    assert_judged(
        Err("too_common"),
        &[
            "so{{er12",
            "[h3l$ea1",
            "<h3l5ea!",
            "foo7ball",
            "baseba77",
            "p-a-s-s-w-o-r-d",
            "p.a.s.s.w.o.r.d",
            "p.a.s.s.w.0.r.d.1",
            "pass_word",
            "j e n n i f e r",
            "12-p-4-$-$-w-0-r-d-!",
        ],
    );
    assert_judged(
        Ok(()),
        &[
            "v-e-l-v-e-t-h-a-r-b-o-u-r",
            "p-a-s-s.w-o-r-d-q",
            "pass_marzipan_12",
            "[velvet]<harbour>",
        ],
    );
}

/// P3: a word of the account and otherwise digits and signs.
#[test]
fn short_name_with_digits_and_signs_is_refused() {
    for (email, name, password) in [
        ("x@mail.example", "Bob", "4719!Bob!302856471"),
        ("x@mail.example", "Bob", "bob12345!"),
        ("x@mail.example", "Bob", "bob2019bob"),
        ("x@mail.example", "Bob", "b0b12345"),
        ("x@mail.example", "Bob Li", "1li71930285"),
        ("x@mail.example", "Li", "il98765432!"),
        ("x@mail.example", "Ян", "ян71930285"),
        ("li@mail.example", "Nobody", "li4719302!"),
        ("x@hp.example", "Nobody", "HP71930285"),
        ("lovelace@mail.example", "Nobody", "lovelace4719302856"),
        ("qz7+shop@mail.example", "Nobody", "qz71930285"),
        ("quentin7z+shop@mail.example", "Nobody", "quentin7z9"),
    ] {
        let judged = judge_for(email, name, password);
        assert_eq!(judged, Err("too_similar"), "{password}");
    }
    for (name, password) in [
        ("Bob", "bobvelvet12"),
        ("Bob", "bob12velv"),
        ("Li", "linen47193028"),
        ("Bob", "4719302856471"),
    ] {
        let judged = judge_for("x@mail.example", name, password);
        assert_eq!(judged, Ok(()), "{password}");
    }
}

/// P3: users type a domain as they read it, and a phone number as they dial it.
#[test]
fn domain_in_unicode_and_dialled_number_are_refused() {
    for password in [
        "b\u{fc}cher2026!",
        "bucher2026!",
        "l\u{e4}serkarte1",
        "L\u{e4}serkarte 2026",
        "+20 100 123 4567",
        "0100-123-4567",
        "(0100) 1234567",
        "1001234567",
        "0020 100 1234567",
        "01001234567ab",
    ] {
        let judged = judge_for("x@xn--bcher-kva.example", "Nobody", password);
        assert_eq!(judged, Err("too_similar"), "{password}");
    }
    for password in [
        "b\u{fc}cherwurm velvet",
        "0100-847-9361",
        "1001234567velvet",
    ] {
        let judged = judge_for("x@xn--bcher-kva.example", "Nobody", password);
        assert_eq!(judged, Ok(()), "{password}");
    }
}

/// P3: two of the most common words, with digits and signs around and between them.
#[test]
fn two_most_common_words_are_refused() {
    assert_judged(
        Err("too_common"),
        &[
            "dragonmonkey",
            "DragonMonkey1!",
            "passwordsunshine",
            "passwordsunshine2026",
            "dragon monkey",
            "monkey-dragon-12",
            "lovefootball",
        ],
    );
    assert_judged(
        Ok(()),
        &[
            "dragonmonkeysunshine",
            "dragon monkey sunshine",
            "dragonmarzipan",
            "marzipandrizzle",
            "drizzlemonkey",
            "qhzmvxkwplbn",
        ],
    );
}

/// P3: dates, and nothing else.
#[test]
fn dates_alone_are_refused() {
    assert_judged(
        Err("too_common"),
        &[
            "01.02.1990",
            "19900201",
            "28/02/90",
            "1Feb1990",
            "010290 020391",
            "\u{661}\u{669}\u{669}\u{660}-02-01",
        ],
    );
    assert_judged(Ok(()), &["01.02.1990 velvet", "47193028", "19900201vx"]);
}

/// C1: a check looks up a bounded number of forms, whatever the password.
#[test]
fn password_of_substitutes_has_few_forms() {
    for text in [
        "4@8({[<369|1!70$5+%2".repeat(7)[..128].to_owned(),
        "a4@8({[<369|1!70$5+%2".repeat(7)[..128].to_owned(),
        "719302qr4@8({[<ghi369pq1!70$5z871930".to_owned(),
        "71930qr4@8({z871930".repeat(6),
        format!("{}a{}", "1".repeat(63), "2".repeat(64)),
        "17171222".to_owned(),
        format!("719302{}q719302", "4!é".repeat(38)),
    ] {
        let forms = Forms::of(&similarity::readings(&text));
        assert!(forms.len() <= 6_000, "{text}: {}", forms.len());
    }
}

/// P3: digits and signs around a common password that has no letters.
#[test]
fn common_numbers_with_digits_and_signs_around_are_refused() {
    assert_judged(
        Err("too_common"),
        &[
            "123456787",
            "888888887",
            "1234567897",
            "12344321!1",
            "123456789-7",
            "20052005!7",
            "7123456789",
        ],
    );
    assert_judged(Ok(()), &["4719302856", "8391047265", "90417-28356"]);
}

/// P3: each of `1`, `!` and `|` may replace i or l, independently of the others.
#[test]
fn signs_for_i_and_l_in_one_word_are_refused() {
    assert_judged(
        Err("too_common"),
        &[
            "e1!zabeth",
            "m!che11e",
            "va1ent!na",
            "ca1!forn!a",
            "m1che!!e",
            "e|1zabeth",
        ],
    );
    let judged = judge_for("x@mail.example", "Zoe Quill", "Qu!1l2026");
    assert!(judged.is_err());
}

/// P3: a word that is repeated with substitutes, and a digit after it.
#[test]
fn repeated_words_with_substitutes_are_refused() {
    assert_judged(
        Err("too_common"),
        &[
            "pr!ncesspr!ncess7",
            "p@trici@p@trici@1",
            "b@seballb@seball1",
        ],
    );
    let judged = judge_for("x@mail.example", "Zoe Quill", "Qu!llQu!ll99");
    assert!(judged.is_err());
}

/// P3: digits at the ends of a word that may replace its letters.
#[test]
fn substitutes_at_both_ends_are_refused() {
    assert_judged(
        Err("too_common"),
        &["44bb1122", "1013k123", "53n7!n31", "[4|!f0rn!4!?"],
    );
}
