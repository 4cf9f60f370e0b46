//! The unread rest of a file.

/// The unread rest of a file. Each method returns `None` past the end.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Moves to the next byte that meets a condition.
    pub(super) fn seek(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Option<()> {
        let at = (0..self.0.len()).find(|at| wanted(&self.0[*at..]))?;
        self.take(at).map(|_| ())
    }

    /// Returns the position of the rest in its file.
    pub(super) fn position(&self, file: &[u8]) -> usize {
        file.len() - self.0.len()
    }
}
