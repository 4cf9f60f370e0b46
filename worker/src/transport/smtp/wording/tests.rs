//! The words of real servers.

use super::*;

const RECIPIENT: &str = "ada@example.com";

fn names_missing_mailbox(text: &str, recipient: &str) -> bool {
    refuses_mailbox(text, recipient, None)
}

/// Takes the code from the text.
fn refuses_with_code(text: &str) -> bool {
    let code = text.split_whitespace().next().unwrap_or_default();
    refuses_mailbox(text, RECIPIENT, Some(code.parse().expect("a code")))
}

/// Replies of Exim, cPanel, Postfix, Sendmail, qmail, Exchange, hMailServer, Coremail and large providers.
const OTHER_WORDS: &[&str] = &[
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
];

/// R3
#[test]
fn other_words_are_not_for_missing_mailbox() {
    for text in OTHER_WORDS {
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
        "dial-up or dynamic-ip denied",
    ] {
        assert!(!names_missing_mailbox(text, RECIPIENT), "{text}");
    }
}

/// R3: replies with a code for a missing or disabled mailbox.
#[test]
fn code_with_another_reason_does_not_refuse_mailbox() {
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
        "5.2.1",
        "5.1.1 account is disabled",
        "5.1.1 <no-reply@latchkey.example>: user unknown",
        "5.1.1 no-reply@latchkey.example does not exist",
        "5.2.3 MailPolicy violation Error delivering to mailboxes",
        "5.1.1 account overquota",
        "5.1.1 Graylisted, come back in 5 minutes",
        "5.1.1 antispam rule 17",
        "5.1.2 We do not handle mail for this domain",
        "5.1.1 <ada@example.com>: Recipient address rejected: unverified address: Address verification in progress",
        "5.1.1 directory lookup failure",
        "5.1.1 user unknown: directory lookup failure",
        "5.1.1 Your server is listed on a blackhole list",
        "5.1.1 SMTPAUTH required",
        "5.1.1 IPs of your network are banned",
        "5.1.1 Relayhost only for customers",
        "5.1.1 nonrelay host",
        "5.1.1 mailbox unavailable\n5.1.1 Reason follows:\nyou are not a customer of ours, message refused",
        "5.1.1 message rejected",
        "5.1.1 Recipient unknown https://support.google.com/mail/?p=X our network is blocked by policy",
    ] {
        assert!(!refuses_with_code(text), "{text}");
    }
    for text in [
        "5.1.1",
        "5.1.1 <ada@example.com>",
        "5.1.1 no\n5.1.1 such user",
        "5.2.1 The account has been deactivated.",
        "5.1.1 <ada@example.com>: user unknown",
        "5.1.1 <ada@example.com>: Recipient address rejected: User unknown in relay recipient table",
        "5.1.1 The email account that you tried to reach does not exist. Please try double-checking the recipient's email \
         address for typos or unnecessary spaces. For more information, go to https://support.google.com/mail/?p=NoSuchUser",
        "5.2.1 The email account that you tried to reach is disabled. For more information, go to \
         https://support.google.com/mail/?p=DisabledUser a1-2002.17 - gsmtp",
        "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "5.1.1 sorry, no mailbox here by that name (#5.1.1)",
        "5.1.1 550 5.1.1 User unknown in local recipient table [4f2a9c1b77]",
    ] {
        assert!(refuses_with_code(text), "{text}");
    }
}

/// R3: a number may be the time after which the server accepts the mail.
#[test]
fn number_or_other_code_does_not_refuse_mailbox() {
    for text in [
        "5.1.1 User unknown. Please try it in 300s",
        "5.1.1 User unknown. Please try it in 300 s",
        "5.1.1 No such user here. Please check in 10minutes",
        "5.1.1 User unknown (#4.7.1)",
        "5.1.1 User unknown, rule17",
    ] {
        assert!(!refuses_with_code(text), "{text}");
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
        "Recipient not found by SMTP address lookup",
    ] {
        assert!(names_missing_mailbox(text, RECIPIENT), "{text}");
    }
}
