//! Cleans the words of a server before they are stored, logged or shown.

/// The longest text that is kept, in characters.
const MAX_CHARS: usize = 300;
/// What stands for what is left out.
const HIDDEN: &str = "…";
/// Names shorter than this, in characters, are left out only where they are a word of their own.
const SHORT_NAME: usize = 4;

/// Hides every run of at least `digits` digits, including blanks and hyphens between them. A server may repeat a code with
/// grouped digits, and the API accepts such a code.
pub(crate) fn hide_codes(text: &str, digits: usize) -> String {
    let is_separator = |c: char| c.is_whitespace() || c == '-';
    let (mut out, mut run) = (String::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || !run.is_empty() && is_separator(c) {
            run.push(c);
            continue;
        }
        let end = run.trim_end_matches(is_separator).len();
        if run.bytes().filter(u8::is_ascii_digit).count() >= digits {
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

/// Removes secrets wherever they are, and every word that names a person: one with an `@`, or with one of the names
/// (the local part of an address, a login). Control and invisible characters become blanks, and the text is shortened.
pub(crate) fn redact(text: &str, secrets: &[String], names: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), HIDDEN);
    }
    let text: String = text
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
    words.join(" ").chars().take(MAX_CHARS).collect()
}

fn names_person(word: &str, names: &[&str]) -> bool {
    if word.contains('@') {
        return true;
    }
    let word = word.to_lowercase();
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    names.iter().map(|name| name.to_lowercase()).any(|name| {
        let is_short = name.chars().count() < SHORT_NAME;
        bare == name || (!is_short && word.contains(&name))
    })
}

/// Controls, and what reorders or hides text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redacted_text_names_no_recipient() {
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
    fn codes_are_hidden_however_their_digits_are_grouped() {
        for code in ["845495", "845 495", "688-596", "8 1 1 3 8 1"] {
            let text = format!("450 4.7.1: code {code} deferred");
            assert_eq!(hide_codes(&text, 6), "450 4.7.1: code … deferred", "{code}");
        }
        assert_eq!(hide_codes("at 12:30 in line 42", 6), "at 12:30 in line 42");
        assert_eq!(hide_codes("code 123456", 6), "code …");
    }

    #[test]
    fn redacted_text_has_no_secret_no_control_and_an_end() {
        let secrets = ["p w".to_owned(), String::new()];
        let text = format!("a\x1b[31m\r\np w\u{202e} {}", "x".repeat(400));
        let redacted = redact(&text, &secrets, &[]);
        assert!(redacted.starts_with("a [31m … xxx"), "{redacted}");
        assert_eq!(redacted.chars().count(), MAX_CHARS);
    }
}
