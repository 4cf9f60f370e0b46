//! The format of `BREACHED_PASSWORDS_FILE`: `SHA1:count` lines, ordered by hash, as Have I Been Pwned publishes them.

use std::{
    cmp::Ordering,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// A SHA-1 hash in upper-case hexadecimal digits.
pub type Hash = [u8; HASH_BYTES];
/// The number of hexadecimal digits of a SHA-1 hash.
pub const HASH_BYTES: usize = 40;

/// Maximum length of a line, in bytes: a hash, a colon, a count of up to 20 digits, and the line end (63 bytes).
const MAX_LINE_BYTES: u64 = 64;

/// The length of one read, in bytes: the end of one line and the whole next line.
const WINDOW_BYTES: u64 = 2 * MAX_LINE_BYTES;

/// The number of positions that the check at the start reads.
const PROBE_COUNT: u64 = 256;

/// Checks the format and the order of the lines at evenly spaced positions. Returns the length of the file, in bytes.
pub fn validate(path: &Path) -> io::Result<u64> {
    let mut lines = BreachedFile::open(path, 0)?;
    let mut last = lines.first()?;
    for probe in 1..PROBE_COUNT {
        let position =
            u64::try_from(u128::from(lines.length) * u128::from(probe) / u128::from(PROBE_COUNT));
        let Some((_, hash)) = lines.next_after(position.unwrap_or(u64::MAX))? else {
            break;
        };
        if hash < last {
            return Err(malformed("its lines are not ordered by hash"));
        }
        last = hash;
    }
    Ok(lines.length)
}

/// An open file of ordered lines.
pub struct BreachedFile {
    file: File,
    length: u64,
}

impl BreachedFile {
    /// Opens a file.
    ///
    /// # Errors
    /// Also if the file is shorter than `min_length` bytes, such as after a truncation.
    pub fn open(path: &Path, min_length: u64) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        if length < min_length {
            return Err(malformed("it is shorter than at the start"));
        }
        Ok(Self { file, length })
    }

    /// Returns the hash of the first line.
    fn first(&mut self) -> io::Result<Hash> {
        hash_in(&self.read(0)?)
    }

    /// Returns whether a line has this hash. A binary search narrows the range; its last 128 bytes are read line by line.
    pub fn contains(&mut self, wanted: &Hash) -> io::Result<bool> {
        // The line begins within `start..end`, and a line begins at `start`.
        let (mut start, mut end) = (0, self.length);
        while end - start > WINDOW_BYTES {
            let middle = start + (end - start) / 2;
            let Some((position, hash)) = self
                .next_after(middle)?
                .filter(|(position, _)| *position < end)
            else {
                // No other line begins after the middle.
                end = middle + 1;
                continue;
            };
            match hash.cmp(wanted) {
                Ordering::Equal => return Ok(true),
                Ordering::Less => start = position,
                Ordering::Greater => end = middle + 1,
            }
        }
        let mut position = Some(start);
        while let Some(start) = position.filter(|position| *position < end) {
            if hash_in(&self.read(start)?)? == *wanted {
                return Ok(true);
            }
            position = self.next_after(start)?.map(|(position, _)| position);
        }
        Ok(false)
    }

    /// Returns the position and the hash of the first line that begins after a position.
    fn next_after(&mut self, position: u64) -> io::Result<Option<(u64, Hash)>> {
        let bytes = self.read(position)?;
        let Some(line_end) = bytes.iter().position(|byte| *byte == b'\n') else {
            let is_last = bytes.len() as u64 <= MAX_LINE_BYTES;
            return if is_last {
                Ok(None)
            } else {
                Err(malformed("it has a line that is too long"))
            };
        };
        let next = &bytes[line_end + 1..];
        if next.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        Ok(Some((position + line_end as u64 + 1, hash_in(next)?)))
    }

    fn read(&mut self, position: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(2 * HASH_BYTES);
        self.file.seek(SeekFrom::Start(position))?;
        (&self.file).take(WINDOW_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Returns the hash at the start of a line.
fn hash_in(line: &[u8]) -> io::Result<Hash> {
    let hash = line.first_chunk::<HASH_BYTES>();
    let hash = hash.filter(|hash| hash.iter().all(u8::is_ascii_hexdigit));
    match (hash, line.get(HASH_BYTES)) {
        (Some(hash), Some(b':')) => Ok(hash.map(|byte| byte.to_ascii_uppercase())),
        _ => Err(malformed("it has a line that is not SHA1:count")),
    }
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
