//! Redacts the text of SMTP replies before it is stored, logged or shown.

use std::ops::Range;

use latchkey_shared::types::decimal;

mod forms;

use crate::transport::redaction::forms::{View, encoded_spans, folded, views};

/// The maximum length of a stored text, in characters.
const MAX_CHARS: usize = 300;
/// The maximum length of a text to redact, in bytes, which bounds the time that it takes. The rest is dropped.
const MAX_BYTES: usize = 4096;
/// Replaces redacted text.
const HIDDEN: &str = "…";
/// Names shorter than this, in characters, are redacted only as whole words.
const SHORT_NAME: usize = 4;
/// A part of a secret is redacted from this length, in characters. Shorter parts occur in ordinary words.
const SECRET_PART: usize = 4;
/// A part of a name is redacted from this length, in characters.
const NAME_PART: usize = 6;

/// Hides a code: its digits in any script, escaped, encoded or plain, with any characters except letters between them. Also hides
/// every run of at least as many digits, in which spaces and dashes do not count.
pub(crate) fn hide_code(text: &str, code: &str) -> String {
    let text = beginning(text);
    let digits: Vec<_> = code.chars().filter_map(decimal::value).collect();
    let find = |view: &View| digit_spans(view, &digits);
    let mut spans: Vec<_> = views(text).iter().flat_map(find).collect();
    spans.extend(encoded_spans(text, find));
    hide_long_numbers(&hide(text, spans), digits.len())
}

fn hide_long_numbers(text: &str, digits: usize) -> String {
    let is_separator = |c: char| c.is_whitespace() || decimal::is_dash(c);
    let is_digit = |c: char| decimal::value(c).is_some();
    let (mut out, mut run) = (String::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if is_digit(c) || !run.is_empty() && is_separator(c) {
            run.push(c);
            continue;
        }
        let end = run.trim_end_matches(is_separator).len();
        if run.chars().filter(|c| is_digit(*c)).count() >= digits {
            out.push_str(HIDDEN);
            out.push_str(&run[end..]);
        } else {
            out.push_str(&run);
        }
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Returns where the digits follow each other without a letter between them.
fn digit_spans(view: &View, digits: &[u32]) -> Vec<Range<usize>> {
    let runs = view.split(|(c, _)| c.is_alphabetic());
    runs.flat_map(|run| {
        let found: Vec<_> = run
            .iter()
            .filter_map(|(c, range)| Some((decimal::value(*c)?, range)))
            .collect();
        let same =
            |window: &&[(u32, &Range<usize>)]| window.iter().map(|(value, _)| value).eq(digits);
        found
            .windows(digits.len().max(1))
            .filter(same)
            .map(|window| window[0].1.start..window[window.len() - 1].1.end)
            .collect::<Vec<_>>()
    })
    .collect()
}

/// Hides secrets, `names` (the local part of an address, a login) and parts of both. Finds them in any letter case, with or without
/// separators, escaped (`%40`) or encoded (base64, base32, hexadecimal). Also hides every word that contains an `@` or a whole
/// name. Replaces control and invisible characters by spaces.
pub(crate) fn redact(text: &str, secrets: &[String], names: &[&str]) -> String {
    let text = beginning(text);
    let views = views(text);
    let mut spans = Vec::new();
    for secret in secrets.iter().map(|secret| folded(secret)) {
        let letters = letters(&secret);
        let find_letters = |view: &View| part_spans(&letters_of(view), &letters, SECRET_PART);
        let find = |view: &View| part_spans(view, &secret, SECRET_PART.min(secret.len()));
        spans.extend(views.iter().flat_map(find));
        spans.extend(views.iter().flat_map(find_letters));
        spans.extend(encoded_spans(text, find_letters));
    }
    let is_long = |name: &Vec<char>| name.len() >= SHORT_NAME;
    for name in names
        .iter()
        .map(|name| letters(&folded(name)))
        .filter(is_long)
    {
        let find = |view: &View| part_spans(&letters_of(view), &name, NAME_PART.min(name.len()));
        let mut found = encoded_spans(text, find);
        if name.len() >= NAME_PART {
            found.extend(views.iter().flat_map(find));
        }
        spans.extend(found.into_iter().map(|span| whole_words(text, span)));
    }
    let text: String = hide(text, spans)
        .chars()
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect();
    let words: Vec<_> = text
        .split_whitespace()
        .map(|word| {
            if names_person(word, names) {
                HIDDEN
            } else {
                word
            }
        })
        .collect();
    words.join(" ")
}

/// Returns the letters and digits of a folded text.
fn letters(text: &[char]) -> Vec<char> {
    text.iter()
        .copied()
        .filter(|c| c.is_alphanumeric())
        .collect()
}

/// Returns the letters and digits of a view.
fn letters_of(view: &View) -> View {
    let is_letter = |(c, _): &&(char, Range<usize>)| c.is_alphanumeric();
    view.iter().filter(is_letter).cloned().collect()
}

/// Extends a range to the whole words that it touches.
fn whole_words(text: &str, span: Range<usize>) -> Range<usize> {
    let is_word = |c: char| !c.is_whitespace();
    let start = text[..span.start].trim_end_matches(is_word).len();
    let rest = text[span.end..].trim_start_matches(is_word).len();
    start..text.len() - rest
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_BYTES)]
}

/// Truncates a redacted text. Truncating before redaction could leave an unrecognized part of a secret.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

/// Returns where a view contains `length` characters of a folded text that follow each other.
fn part_spans(view: &View, text: &[char], length: usize) -> Vec<Range<usize>> {
    if length == 0 {
        return Vec::new();
    }
    let is_part = |window: &&[(char, Range<usize>)]| {
        let is_same = |part: &[char]| window.iter().map(|(c, _)| c).eq(part);
        text.windows(length).any(is_same)
    };
    view.windows(length)
        .filter(is_part)
        .map(|window| window[0].1.start..window[length - 1].1.end)
        .collect()
}

/// Replaces ranges of a text, which may overlap.
fn hide(text: &str, mut spans: Vec<Range<usize>>) -> String {
    spans.sort_by_key(|span| (span.start, span.end));
    let (mut out, mut end) = (String::new(), 0);
    for span in spans {
        if span.start >= end {
            out.push_str(&text[end..span.start]);
            out.push_str(HIDDEN);
        }
        end = end.max(span.end);
    }
    out.push_str(&text[end..]);
    out
}

fn names_person(word: &str, names: &[&str]) -> bool {
    views(word).iter().any(|view| {
        let word: String = view.iter().map(|(c, _)| c).collect();
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains('@')
            || names
                .iter()
                .map(|name| String::from_iter(folded(name)))
                .any(|name| {
                    let is_short = name.chars().count() < SHORT_NAME;
                    bare == name || (!is_short && word.contains(&name))
                })
    })
}

/// Returns whether a character is a control character, or reorders or hides text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine as _,
        prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
    };

    use super::*;

    #[test]
    fn recipient_is_redacted() {
        let words = "permanent error (550): 5.1.1 <Ada@example.com>: ada unknown here";
        assert_eq!(
            redact(words, &[], &["ada"]),
            "permanent error (550): 5.1.1 … … unknown here"
        );
        assert_eq!(
            redact("Lovelace.Ada=x is away", &[], &["lovelace"]),
            "… is away"
        );
        assert_eq!(redact("bad header", &[], &["a"]), "bad header");
    }

    #[test]
    fn code_is_hidden_in_any_digit_grouping() {
        for code in [
            "845495",
            "845 495",
            "688-596",
            "8 1 1 3 8 1",
            "845.495",
            "8.4.5.4.9.5",
            "8_4_5_4_9_5",
            "845/495",
            "845, 495",
            "845·495",
            "845\u{200b}495",
            "845%20495",
            "%38%34%35%34%39%35",
            "=38=34=35=34=39=35",
            "٨٤٥٤٩٥",
            "८४५.४९५",
            "８４５４９５",
            "𝟠𝟜𝟝𝟜𝟡𝟝",
            "⑧④⑤④⑨⑤",
        ] {
            let text = format!("450 4.7.1: code {code} deferred");
            let hidden = hide_code(&text, "845495");
            assert_eq!(hidden, "450 4.7.1: code … deferred", "{code}");
        }
        // Digits in several scripts that are not a code.
        for kept in [
            "at 12:30 in line 42",
            "450 4.7.1 later",
            "5.7.1 ٤٥",
            "84549.5x",
        ] {
            assert_eq!(hide_code(kept, "123456"), kept);
        }
        assert_eq!(hide_code("code 000000", "123456"), "code …");
        assert_eq!(hide_code("code ٠٠٠٠٠٠", "123456"), "code …");
    }

    #[test]
    fn code_in_an_encoded_subject_is_hidden() {
        let subject = BASE64_STANDARD.encode("845495 is your code");
        let text = format!("spam: =?utf-8?B?{subject}?= refused");
        let redacted = redact(&text, &["845495".to_owned()], &[]);
        assert_eq!(redacted, "spam: =?utf-8?B?…?= refused");
    }

    /// R3
    #[test]
    fn secrets_are_hidden_in_every_form() {
        let password = "Velvet/sécret%41";
        let plain = format!("\0relay-user\0{password}");
        let (padded, url_safe) = (BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD);
        let secrets = [
            password.to_owned(),
            padded.encode(password),
            padded.encode(&plain),
        ];
        for form in [
            password.to_owned(),
            password.to_uppercase(),
            "vElVeT/SéCrEt%41".to_owned(),
            "Velvet%2Fs%C3%A9cret%2541".to_owned(),
            "velvet%2fs%c3%a9cret%2541".to_owned(),
            "%56elvet%2Fs%C3%A9cret%2541".to_owned(),
            "Velvet=2Fs=C3=A9cret%41".to_owned(),
            "Vel\u{200b}vet/sécret\u{ad}%41".to_owned(),
            "Ｖｅｌｖｅｔ/sécret%41".to_owned(),
            padded.encode(password),
            url_safe.encode(password),
            padded.encode(password).to_lowercase(),
            padded.encode(&plain),
            padded.encode(&plain).to_uppercase(),
            padded.encode(format!("admin\0relay-user\0{password}")),
            url_safe.encode(format!("relay-user:{}", password.to_uppercase())),
        ] {
            let redacted = redact(&format!("bad login '{form}' here"), &secrets, &[]);
            assert_eq!(redacted, "bad login '…' here", "{form}");
        }
        let words = "The server could not authenticate relay/submission users+guests";
        assert_eq!(redact(words, &secrets, &["relay-user"]), words);
    }

    /// R3
    #[test]
    fn parts_of_secrets_are_hidden() {
        let secrets = ["Velvet/sécret%41".to_owned(), "845495".to_owned()];
        let whole = BASE64_STANDARD.encode("\0relay-user\0Velvet/sécret%41");
        let subject = BASE64_STANDARD.encode("845495 is your code");
        let spaced: Vec<_> = subject
            .as_bytes()
            .chunks(4)
            .map(|chunk| String::from_utf8_lossy(chunk))
            .collect();
        for form in [
            "Velvet/sécret%4".to_owned(),
            "elvet/sécret".to_owned(),
            "Velv et/s écr et%41".to_owned(),
            "Vel...vet...séc...ret".to_owned(),
            "8454".to_owned(),
            whole[6..].to_owned(),
            whole[..whole.len() - 7].to_owned(),
            format!("{}...{}", &whole[..17], &whole[17..]),
            format!("{}\n {}", &whole[..22], &whole[22..]),
            subject[..7].to_owned(),
            "38 34 35 34 39 35".to_owned(),
            "383435343935".to_owned(),
            "&#56;&#52;&#53;&#52;&#57;&#53;".to_owned(),
            "\\x38\\x34\\x35\\x34\\x39\\x35".to_owned(),
            "\\u0038\\u0034\\u0035\\u0034\\u0039\\u0035".to_owned(),
            "0x38 0x34 0x35 0x34 0x39 0x35".to_owned(),
            "0X38 0X34 0X35 0X34 0X39 0X35".to_owned(),
            "&#X38;&#X34;&#X35;&#X34;&#X39;&#X35;".to_owned(),
            "\\X38\\X34\\X35\\X34\\X39\\X35".to_owned(),
            "\\u{38}\\u{34}\\u{35}\\u{000034}\\u{39}\\u{35}".to_owned(),
            "\\x{38}\\x{34}\\x{35}\\x{34}\\x{39}\\x{35}".to_owned(),
            "%u0038%u0034%U0035%u0034%u0039%u0035".to_owned(),
            "\\U00000038\\U00000034\\U00000035\\U00000034\\U00000039\\U00000035".to_owned(),
            "x38x34x35x34x39x35".to_owned(),
            "\\070\\064\\065\\064\\071\\065".to_owned(),
            "&#0000000056;&#52&#53&#52&#57&#53".to_owned(),
            "HA2DKNBZGU======".to_owned(),
        ] {
            let redacted = redact(&format!("no '{form}' here"), &secrets, &[]);
            assert_eq!(redacted, "no '…' here", "{form}");
        }
        for separator in [" ", "\n ", "..."] {
            let redacted = redact(&spaced.join(separator), &secrets, &[]);
            // " is your code" remains.
            let left = ["…", "IGlz", "IHlv", "dXIg", "Y29k", "ZQ=="];
            assert_eq!(redacted, left.join(separator).replace("\n ", " "));
        }
    }

    /// R3
    #[test]
    fn parts_of_names_are_hidden() {
        for form in [
            "lovelac",
            "ovelace.a",
            "love-lace",
            "lov\nelace",
            "l.o.v.e.l.a.c.e.a.d.a",
            "l o v e l a c e a d a",
            "l\u{200b}o\u{200b}v\u{200b}e\u{200b}lace.ada",
            "bG92ZWxhY2",
            "lovelace&#46;ada",
            "lov&#X65;la&#X63;e",
            "lov\\u{65}la\\u{63}e",
        ] {
            let redacted = redact(&format!("no {form} here"), &[], &["lovelace.ada"]);
            assert_eq!(redacted, "no … here", "{form}");
        }
    }

    /// R3
    #[test]
    fn passwords_with_reserved_characters_of_html_are_hidden() {
        let secrets = ["k&9<Zq>4\"w'7;Jx".to_owned()];
        for text in [
            "bad k&amp;9&lt;Zq&gt;4&quot;w&#x27;7;Jx",
            "bad k&AMP;9&LT;Zq&GT;4&QUOT;w&#X27;7;Jx",
        ] {
            assert_eq!(redact(text, &secrets, &[]), "bad …");
        }
    }

    #[test]
    fn words_of_servers_are_kept() {
        let secrets = [
            "Velvet/sécret%41".to_owned(),
            BASE64_STANDARD.encode("\0relay-user\0Velvet/sécret%41"),
            "845495".to_owned(),
        ];
        for words in [
            "5.7.8 Username and Password not accepted. For more information, go to https://support.google.com/mail/?p=BadCredentials af79cd13be357 - gsmtp",
            "5.7.57 Client not authenticated to send mail. [AM0PR10CA0007.EURPRD10.PROD.OUTLOOK.COM 2026-11-29T12:53:27.123Z 08DE2F0A]",
            "4.7.1 Greylisted, try again in 00:05:00",
            "Service unavailable, client host [203.0.113.7] blocked using zen.spamhaus.org",
        ] {
            assert_eq!(redact(words, &secrets, &["relay-user"]), words);
        }
    }

    #[test]
    fn names_are_hidden_escaped_and_in_base64() {
        let names = ["lovelace"];
        let encoded = BASE64_STANDARD.encode("to: Ada.Lovelace");
        for form in [
            "ada.lovel%61ce",
            "LOVELACE=2Eada",
            "x%40example.com",
            &encoded,
        ] {
            assert_eq!(
                redact(&format!("for {form} only"), &[], &names),
                "for … only",
                "{form}"
            );
        }
    }

    #[test]
    fn redacted_text_has_no_controls_and_is_truncated() {
        let secrets = ["p w".to_owned(), String::new()];
        let text = format!("a\x1b[31m\r\np w\u{202e} {}", "x".repeat(400));
        let redacted = shorten(&redact(&text, &secrets, &[]));
        assert!(redacted.starts_with("a [31m … xxx"), "{redacted}");
        assert_eq!(redacted.chars().count(), MAX_CHARS);
        let long = redact(&format!("a{}", "é".repeat(MAX_BYTES)), &[], &[]);
        assert_eq!(long.len(), MAX_BYTES - 1);
    }
}
