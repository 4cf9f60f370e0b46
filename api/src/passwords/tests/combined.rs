//! Combined variations of common passwords, repetitions, keyboard rows and dates.

use super::judge;

fn assert_common(passwords: &[&str]) {
    for password in passwords {
        assert_eq!(judge(password), Err("too_common"), "{password}");
    }
}

/// P3: what the check promises for each listed password.
#[test]
fn each_variation_of_listed_password_is_refused() {
    let replaced = |text: &str, pairs: &[(&str, &str)]| {
        let mut text = text.to_owned();
        for (letter, other) in pairs {
            text = text.replace(letter, other);
        }
        text
    };
    for listed in [
        "jennifer",
        "christopher",
        "fallen_angel",
        "dimazarya",
        "trustno1",
    ] {
        let characters: Vec<_> = listed.chars().map(String::from).collect();
        for variation in [
            listed.to_uppercase(),
            replaced(listed, &[("a", "@"), ("e", "3"), ("o", "0"), ("s", "$")]),
            characters.join("."),
            listed.repeat(3),
            listed.chars().rev().collect(),
            replaced(listed, &[("a", "ä"), ("e", "é"), ("o", "ô"), ("u", "ü")]),
            replaced(listed, &[("a", "а"), ("e", "е"), ("o", "о"), ("p", "р")]),
            replaced(listed, &[("a", "🅐"), ("e", "🅴"), ("o", "ⓞ"), ("u", "🇺")]),
        ] {
            for (before, after) in [("", ""), ("7", "!"), ("12", "3456"), ("!7", "12345678")] {
                assert_common(&[&format!("{before}{variation}{after}")]);
            }
        }
    }
}

/// P3: a repetition of any length with digits and signs around it.
#[test]
fn repetitions_with_digits_around_are_refused() {
    assert_common(&[
        "xxxxxxxxxxxx1",
        "abcabcabc12",
        "12xyxyxyxy!",
        "7777777777!7",
        "kqzkqzkqz4719",
        "passwordpasswordpasswordpasswordpassword1",
        &format!("{}7", "jennifer".repeat(15)),
        &format!("1{}", "dragon!".repeat(12)),
    ]);
}

/// P3: separators with digits and signs around, and within words with substitutes.
#[test]
fn separators_with_digits_around_are_refused() {
    assert_common(&[
        "1p-a-s-s-w-o-r-d9",
        "123-p-a-s-s-w-o-r-d-456",
        "47-j e n n i f e r",
        "12_p_@_$_$_w_0_r_d_34",
        "1-h-e-l-l-o-7",
        "p-a.s-s.w-o_r-d",
        "p@@@s@s@w@o@r@d",
        "pass--word1",
        "l.o.v.e!!!!",
        "L-O-V-E!!!!",
        "h-e-l-l-o*****",
    ]);
}

/// P3: a listed password with digits of its own and substitutes.
#[test]
fn substitutes_beside_own_digits_are_refused() {
    assert_common(&[
        "@bc123456",
        "l0ve4ever",
        "$ummer69",
        "p@ssw0rd123",
        "tru$tn01",
    ]);
}

/// P3: a sign stands for another letter in each place.
#[test]
fn sign_for_different_letters_is_refused() {
    assert_common(&["foo7ba77", "f007ba77", "e1izabe7h1", "11i1ith66"]);
}

/// P3: two of the most common words with digits and signs between them.
#[test]
fn two_common_words_with_digits_between_are_refused() {
    assert_common(&[
        "dragon77monkey",
        "Dragon4Monkey!12",
        "1love4football",
        "dragon--monkey",
        "dragon: monkey",
        "dragon\u{a3}monkey1",
        "dragon\u{2013}7monkey",
    ]);
    for good in [
        "dragon471monkey",
        "dragon77marzipan",
        "dragon7x7monkey",
        "dragon\u{434}monkey",
    ] {
        assert_eq!(judge(good), Ok(()), "{good}");
    }
}

/// P3: keyboard rows of other layouts, backwards or repeated, with digits around.
#[test]
fn rows_of_any_layout_are_refused() {
    assert_common(&[
        // QWERTZ
        "qwertzuiopü",
        "1qay2wsx3edc",
        "asdfghjklöä",
        // AZERTY
        "azertyuiop1",
        "qsdfghjklm",
        "mlkjhgfdsq12",
        "1aqw2zsx",
        // Dvorak
        "aoeuidhtns",
        "snthdiueoa12",
        "',.pyfgcrl",
        // Colemak
        "qwfpgjluy1",
        "arstdhneio",
        "12arstdhneioarstdhneio",
        // Cyrillic
        "йцукенгшщз1",
        "ФЫВАПРОЛДЖ",
        "12ъхзщшгнекуцй",
        "йцукенйцукен7",
        "фівапролджє",
        // Arabic
        "ضصثقفغعه1",
        "شسيبلاتنم",
        "كمنتالبيسش",
        // Hebrew
        "קראטוןםפ",
        "שדגכעיחלך12",
        // Greek
        "ςερτυθιοπ",
        "12ασδφγηξκλ",
        "ΑΣΔΦΓΗΞΚ",
        "ΣΕΡΤΥΘΙΟΠ",
        "Σερτυθιοπ1",
        "ΛΚΞΗΓΦΔΣ",
        // Digit rows without or with Shift
        "&é\"'(-è_ç",
        "!\"§$%&/()=",
        "!\"№;%:?*()_+",
    ]);
}

/// P3: up to three dates, with at most one letter.
#[test]
fn three_dates_or_date_with_letter_are_refused() {
    assert_common(&[
        "010290 020391 040592",
        "1.2.1990 2.3.1991 4.5.1992",
        "x14071985",
        "14.07.1985a",
    ]);
}

/// P3: letters in circles or squares, and of scripts whose capital I looks like l.
#[test]
fn enclosed_and_unicameral_letters_are_refused() {
    assert_common(&[
        "ⓟⓐⓢⓢⓦⓞⓡⓓ",
        "🅟🅐🅢🅢🅦🅞🅡🅓❶",
        "🄿🄰🅂🅂🅆🄾🅁🄳",
        "🅿🅰🆂🆂🆆🅾🆁🅳",
        "🇵🇦🇸🇸🇼🇴🇷🇩",
        "⒫⒜⒮⒮⒲⒪⒭⒟",
        // Lisu
        "ꓮꓓꓟꓲꓠꓲꓢꓔꓣꓮꓔꓳꓣ",
        "ꓰꓡꓲꓜꓮꓐꓰꓔꓧ",
    ]);
}

/// P3: a text without letters, and one or two characters beside it.
#[test]
fn texts_without_letters_with_characters_around_are_refused() {
    let blanks = format!("{}1", " ".repeat(10));
    let emoji = format!("{}1", "\u{1f600}".repeat(8));
    assert_common(&[
        "!@#$%^&*1",
        "1!@#$%^&*",
        "!@#$%^&*()99",
        "$$$$$$$$8",
        "8$$$$$$$$",
        "--------1",
        "**********1",
        "........99",
        "#?#?#?#?7",
        &blanks,
        &emoji,
        "1234567!",
        "!1111111",
        "?+3$++3$+",
        "+3$++3$+?",
        "%%%%%%%%#",
        "@5@5@5@5#",
        ".(0(0|0(0",
    ]);
    for good in ["47193028!", "?#47&!93", "!7$1|4@(9<", "(83) 91-04?"] {
        assert_eq!(judge(good), Ok(()), "{good}");
    }
}
