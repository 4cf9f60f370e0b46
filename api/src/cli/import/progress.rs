//! The progress bar of an import. Shown on standard error if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// The progress of an import.
#[derive(Default)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows the bar.
    pub(super) fn start(&mut self, total: u64) {
        let template = "{bar:40} {pos}/{len} accounts, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(total);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.0 = Some(bar);
    }

    /// Counts a row.
    pub(super) fn advance(&self) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
