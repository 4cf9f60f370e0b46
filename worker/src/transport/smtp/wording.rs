//! Detects from the text of a refusal at `RCPT TO` whether it may be about something other than the recipient.
//!
//! Used only if no enhanced status code decides. A refused recipient loses its mail, while a deferred mail is tried again, so
//! any doubt defers the mail. Addresses and host names are ignored: they are chosen by others and do not tell the reason.

/// Words about the client, the sender, the connection, the policy of the server, or a temporary state.
const WORDS: [&str; 23] = [
    // The client's address and its DNS.
    "client",
    "dns",
    "fqdn",
    "hostname",
    "ip",
    "ips",
    "ptr",
    "rbl",
    "rdns",
    "reverse",
    // TLS and login.
    "dane",
    "login",
    "ssl",
    "tls",
    // The sender and its domain.
    "dkim",
    "dmarc",
    "spf",
    // Rates and temporary states, such as a full mailbox.
    "excessive",
    "full",
    "internal",
    "later",
    "rate",
    "rates",
];

/// Prefixes of such words: `relay` also matches `relaying` and `relayed`.
const STEMS: [&str; 38] = [
    // The greeting.
    "ehlo",
    "helo",
    // The client, its address and its reputation.
    "abus",
    "banned",
    "blacklist",
    "block",
    "connect",
    "denylist",
    "dialup",
    "dnsbl",
    "dynamic",
    "listed",
    "reputation",
    "spam",
    // TLS and login.
    "auth",
    "encrypt",
    "starttls",
    "unauth",
    // Relaying.
    "rcpthosts",
    "relay",
    // The sender.
    "sender",
    "spoof",
    // Policy.
    "denied",
    "deny",
    "permission",
    "permitted",
    "policies",
    "policy",
    "prohibit",
    // Rates and temporary states.
    "exceed",
    "graylist",
    "greylist",
    "limit",
    "overquota",
    "quota",
    "ratelimit",
    "tempor",
    "throttl",
];

/// Phrases with the same meaning.
const PHRASES: [&str; 9] = [
    "allowed to send",
    "dial up",
    "domain not found",
    "mail from",
    "rate limit",
    "service not available",
    "service unavailable",
    "too many",
    "try again",
];

/// Phrases about the recipient that contain one of the words above: tables of Postfix, the directory of Domino.
const OF_RECIPIENT: [&str; 3] = ["relay recipient table", "relay recipient map", "not listed"];

/// Parts of the names of DNS block lists, such as `zen.spamhaus.org`.
const BLOCK_LISTS: [&str; 5] = ["barracuda", "dnsbl", "rbl", "spam", "sorbs"];

/// Returns whether a reply's text may be about something other than the recipient.
pub(super) fn is_about_client(text: &str) -> bool {
    let text = without_addresses(&text.to_lowercase());
    let (hosts, others): (Vec<_>, Vec<_>) = text.split_whitespace().partition(|word| is_host(word));
    let names_block_list = |host: &&str| BLOCK_LISTS.iter().any(|name| host.contains(name));
    if hosts.iter().any(names_block_list) {
        return true;
    }
    let mut words = plain(&others.join(" "));
    for phrase in OF_RECIPIENT {
        words = words.replace(&format!(" {phrase} "), " ");
    }
    PHRASES
        .iter()
        .any(|phrase| words.contains(&format!(" {phrase} ")))
        || words
            .split_whitespace()
            .any(|word| WORDS.contains(&word) || STEMS.iter().any(|stem| word.starts_with(stem)))
}

/// Removes text in angle brackets that contains an `@`, and other words that contain one.
fn without_addresses(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once('<') {
        kept.push_str(before);
        rest = after;
        if let Some((inner, behind)) = after.split_once('>')
            && inner.contains('@')
        {
            kept.push(' ');
            rest = behind;
        }
    }
    kept.push_str(rest);
    let words: Vec<_> = kept
        .split_whitespace()
        .filter(|word| !word.contains('@'))
        .collect();
    words.join(" ")
}

/// Returns whether a word is a host name, an IP address or a URL: it has a dot or a colon between letters or digits.
fn is_host(word: &str) -> bool {
    let characters: Vec<_> = word.chars().collect();
    characters.windows(3).any(|three| {
        matches!(three[1], '.' | ':') && three[0].is_alphanumeric() && three[2].is_alphanumeric()
    })
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

    /// R3: replies of Exim, cPanel, Postfix, Sendmail, qmail, Exchange, hMailServer, Coremail and large providers.
    #[test]
    fn replies_about_client_and_recipient_are_distinguished() {
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
            "dial-up or dynamic-ip denied",
        ] {
            assert!(is_about_client(text), "{text}");
        }
        for text in [
            "",
            "User unknown",
            "No such user here",
            "No Such User Here",
            "ada@example.com... User unknown",
            "Mailbox unavailable",
            "Requested action not taken: mailbox unavailable",
            "<ada@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
            "<ada@example.com>: Recipient address rejected: User unknown in relay recipient table",
            "<ada@example.com>: Recipient address rejected: undeliverable address: unknown user: \"ada\"",
            "mailbox not found",
            "account disabled",
            "The email account that you tried to reach does not exist. Please try double-checking the recipient's email \
             address for typos or unnecessary spaces. https://support.google.com/mail/?p=NoSuchUser a1 - gsmtp",
            "The email account that you tried to reach is disabled.",
            "RESOLVER.ADR.RecipNotFound; not found",
            "Recipient not found by SMTP address lookup",
            "Unrouteable address",
            "unknown user",
            "sorry, no mailbox here by that name. (#5.1.1)",
            "sorry, this recipient is not in my validrcptto list",
            "<ada@example.com> User doesn't exist: ada@example.com",
            "User not found",
            "User suspended",
            "User not local; please try <ada@relay.example.net>",
            "mailbox name not allowed",
            "ada@example.com not listed in public Name & Address Book",
            "Invalid recipient",
            "No such person at this address",
            "Dieser Empf\u{e4}nger ist unbekannt",
            "<policy@relay.example.com>: user unknown",
            "<\"relay denied\"@example.com>: user unknown",
            "relay.example.com: no mailbox by that name",
        ] {
            assert!(!is_about_client(text), "{text}");
        }
    }
}
