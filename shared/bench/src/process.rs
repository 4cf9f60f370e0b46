//! The programs that are measured, and what the system says of them (Linux).

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

/// A running program; it ends with this value.
pub(crate) struct Program(Child);

/// What the kernel counts in (`getconf CLK_TCK`), on every Linux.
const TICK: Duration = Duration::from_millis(10);

impl Program {
    /// Starts it with these variables alone; what it says goes into a file, as it would to a journal.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        variables: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(variables.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self(child))
    }

    /// Waits until it ends by itself.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let status = self.0.wait()?;
        anyhow::ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// The processor time that it has used so far.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        processor_time(&self.read("stat")?)
    }

    /// The memory that it has now, its share of what it shares included (PSS), in MiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        mebibytes(&self.read("smaps_rollup")?, "Pss:")
    }

    /// The most memory that it has had, in MiB.
    pub(crate) fn most_memory(&self) -> anyhow::Result<f64> {
        mebibytes(&self.read("status")?, "VmHWM:")
    }

    fn read(&self, what: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{what}", self.0.id());
        std::fs::read_to_string(&path).context(path)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The processor time that this very program has used so far.
pub(crate) fn own_processor_time() -> anyhow::Result<Duration> {
    processor_time(&std::fs::read_to_string("/proc/self/stat")?)
}

/// How much of all processors is in use while this program does nothing, in per cent. What others do meanwhile takes from
/// both sides of a comparison, but not the same from one thread as from many.
pub(crate) fn other_work(time: Duration) -> anyhow::Result<f64> {
    let before = processors()?;
    std::thread::sleep(time);
    let (busy, all) = processors()?;
    Ok(100.0 * (busy - before.0) / (all - before.1).max(1.0))
}

/// The ticks that all processors were busy, and all ticks (`proc_stat(5)`); those that the host kept count as busy.
fn processors() -> anyhow::Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("proc_stat(5)")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let (all, idle): (f64, f64) = (ticks.iter().sum(), ticks.iter().skip(3).take(2).sum());
    Ok((all - idle, all))
}

fn processor_time(stat: &str) -> anyhow::Result<Duration> {
    // After the name, which is in brackets and may hold blanks, user and system time are the 12th and 13th field.
    let (_, fields) = stat.rsplit_once(')').context("proc_pid_stat(5)")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |index: usize| -> anyhow::Result<u32> {
        Ok(fields.get(index).context("proc_pid_stat(5)")?.parse()?)
    };
    Ok(TICK * (ticks(11)? + ticks(12)?))
}

fn mebibytes(text: &str, key: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let amount = line.and_then(|line| line.split_whitespace().next());
    let kib: u32 = amount.context(key.to_owned())?.parse()?;
    Ok(f64::from(kib) / 1024.0)
}
