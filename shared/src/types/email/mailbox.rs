//! Different addresses of one mailbox.

use crate::types::email::EmailKey;

/// Domains whose servers ignore dots in the local part.
const DOTLESS: &str = "gmail.com";

/// Domains of a provider that are one mailbox, after the domain that stands for all. Sources: Google, "Use googlemail.com or
/// gmail.com" (support.google.com/mail/answer/10313); Apple, "About your @icloud.com, @me.com, and @mac.com email addresses"
/// (support.apple.com/118230); Proton, "Email addresses and aliases" (proton.me/support/addresses-and-aliases).
const SHARED: [&[&str]; 3] = [
    &[DOTLESS, "googlemail.com"],
    &["icloud.com", "me.com", "mac.com"],
    &["proton.me", "protonmail.com", "protonmail.ch", "pm.me"],
];

/// Domains of Yahoo besides those that begin with `yahoo.`.
const YAHOO: [&str; 2] = ["ymail.com", "rocketmail.com"];

impl EmailKey {
    /// Returns the address without its sub-address (RFC 5233): mail to `ada+shop@` arrives at `ada@`. Only for budgets. Accounts
    /// distinguish both addresses, because a server without sub-addresses may assign them to different people.
    #[must_use]
    pub fn mailbox(&self) -> EmailKey {
        let Some((local, domain)) = self.0.rsplit_once('@') else {
            return self.clone();
        };
        // The quoted form names the same mailbox (RFC 5321, 4.1.2).
        let unquoted = local
            .strip_prefix('"')
            .and_then(|local| local.strip_suffix('"'))
            .map(|local| local.replace('\\', ""));
        let local = unquoted.as_deref().unwrap_or(local);
        let local = match local.split_once(separators(domain)) {
            Some((person, _)) if !person.is_empty() => person,
            _ => local,
        };
        let shared = SHARED.iter().find(|domains| domains.contains(&domain));
        let domain = shared.map_or(domain, |domains| domains[0]);
        let local = if domain == DOTLESS {
            local.replace('.', "")
        } else {
            local.to_owned()
        };
        EmailKey(format!("{local}@{domain}"))
    }
}

/// Returns the characters before a sub-address. Yahoo uses a hyphen, which its names cannot contain: all disposable addresses with the same
/// base name before it are of one mailbox.
fn separators(domain: &str) -> &'static [char] {
    if domain.starts_with("yahoo.") || YAHOO.contains(&domain) {
        &['+', '-']
    } else {
        &['+']
    }
}

#[cfg(test)]
mod tests {
    use crate::types::email::Email;

    #[test]
    fn sub_address_belongs_to_the_same_mailbox() {
        for (address, mailbox) in [
            ("Ada@example.com", "ada@example.com"),
            ("ada+shop@example.com", "ada@example.com"),
            ("ada+shop+1@example.com", "ada@example.com"),
            ("+ada@example.com", "+ada@example.com"),
            ("a.da@example.com", "a.da@example.com"),
            ("A.d.a+shop@gmail.com", "ada@gmail.com"),
            ("ada@googlemail.com", "ada@gmail.com"),
            ("ada@me.com", "ada@icloud.com"),
            ("a.da+shop@mac.com", "a.da@icloud.com"),
            ("ada@pm.me", "ada@proton.me"),
            ("ada+shop@protonmail.com", "ada@proton.me"),
            ("ada-shop@yahoo.com", "ada@yahoo.com"),
            ("ada-shop@yahoo.co.uk", "ada@yahoo.co.uk"),
            ("ada-shop@ymail.com", "ada@ymail.com"),
            ("ada-shop@gmail.com", "ada-shop@gmail.com"),
            ("ada-shop@example.com", "ada-shop@example.com"),
            ("\"ada+a shop\"@example.com", "ada@example.com"),
            ("\"a.d.a\"@gmail.com", "ada@gmail.com"),
        ] {
            let email: Email = address.parse().unwrap();
            assert_eq!(email.key().mailbox().as_str(), mailbox, "{address}");
        }
    }
}
