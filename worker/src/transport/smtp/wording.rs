//! Detects from the text of a refusal at `RCPT TO` whether the recipient's mailbox does not exist or is disabled.
//!
//! A failed mail is lost, while a deferred mail is retried, so any doubt defers the mail, whatever the enhanced status code. Servers
//! use all codes for other reasons, too: relaying, a block list, greylisting, the address of the sender. Only an English phrase for
//! a missing mailbox fails a mail. The rest of the reply may contain only the recipient's address and neutral words: any other
//! word, another address, a host name or a quotation defers the mail.

use crate::transport::smtp::enhanced_code::EnhancedCode;

/// Words for a recipient.
const MAILBOXES: [&str; 11] = [
    "account",
    "address",
    "addressee",
    "alias",
    "inbox",
    "mailbox",
    "person",
    "recipient",
    "recipients",
    "user",
    "username",
];

/// Phrases after a word for a recipient that say that it does not exist.
const MISSING_AFTER: [&str; 14] = [
    "cannot be found",
    "could not be found",
    "did not exist",
    "do not exist",
    "does not exist",
    "doesn t exist",
    "doesnt exist",
    "is not found",
    "is unknown",
    "not exist",
    "not exists",
    "not found",
    "not known",
    "unknown",
];

/// Phrases before a word for a recipient that say that it does not exist.
const MISSING_BEFORE: [&str; 7] = [
    "no such",
    "non existent",
    "non existing",
    "nonexistent",
    "nonexisting",
    "unknown",
    "unrouteable",
];

/// Words after `no mailbox` that make it a missing one, as in `no mailbox here by that name`.
const NO_MAILBOX_AFTER: [&str; 7] = ["at", "by", "called", "for", "here", "named", "with"];

/// Other phrases for a missing mailbox: the filter of qmail, the directory of Domino.
const MISSING: [&str; 4] = [
    "not in my validrcptto list",
    "not listed in domino directory",
    "not listed in public name",
    "user doesn t have an account",
];

/// Phrases between a word for a recipient and the phrase that says that it does not exist.
const FILLERS: [&str; 3] = [
    "that you tried to reach",
    "you tried to reach",
    "you are trying to reach",
];

/// Neutral words, which a reply may contain besides the phrase. They say nothing about a client, a sender, a policy or a temporary
/// state. The words for a recipient are neutral, too.
const NEUTRAL: [&str; 50] = [
    "a",
    "an",
    "any",
    "at",
    "book",
    "by",
    "called",
    "check",
    "checking",
    "double",
    "email",
    "for",
    "go",
    "here",
    "in",
    "information",
    "is",
    "it",
    "local",
    "mail",
    "message",
    "more",
    "name",
    "named",
    "no",
    "on",
    "or",
    "our",
    "please",
    "rejected",
    "s",
    "server",
    "sorry",
    "spaces",
    "system",
    "table",
    "that",
    "the",
    "there",
    "this",
    "to",
    "try",
    "typos",
    "undeliverable",
    "unnecessary",
    "virtual",
    "was",
    "we",
    "with",
    "you",
];

/// Words for a disabled mailbox, and the words between them and the mailbox.
const DISABLED: [&str; 4] = ["deactivated", "disabled", "inactive", "closed"];
const BEFORE_DISABLED: [&str; 4] = ["", "has been ", "is ", "was "];

/// Texts of Exchange around the phrase.
const EXCHANGE: [&str; 3] = [
    "resolver.adr.exrecipnotfound;",
    "resolver.adr.recipientnotfound;",
    "by smtp address lookup",
];

/// The URL in replies of Google. The rest of the reply is the id of the conversation.
const GOOGLE: &str = "https://support.google.com/mail/?p=";

/// Names of tables in Postfix replies. They contain `relay`, but give no other reason.
const TABLES: [&str; 2] = ["relay recipient table", "relay recipient map"];

/// Returns whether a reply's text says that the mailbox of a recipient does not exist, and nothing else. `recipient` is the address
/// in the form of the envelope, and `code` the enhanced status code at the start of the text: alone, it says so itself. The code
/// x.2.1 is about a disabled mailbox, and the text has to say so.
pub(super) fn refuses_mailbox(text: &str, recipient: &str, code: Option<EnhancedCode>) -> bool {
    let text = text.to_lowercase();
    let (text, rest) = text.split_once(GOOGLE).unwrap_or((&text, ""));
    let is_id =
        |word: &str| matches!(word, "-" | "gsmtp") || word.contains(|it: char| it.is_ascii_digit());
    if !rest.split_whitespace().skip(1).all(is_id) {
        return false;
    }
    let text = EXCHANGE
        .iter()
        .fold(text.to_owned(), |text, part| text.replace(part, " "));
    let Some(text) = without_address(&text, &recipient.to_lowercase()) else {
        return false;
    };
    let words: Vec<_> = text
        .split_whitespace()
        .filter(|word| !is_code(word))
        .collect();
    // The name or address of a host may be that of the client or of a block list, and a quotation may give another reason.
    if text.contains(['@', '"']) || words.iter().any(|word| is_host(word)) {
        return false;
    }
    let is_disabled = code.is_some_and(EnhancedCode::is_mailbox_disabled);
    let plain = plain(&words.join(" "));
    if plain.trim().is_empty() {
        return code.is_some() && !is_disabled;
    }
    without_phrase(&plain, is_disabled).is_some_and(|rest| rest.split_whitespace().all(is_neutral))
}

/// Returns whether a word gives no reason. A number may be a time or a limit, so that the refusal is temporary.
fn is_neutral(word: &str) -> bool {
    NEUTRAL.contains(&word) || MAILBOXES.contains(&word) || is_id(word)
}

/// Returns whether a word is the reply code 550, or an enhanced status code that can fail a mail, alone or in brackets as in
/// `(#5.1.1)`. Other codes give another reason, such as a policy (x.7.x; RFC 3463, 3.8).
fn is_code(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    bare == "550"
        || bare
            .parse::<EnhancedCode>()
            .is_ok_and(EnhancedCode::is_permanent)
}

/// Returns whether a word is the id of a conversation: eight letters and digits or more, mixed. `10minutes` is none.
fn is_id(word: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    let rest = word.trim_start_matches(is_digit);
    word.len() >= 8 && rest.contains(is_digit) && rest.contains(|c: char| c.is_ascii_alphabetic())
}

/// Removes the phrases that say that a mailbox does not exist or, if `is_disabled`, that it is disabled. Returns `None` if there is
/// none.
fn without_phrase(words: &str, is_disabled: bool) -> Option<String> {
    let mut words = words.to_owned();
    // A name or mail server that was not found is not a mailbox.
    if words.contains(" server address ") || words.contains(" name server ") {
        return None;
    }
    for phrase in FILLERS.iter().chain(&TABLES) {
        words = words.replace(&format!(" {phrase} "), " ");
    }
    let mut phrases: Vec<String> = MISSING.map(str::to_owned).into();
    for mailbox in MAILBOXES {
        phrases.extend(MISSING_AFTER.map(|phrase| format!("{mailbox} {phrase}")));
        // These may be the login of the client.
        if !matches!(mailbox, "account" | "username") {
            phrases.extend(MISSING_BEFORE.map(|phrase| format!("{phrase} {mailbox}")));
        }
        phrases.extend(NO_MAILBOX_AFTER.map(|word| format!("no {mailbox} {word}")));
        for disabled in DISABLED.iter().filter(|_| is_disabled) {
            phrases.extend(BEFORE_DISABLED.map(|verb| format!("{mailbox} {verb}{disabled}")));
        }
    }
    let rest = phrases.iter().fold(words.clone(), |rest, phrase| {
        rest.replace(&format!(" {phrase} "), " ")
    });
    (rest != words).then_some(rest)
}

/// Removes the recipient's address, alone or in angle brackets. Returns `None` if it is part of another word.
fn without_address(text: &str, recipient: &str) -> Option<String> {
    let is_boundary = |c: Option<char>| {
        c.is_none_or(|c| {
            c.is_whitespace()
                || matches!(
                    c,
                    '<' | '>' | ':' | ',' | ';' | '(' | ')' | '[' | ']' | '\'' | '.'
                )
        })
    };
    let parts: Vec<&str> = text.split(recipient).collect();
    let is_alone = parts.windows(2).all(|pair| {
        is_boundary(pair[0].chars().next_back()) && is_boundary(pair[1].chars().next())
    });
    is_alone.then(|| parts.join(" "))
}

/// Returns whether a word is a host name, an IP address or a URL: it has a dot or a colon between letters or digits, and is no
/// enhanced status code.
fn is_host(word: &str) -> bool {
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    if bare.parse::<EnhancedCode>().is_ok() {
        return false;
    }
    let characters: Vec<_> = word.chars().collect();
    characters.windows(3).any(|three| {
        matches!(three[1], '.' | ':') && three[0].is_alphanumeric() && three[2].is_alphanumeric()
    }) || word.contains("://")
}

/// Returns the words of a text, with one space before and after each.
fn plain(text: &str) -> String {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.fold(" ".to_owned(), |joined, word| joined + word + " ")
}

#[cfg(test)]
mod tests;
