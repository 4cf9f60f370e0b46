//! Different addresses of one mailbox.

use crate::types::email::EmailKey;

/// Domains whose servers ignore dots in the local part.
const DOTLESS: [&str; 2] = ["gmail.com", "googlemail.com"];

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
        let local = match local.split_once('+') {
            Some((person, _)) if !person.is_empty() => person,
            _ => local,
        };
        let (local, domain) = if DOTLESS.contains(&domain) {
            (local.replace('.', ""), DOTLESS[0])
        } else {
            (local.to_owned(), domain)
        };
        EmailKey(format!("{local}@{domain}"))
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
            ("\"ada+a shop\"@example.com", "ada@example.com"),
            ("\"a.d.a\"@gmail.com", "ada@gmail.com"),
        ] {
            let email: Email = address.parse().unwrap();
            assert_eq!(email.key().mailbox().as_str(), mailbox, "{address}");
        }
    }
}
