//! Detects from the text of a refusal at `RCPT TO` whether the recipient's mailbox does not exist, and whether the text gives
//! another reason than its enhanced status code.
//!
//! A failed mail is lost, while a deferred mail is retried, so any doubt defers the mail. With an enhanced status code, words for
//! another reason or an IP address defer it. Without one, only an English phrase for a missing mailbox fails it. The rest of such a
//! reply may contain only the recipient's address and neutral words: another address, a host name or a quotation defers the mail.

use std::net::IpAddr;

use crate::transport::smtp::failure::EnhancedCode;

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
const NEUTRAL: [&str; 37] = [
    "a",
    "an",
    "any",
    "at",
    "book",
    "by",
    "called",
    "email",
    "for",
    "here",
    "in",
    "is",
    "it",
    "local",
    "mail",
    "message",
    "name",
    "named",
    "no",
    "on",
    "our",
    "rejected",
    "server",
    "sorry",
    "system",
    "table",
    "that",
    "the",
    "there",
    "this",
    "to",
    "undeliverable",
    "virtual",
    "was",
    "we",
    "with",
    "you",
];

/// Beginnings of words that give another reason than the recipient: they are about a client, a sender, a policy or a temporary state.
const OTHER_REASONS: [&str; 46] = [
    "abus",
    "again",
    "allow",
    "auth",
    "blacklist",
    "blocked",
    "blocklist",
    "busy",
    "client",
    "connect",
    "credential",
    "denied",
    "dkim",
    "dmarc",
    "dns",
    "ehlo",
    "from",
    "full",
    "greylist",
    "helo",
    "later",
    "limit",
    "logged",
    "login",
    "originator",
    "outgoing",
    "overload",
    "payment",
    "permit",
    "polic",
    "prohibit",
    "ptr",
    "quota",
    "rate",
    "rbl",
    "relay",
    "reputation",
    "sender",
    "spam",
    "spf",
    "starttls",
    "tempor",
    "throttl",
    "timeout",
    "tls",
    "unauth",
];

/// Beginnings of words for a disabled mailbox.
const DISABLED: [&str; 4] = ["deactivated", "disabled", "inactive", "closed"];

/// Names of tables in Postfix replies. They contain `relay`, but give no other reason.
const TABLES: [&str; 2] = ["relay recipient table", "relay recipient map"];

/// Returns whether a reply's text says that the mailbox of a recipient does not exist, and nothing else. `recipient` is the address
/// in the form of the envelope.
pub(super) fn names_missing_mailbox(text: &str, recipient: &str) -> bool {
    let text = text.to_lowercase();
    let Some(text) = without_address(&text, &recipient.to_lowercase()) else {
        return false;
    };
    // The name or address of a host may be that of the client or of a block list, and a quotation may give another reason.
    if text.contains(['@', '"']) || text.split_whitespace().any(is_host) {
        return false;
    }
    without_missing_mailbox(&plain(&text))
        .is_some_and(|rest| rest.split_whitespace().all(is_neutral))
}

/// Returns whether a reply's text gives a reason other than the recipient, or contains an IP address, which is usually the client's.
/// `recipient` is the address in the form of the envelope.
pub(super) fn names_other_reason(text: &str, recipient: &str) -> bool {
    let text = text.to_lowercase();
    let text = without_address(&text, &recipient.to_lowercase()).unwrap_or(text);
    let mut words = plain(&text);
    for table in TABLES {
        words = words.replace(&format!(" {table} "), " ");
    }
    let begins = |word: &str| OTHER_REASONS.iter().any(|reason| word.starts_with(reason));
    // The account of the sender: a reply does not call the account of a recipient "your account".
    words.contains(" your account ")
        || words
            .split_whitespace()
            .any(|word| word == "ip" || begins(word))
        || text
            .split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'))
            .any(|word| word.parse::<IpAddr>().is_ok())
}

/// Returns whether a reply's text says that a mailbox is disabled.
pub(super) fn names_disabled_mailbox(text: &str) -> bool {
    let words = plain(&text.to_lowercase());
    let begins = |word: &str| DISABLED.iter().any(|disabled| word.starts_with(disabled));
    words.split_whitespace().any(begins)
}

/// Returns whether a word gives no reason. Words with digits are ids, except 7 and 57x: x.7.x is the code of a policy (RFC 3463,
/// 3.8).
fn is_neutral(word: &str) -> bool {
    let is_policy = word == "7" || word.len() == 3 && word.starts_with("57");
    NEUTRAL.contains(&word)
        || MAILBOXES.contains(&word)
        || !is_policy && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// Removes the phrases that say that a mailbox does not exist. Returns `None` if there is none.
fn without_missing_mailbox(words: &str) -> Option<String> {
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
mod tests {
    use super::*;

    const RECIPIENT: &str = "ada@example.com";

    /// R3: replies of Exim, cPanel, Postfix, Sendmail, qmail, Exchange, hMailServer, Coremail and large providers.
    #[test]
    fn other_words_are_not_for_missing_mailbox() {
        for text in [
            "relay not permitted",
            "Relaying denied",
            "<ada@example.com>... Relaying denied. Proper authentication required.",
            "we do not relay",
            "Unable to relay for ada@example.com",
            "This system is not configured to relay mail",
            "<ada@example.com>: Recipient address rejected: Relay access denied",
            "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
            "ada@example.com ... unauthorized relay traffic prohibited",
            "Please turn on SMTP Authentication in your mail client. vm [192.0.2.1]:36825 is not permitted to relay through \
             this server without authentication.",
            "SMTP AUTH is required for message submission on port 587",
            "authentication required",
            "You must issue STARTTLS first",
            "TLS required",
            "Access denied - Invalid HELO name (See RFC2821 4.1.1.1)",
            "<vm>: Helo command rejected: Host not found",
            "bad EHLO, need a fully-qualified hostname",
            "Verification failed for <no-reply@example.com> No Such User Here Sender verify failed",
            "<no-reply@example.com>: Sender address rejected: Domain not found",
            "Domain of sender address no-reply@example.com does not exist",
            "invalid MAIL FROM",
            "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            "192.0.2.1 is listed at this server",
            "rejected because 192.0.2.1 is in zen.spamhaus.org",
            "Your IP has a poor reputation",
            "Sorry, no access for this ip",
            "Requested mail action not taken: Invalid IP",
            "User in blacklist",
            "Denied by policy",
            "Administrative prohibition",
            "The sending rate of your server is too high",
            "too many connections from your host",
            "<ada@example.com>: mailbox full",
            "user is over quota",
            "Quota exceeded for this mailbox",
            "No reverse DNS for 192.0.2.1",
            "Client does not have a PTR record",
            "rDNS lookup failed",
            "Mail rejected: SPF check failed",
            "Mailbox temporarily unavailable, try again later",
            "",
            "Mailbox unavailable",
            "Requested action not taken: mailbox unavailable",
            "account disabled",
            "The email account that you tried to reach is disabled.",
            "RESOLVER.ADR.RecipNotFound; not found",
            "User suspended",
            "User not local; please try <ada@relay.example.net>",
            "mailbox name not allowed",
            "Invalid recipient",
            "Dieser Empf\u{e4}nger ist unbekannt",
            "sorry, you must check your mail before sending (POP before SMTP)",
            "You must check for new mail before sending mail.",
            "not logged in",
            "sorry, your mailserver is rejected by my badhost list",
            "Sending is disabled for your account",
            "Certificate verification failed",
            "unresolvable host vm",
            "Unknown host name vm",
            "Your domain does not resolve",
            "server is shutting down",
            "VRFY failed, server maintenance",
            "System error",
            "Message rejected: insufficient system resources",
            "sorry, you are violating our security rules",
            "Unknown address 192.0.2.1",
            "address [2001:db8::1]: unknown user",
            "Your account does not exist",
            "no user logged in",
            "user unknown: lookup failed",
            "service not found for this user",
            "mail server address not found",
            "Name server: address does not exist",
            "name server 10: no such address",
            "no such user: 550-5-7-1",
            "User unknown; 5,7,1",
            "user unknown 571",
            "Unknown account",
            "unknown username",
            "refused",
        ] {
            assert!(!names_missing_mailbox(text, RECIPIENT), "{text}");
        }
    }

    /// R3: a phrase for a missing mailbox beside another reason.
    #[test]
    fn phrase_with_another_reason_is_not_for_missing_mailbox() {
        for text in [
            "From address not found",
            "originator address unknown",
            "Return address does not exist",
            "bounce address does not exist",
            "envelope address does not exist",
            "no such user at origin",
            "Host address not found",
            "peer address unknown",
            "SASL user not found",
            "Submission user unknown",
            "no such account, log in first",
            "unknown user or no credentials",
            "unknown user, must issue a STLS first",
            "User unknown; LDAP server down",
            "recipient not found: backend offline",
            "user not found - directory not reachable",
            "recipient address does not exist (database timeout)",
            "No such user - service overloaded",
            "no such user (lookup error, retry)",
            "user unknown because mail store is unavailable",
            "user \"unknown\" refused",
            "Unknown address [IPv6:2001:db8::25]",
            "Address unknown (192.0.2.1:36825)",
            "Unknown address ip:192.0.2.1",
            "Address not found for 25.2.0.192.in-addr.arpa",
            "Unknown address mail.vm.example",
            "Unknown user (HELO:vm)",
            "unknown user: auth:none",
            "No such user here.Blocked",
            "user unknown https://sink.example/help/authentication-required",
            "no such user [cbl.abuseat.org]",
            "User unknown <your IP is on our block list, write to postmaster@sink.example>",
            "No such user here \"Too many connections from your IP\"",
            "unknown user, \"access denied, sender blocked",
            "Unknown address: double lookup rejected",
            "<no-reply@latchkey.example>: user unknown",
            "no-reply@latchkey.example: No such user",
            "xada@example.com: user unknown",
            "undeliverable address: unknown user: \"ada\"",
            "relay.example.com: no mailbox by that name",
            "Recipient not found by SMTP address lookup",
            "dial-up or dynamic-ip denied",
        ] {
            assert!(!names_missing_mailbox(text, RECIPIENT), "{text}");
        }
    }

    /// R3: replies with a code for a missing or disabled mailbox.
    #[test]
    fn other_reasons_beside_a_code_are_recognized() {
        for text in [
            "5.1.2 Relay not allowed.",
            "5.1.3 Relay not permitted",
            "5.1.1 <ada@example.com>: you must authenticate",
            "5.1.1 Greylisted, try again later",
            "5.1.1 Helo command rejected",
            "5.1.1 Too many invalid recipients, connection throttled",
            "5.1.1 User unknown\nYour host is blocked using zen.spamhaus.org",
            "5.2.1 Mailbox unavailable. Your IP address 64.22.68.10 is blacklisted using RBL-Plus",
            "5.2.1 This server does not accept mails from this sender address",
            "5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages",
            "5.1.1 unknown user [2001:db8::1]",
            "5.2.1 Outgoing mail is disabled for your account",
            "5.2.1 Your account has been closed for non-payment",
            "5.1.1 you are not logged in",
            "5.1.1 unauthorized",
            "5.1.1 user busy, come back tomorrow",
            "5.2.1 account disabled: mailbox full",
        ] {
            assert!(names_other_reason(text, RECIPIENT), "{text}");
        }
        for text in [
            "5.1.1",
            "5.1.1 <ada@example.com>: Recipient address rejected: User unknown in relay recipient table",
            "5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email \
             address for typos or unnecessary spaces. For more information, go to https://support.google.com/mail/?p=NoSuchUser",
            "5.2.1 The email account that you tried to reach is disabled. For more information, go to \
             https://support.google.com/mail/?p=DisabledUser a1-2002.17 - gsmtp",
            "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            "5.1.1 sorry, no mailbox here by that name (#5.1.1)",
        ] {
            assert!(!names_other_reason(text, RECIPIENT), "{text}");
        }
    }

    /// R3
    #[test]
    fn words_for_missing_mailbox_are_recognized() {
        for text in [
            "User unknown",
            "No such user here",
            "No Such User Here",
            "ada@example.com... User unknown",
            "<ada@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
            "<ada@example.com>: Recipient address rejected: User unknown in relay recipient table",
            "mailbox not found",
            "The email account that you tried to reach does not exist.",
            "ADA@example.com: No such user",
            "Unrouteable address",
            "unknown user",
            "sorry, no mailbox here by that name. (#5.1.1)",
            "sorry, this recipient is not in my validrcptto list",
            "<ada@example.com> User doesn't exist: ada@example.com",
            "User not found",
            "ada@example.com not listed in public Name & Address Book",
            "No such person at this address",
        ] {
            assert!(names_missing_mailbox(text, RECIPIENT), "{text}");
        }
    }
}
