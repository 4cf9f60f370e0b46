//! Reads lines of bounded length.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
};

/// The maximum length of a line, in bytes: some 20 times the length of an account with every field.
pub(super) const MAX_LINE_BYTES: usize = 16 * 1_024;

/// The byte order mark that some programs write at the start of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The number of a line, from 1, and its text, or the reason why the text was not read.
pub(super) type Line = (i64, Result<Vec<u8>, String>);

/// The lines of a file.
pub(super) struct Lines {
    reader: BufReader<File>,
    /// The number of lines that were read.
    number: i64,
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        Self {
            reader: BufReader::new(file),
            number: 0,
        }
    }

    /// Returns to the first line.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.number = 0;
        self.reader.rewind()
    }

    /// Counts all lines, including invalid and blank ones, and returns to the first one.
    pub(super) fn count(&mut self) -> io::Result<i64> {
        self.rewind()?;
        let mut count = 0;
        while self.reader.skip_until(b'\n')? > 0 {
            count += 1;
        }
        self.rewind()?;
        Ok(count)
    }

    /// Reads the next line that is not blank.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut text = Vec::new();
            let limit = MAX_LINE_BYTES as u64 + 1;
            self.reader
                .by_ref()
                .take(limit)
                .read_until(b'\n', &mut text)?;
            if text.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            if text.pop_if(|byte| *byte == b'\n').is_none() && text.len() > MAX_LINE_BYTES {
                self.reader.skip_until(b'\n')?;
                let reason = format!("the line has more than {MAX_LINE_BYTES} bytes");
                return Ok(Some((self.number, Err(reason))));
            }
            if self.number == 1 && text.starts_with(BYTE_ORDER_MARK) {
                text.drain(..BYTE_ORDER_MARK.len());
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some((self.number, Ok(text))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn lines(content: &[u8]) -> Lines {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Lines::new(file)
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_skipped() {
        let mut lines = lines("\u{feff}{}\r\n\n  \n[1]".as_bytes());
        for _ in 0..2 {
            assert_eq!(lines.count().unwrap(), 4);
            assert_eq!(lines.next().unwrap(), Some((1, Ok(b"{}\r".to_vec()))));
            assert_eq!(lines.next().unwrap(), Some((4, Ok(b"[1]".to_vec()))));
            assert_eq!(lines.next().unwrap(), None);
        }
    }

    #[test]
    fn line_beyond_the_limit_is_skipped() {
        let longest = "x".repeat(MAX_LINE_BYTES);
        let content = format!("{longest}\n{longest}x\n{}\nlast", longest.repeat(3));
        let mut lines = lines(content.as_bytes());
        lines.rewind().unwrap();
        assert_eq!(lines.next().unwrap(), Some((1, Ok(longest.into_bytes()))));
        for number in [2, 3] {
            let (found, text) = lines.next().unwrap().unwrap();
            assert_eq!(found, number);
            assert!(text.unwrap_err().contains("16384"));
        }
        assert_eq!(lines.next().unwrap(), Some((4, Ok(b"last".to_vec()))));
    }
}
