//! Look-up in a file of breached passwords: sorted `SHA1:count` lines, as Have I Been Pwned publishes them.
//!
//! A binary search reads the file about 40 times, 128 bytes each, for tens of gigabytes. A password has up to four forms to search.
//! Each check opens the file, so that an operator can replace it while the service runs (by a rename). A shorter file than at the
//! start counts as damaged.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::{sync::Semaphore, time::timeout};

use crate::config::breached_file::{BreachedFile, HASH_BYTES, Hash};
use crate::http::error::{ApiError, DependencyFailure};
use crate::passwords::Password;

/// Maximum number of concurrent searches.
const MAX_SEARCHES: usize = 4;

/// Maximum time of all searches for a password, including the wait for a permit.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The file of `BREACHED_PASSWORDS_FILE`.
#[derive(Debug)]
pub struct BreachedPasswords {
    path: PathBuf,
    min_length: u64,
    searches: Semaphore,
}

impl BreachedPasswords {
    /// Uses a file that [`validate`](crate::config::breached_file::validate) has accepted, with the length that it has returned.
    #[must_use]
    pub fn new(path: &Path, min_length: u64) -> Self {
        Self {
            path: path.to_owned(),
            min_length,
            searches: Semaphore::new(MAX_SEARCHES),
        }
    }

    /// Whether the file contains a password in NFKC, as typed, in NFC or in NFD. Returns [`ApiError::Unavailable`] if the file is
    /// unreadable or damaged, and [`ApiError::Busy`] if the disk is too slow: no password is accepted unchecked.
    pub async fn contain(&self, password: &Password) -> Result<bool, ApiError> {
        let (path, min_length) = (self.path.clone(), self.min_length);
        let texts = password.breached_texts().into_iter();
        let hashes: Vec<_> = texts.map(|text| hash_of(text.as_bytes())).collect();
        let search = async {
            // The semaphore is never closed.
            let _permit = self.searches.acquire().await;
            let search = move || {
                let mut file = BreachedFile::open(&path, min_length)?;
                contain_any(&mut file, &hashes)
            };
            tokio::task::spawn_blocking(search).await
        };
        let found = timeout(SEARCH_TIMEOUT, search)
            .await
            .map_err(|_| ApiError::Busy)?;
        found
            .map_err(|error| ApiError::Internal(error.to_string()))?
            .map_err(|error| {
                ApiError::Unavailable(DependencyFailure {
                    text: format!("BREACHED_PASSWORDS_FILE: {error}"),
                    remedy: "restore the file of BREACHED_PASSWORDS_FILE",
                })
            })
    }
}

/// Returns whether a file contains one of these hashes.
fn contain_any(file: &mut BreachedFile, hashes: &[Hash]) -> io::Result<bool> {
    for hash in hashes {
        if file.contains(hash)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn hash_of(password: &[u8]) -> Hash {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, password);
    let mut text = [0; HASH_BYTES];
    for (digits, byte) in text.chunks_exact_mut(2).zip(hash.as_ref()) {
        digits[0] = DIGITS[usize::from(byte >> 4)];
        digits[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::config::breached_file::validate;

    /// Hashes whose order is that of their numbers.
    fn hash(number: u64) -> Hash {
        let text = format!("{number:016X}{:024X}", number * 7);
        *text.as_bytes().first_chunk().unwrap()
    }

    /// A file of these lines.
    fn file(lines: impl IntoIterator<Item = String>) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        for line in lines {
            file.write_all(line.as_bytes()).unwrap();
        }
        file
    }

    fn line(number: u64, line_end: &str) -> String {
        let hash = hash(number);
        let count = 10_u64.pow(u32::try_from(number % 11).unwrap());
        format!("{}:{count}{line_end}", str::from_utf8(&hash).unwrap())
    }

    fn find(file: &NamedTempFile, hash: &Hash) -> bool {
        BreachedFile::open(file.path(), 0)
            .unwrap()
            .contains(hash)
            .unwrap()
    }

    /// P3: each line of files of every small length is found, and nothing between them.
    #[test]
    fn every_line_of_a_breach_file_is_found() {
        for line_end in ["\n", "\r\n"] {
            for count in (1..40).chain([1_000]) {
                let file = file((1..=count).map(|number| line(number * 2, line_end)));
                validate(file.path()).unwrap();
                for number in 0..=count * 2 + 1 {
                    let is_there = number > 0 && number % 2 == 0;
                    assert_eq!(find(&file, &hash(number)), is_there, "{number} of {count}");
                }
            }
        }
    }

    #[test]
    fn breach_files_may_lack_the_last_line_end_and_have_lower_case() {
        let lines = [line(1, "\n"), line(2, "\n"), line(3, "")];
        let file = file(lines.map(|line| line.to_lowercase()));
        validate(file.path()).unwrap();
        for number in 1..=3 {
            assert!(find(&file, &hash(number)), "{number}");
        }
    }

    #[test]
    fn passwords_are_found_by_their_sha1() {
        // RFC 3174, 7.3, test 1.
        assert_eq!(
            &hash_of(b"abc"),
            b"A9993E364706816ABA3E25717850C26C9CD0D89D"
        );
    }

    /// P3: a breach may list a password as typed, in NFC or in NFD, and the API stores it in NFKC.
    #[tokio::test]
    async fn breached_password_in_any_normalization_is_found() {
        let listed = [
            "\u{fb01}ance\u{301}e vill\u{e4}",
            "\u{fb01}anc\u{e9}e vill\u{e4}",
            "\u{fb01}ance\u{301}e villa\u{308}",
            "fianc\u{e9}e vill\u{e4}",
        ];
        let typed: Password = listed[0].parse().unwrap();
        let cases = listed.map(|text| (text, true)).into_iter();
        for (text, is_found) in cases.chain([("fiancee villa", false)]) {
            let hash = hash_of(text.as_bytes());
            let file = file([format!("{}:1\n", str::from_utf8(&hash).unwrap())]);
            let breached = BreachedPasswords::new(file.path(), 0);
            assert_eq!(breached.contain(&typed).await.unwrap(), is_found, "{text}");
        }
    }

    #[test]
    fn malformed_breach_files_are_refused() {
        let disordered = (0..1_000).map(|number| line(1_000 - number, "\n"));
        let ntlm = (0..1_000).map(|number| format!("{number:032X}:1\n"));
        let long = (0..1_000).map(|number| format!("{}{}\n", line(number, ""), "0".repeat(200)));
        let cases: [Vec<String>; 6] = [
            disordered.collect(),
            ntlm.collect(),
            long.collect(),
            vec![],
            vec!["password\n".to_owned(); 100],
            vec![line(1, "\n").replace(':', " ")],
        ];
        for (number, lines) in cases.into_iter().enumerate() {
            assert!(validate(file(lines).path()).is_err(), "case {number}");
        }
        assert!(validate(Path::new("/nonexistent")).is_err());
        assert!(validate(&std::env::temp_dir()).is_err());
    }
}
