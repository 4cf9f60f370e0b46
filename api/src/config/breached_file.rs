//! The file of `BREACHED_PASSWORDS_FILE`: `SHA1:count` lines in the order of their hashes, as Have I Been Pwned publishes them.

use std::{
    cmp::Ordering,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// A SHA-1 hash in upper-case hexadecimal.
pub type Hash = [u8; HASH_BYTES];
/// The digits of a SHA-1 hash.
pub const HASH_BYTES: usize = 40;

/// More than a line has: a hash, a colon, a count of 20 digits, a line end of two bytes.
const MAX_LINE_BYTES: u64 = 64;

/// What is read at once: the end of one line and the whole of the next.
const WINDOW_BYTES: u64 = 2 * MAX_LINE_BYTES;

/// How many places are looked at when the program starts.
const PROBES: u64 = 256;

/// Checks at some places that a file is what it should be.
///
/// # Errors
/// When it cannot be read, has a line of another form, or is not in order.
pub fn validate(path: &Path) -> io::Result<()> {
    let mut lines = Lines::open(path)?;
    let mut last = lines.first()?;
    for probe in 1..PROBES {
        let place =
            u64::try_from(u128::from(lines.length) * u128::from(probe) / u128::from(PROBES));
        let Some((_, hash)) = lines.after(place.unwrap_or(u64::MAX))? else {
            break;
        };
        if hash < last {
            return Err(malformed("its lines are not in the order of their hashes"));
        }
        last = hash;
    }
    Ok(())
}

/// An open file.
pub struct Lines {
    file: File,
    length: u64,
}

impl Lines {
    /// Opens a file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// The hash of the first line.
    fn first(&mut self) -> io::Result<Hash> {
        hash_in(&self.read(0)?)
    }

    /// Looks for a line with this hash. Each step halves what is left; the last of it is read line by line.
    pub fn contain(&mut self, wanted: &Hash) -> io::Result<bool> {
        // The line begins at one of these places. At the first of them a line begins.
        let (mut start, mut end) = (0, self.length);
        while end - start > WINDOW_BYTES {
            let middle = start + (end - start) / 2;
            let Some((place, hash)) = self.after(middle)?.filter(|(place, _)| *place < end) else {
                // No other line begins after the middle.
                end = middle + 1;
                continue;
            };
            match hash.cmp(wanted) {
                Ordering::Equal => return Ok(true),
                Ordering::Less => start = place,
                Ordering::Greater => end = middle + 1,
            }
        }
        let mut place = Some(start);
        while let Some(start) = place.filter(|place| *place < end) {
            if hash_in(&self.read(start)?)? == *wanted {
                return Ok(true);
            }
            place = self.after(start)?.map(|(place, _)| place);
        }
        Ok(false)
    }

    /// The first line that begins after a place: where, and its hash.
    fn after(&mut self, place: u64) -> io::Result<Option<(u64, Hash)>> {
        let bytes = self.read(place)?;
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
        Ok(Some((place + line_end as u64 + 1, hash_in(next)?)))
    }

    fn read(&mut self, place: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(2 * HASH_BYTES);
        self.file.seek(SeekFrom::Start(place))?;
        (&self.file).take(WINDOW_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The hash at the beginning of a line.
fn hash_in(line: &[u8]) -> io::Result<Hash> {
    let hash = line.first_chunk::<HASH_BYTES>();
    let hash = hash.filter(|hash| hash.iter().all(u8::is_ascii_hexdigit));
    match (hash, line.get(HASH_BYTES)) {
        (Some(hash), Some(b':')) => Ok(hash.map(|byte| byte.to_ascii_uppercase())),
        _ => Err(malformed("it has a line that is not SHA1:count")),
    }
}

fn malformed(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
