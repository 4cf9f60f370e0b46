//! What commands print. `println!` panics when a line cannot be written; these functions don't.

use std::{
    fmt,
    io::{self, Write as _},
};

/// Prints to standard output. A reader that has gone, as after `| head -1`, has read what it wanted: the command goes on, and
/// nothing is printed.
///
/// # Errors
/// When the text cannot be written for another reason, such as a full disk.
pub fn print(text: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    // Flushed, as an error at the exit of the program would be lost.
    let written = write!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("standard output: {error}"),
        )),
        Ok(()) => Ok(()),
    }
}

/// Prints a line to standard output, like [`print()`].
pub fn print_line(line: impl fmt::Display) -> io::Result<()> {
    print(format_args!("{line}\n"))
}

/// Reports an error of a program to standard error, if that can be written to.
pub fn report(program: &str, error: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{program}: {error}");
}
