//! The programs under test, with their CPU time and memory from `/proc` (Linux).

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

/// A running program. Dropping it kills the program.
pub(crate) struct Program(Child);

/// The kernel's unit of CPU time, `1 / CLK_TCK`; the same on every Linux.
const TICK: Duration = Duration::from_millis(10);

impl Program {
    /// Starts a program with only these environment variables. Its output goes to the log file.
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

    /// Waits for the program to exit with success.
    pub(crate) fn wait(mut self) -> anyhow::Result<()> {
        let status = self.0.wait()?;
        anyhow::ensure!(status.success(), "the program ended with {status}");
        Ok(())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Returns the CPU time that the program has used so far.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time(&self.read("stat")?)
    }

    /// Returns the current memory (proportional set size, PSS) in MiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        mebibytes(&self.read("smaps_rollup")?, "Pss:")
    }

    /// Returns the peak memory (resident set size) in MiB.
    pub(crate) fn peak_memory(&self) -> anyhow::Result<f64> {
        mebibytes(&self.read("status")?, "VmHWM:")
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0.id());
        std::fs::read_to_string(&path).context(path)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails if the program has already exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the CPU time that this program has used so far.
pub(crate) fn own_cpu_time() -> anyhow::Result<Duration> {
    cpu_time(&std::fs::read_to_string("/proc/self/stat")?)
}

/// Returns the share of all cores that is in use while this program sleeps, in percent. Other programs slow both sides of a
/// comparison, but one thread less than many.
pub(crate) fn other_work(time: Duration) -> anyhow::Result<f64> {
    let before = cpu_ticks()?;
    std::thread::sleep(time);
    let (busy, all) = cpu_ticks()?;
    Ok(100.0 * (busy - before.0) / (all - before.1).max(1.0))
}

/// Returns the busy ticks and the ticks of all cores (`proc_stat(5)`). Ticks stolen by the host count as busy.
fn cpu_ticks() -> anyhow::Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let (all, idle): (f64, f64) = (ticks.iter().sum(), ticks.iter().skip(3).take(2).sum());
    Ok((all - idle, all))
}

fn cpu_time(stat: &str) -> anyhow::Result<Duration> {
    // User and system time are the 12th and 13th field after the name, which is in parentheses and may contain spaces
    // (`proc_pid_stat(5)`).
    let (_, fields) = stat
        .rsplit_once(')')
        .context("unexpected format of /proc/<pid>/stat")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |index: usize| -> anyhow::Result<u32> {
        Ok(fields
            .get(index)
            .context("unexpected format of /proc/<pid>/stat")?
            .parse()?)
    };
    Ok(TICK * (ticks(11)? + ticks(12)?))
}

fn mebibytes(text: &str, key: &str) -> anyhow::Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let amount = line.and_then(|line| line.split_whitespace().next());
    let kib: u32 = amount.context(key.to_owned())?.parse()?;
    Ok(f64::from(kib) / 1024.0)
}
