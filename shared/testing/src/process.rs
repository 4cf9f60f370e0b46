//! One of our programs, started for real, so that a test can kill it.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use crate::WAIT_TIMEOUT;

/// A running program; it dies with this value.
pub struct Process {
    child: Child,
    lines: watch::Receiver<Vec<String>>,
    /// Its working folder: empty, so that no `.env` of the developer reaches it.
    folder: TempDir,
}

impl Process {
    /// Starts a program with these arguments and nothing but these variables (and `PATH`).
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn<K: AsRef<str>, V: AsRef<str>>(
        program: &str,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::spawn_with_stdout(program, arguments, variables, Stdio::piped())
    }

    /// Starts a program like [`Self::spawn`], with this as its standard output.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn_with_stdout<K: AsRef<str>, V: AsRef<str>>(
        program: &str,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (K, V)>,
        stdout: Stdio,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for (key, value) in variables {
            command.env(key.as_ref(), value.as_ref());
        }
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let (sender, lines) = watch::channel(Vec::new());
        let sender = Arc::new(Mutex::new(sender));
        collect(child.stdout.take(), &sender);
        collect(child.stderr.take(), &sender);
        Self {
            child,
            lines,
            folder,
        }
    }

    /// Its working folder.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// All lines it has written, to either stream.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Waits until it writes a line with this in it, and returns the line.
    ///
    /// # Panics
    /// When it does not within [`WAIT_TIMEOUT`], with what it wrote instead.
    pub async fn wait_for_line(&mut self, part: &str) -> String {
        let has = |lines: &Vec<String>| lines.iter().any(|line| line.contains(part));
        let mut lines = self.lines.clone();
        match timeout(WAIT_TIMEOUT, lines.wait_for(has)).await {
            Ok(Ok(lines)) => lines
                .iter()
                .find(|line| line.contains(part))
                .cloned()
                .unwrap_or_default(),
            _ => panic!("no line with {part:?} in:\n{}", self.lines().join("\n")),
        }
    }

    /// Waits for a line with `announcement`, and returns the URL in it without its path, such as `http://127.0.0.1:8000`.
    ///
    /// # Panics
    /// If the line does not appear in time, or contains no `http://`.
    pub async fn wait_for_url(&mut self, announcement: &str) -> String {
        let line = self.wait_for_line(announcement).await;
        let (_, address) = line.split_once("http://").expect("a URL in the line");
        let is_end = |letter: char| letter.is_whitespace() || matches!(letter, '/' | '"');
        let address = address.split(is_end).next().unwrap_or_default();
        format!("http://{address}")
    }

    /// Asks it to end (SIGTERM), as an init system does.
    ///
    /// # Panics
    /// When there is no `kill` command.
    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("SIGKILL");
    }

    /// The processor time that it and its threads have used, in hundredths of a second; Linux only.
    ///
    /// # Panics
    /// When it has ended, or there is no `/proc`.
    #[must_use]
    pub fn processor_time(&self) -> u64 {
        let id = self.child.id().expect("a running process");
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("/proc");
        // After the name, which is in brackets and may hold blanks, user and system time are the 12th and 13th field
        // (proc_pid_stat(5)).
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let fields: Vec<_> = fields.split_whitespace().collect();
        fields[11..=12]
            .iter()
            .map(|ticks| ticks.parse::<u64>().expect("a number of ticks"))
            .sum()
    }

    /// The most memory that it has had at a time, in KiB; Linux only.
    ///
    /// # Panics
    /// When it has ended, or there is no `/proc`.
    #[must_use]
    pub fn most_memory(&self) -> u64 {
        let id = self.child.id().expect("a running process");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let amount = line.and_then(|line| line.split_whitespace().next());
        amount
            .and_then(|kib| kib.parse().ok())
            .expect("VmHWM (proc_pid_status(5))")
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within [`WAIT_TIMEOUT`].
    pub async fn exit(&mut self) -> ExitStatus {
        let ended = timeout(WAIT_TIMEOUT, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it did not end; it wrote:\n{}", self.lines().join("\n")))
            .expect("the status of a child")
    }

    /// Waits until it has ended and all it wrote is in; returns that with the exit code.
    ///
    /// # Panics
    /// When it does not end within [`WAIT_TIMEOUT`].
    pub async fn output(mut self) -> (Option<i32>, String) {
        let status = self.exit().await;
        // The senders go away at the end of both streams.
        while self.lines.changed().await.is_ok() {}
        (status.code(), self.lines().join("\n"))
    }

    pub(crate) async fn signal(&self, name: &str) {
        let Some(id) = self.child.id() else {
            return;
        };
        let status = Command::new("kill")
            .args([name, &id.to_string()])
            .status()
            .await
            .expect("the kill command");
        assert!(status.success(), "kill {name} {id}: {status}");
    }
}

/// A standard output whose reader has gone, as after `| head -1`.
///
/// # Panics
/// When there are no pipes left.
#[must_use]
pub fn closed_pipe() -> Stdio {
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer.into()
}

/// A standard output on a disk that is full; Linux only.
///
/// # Panics
/// When there is no `/dev/full`.
#[must_use]
pub fn full_disk() -> Stdio {
    let full = std::fs::File::options().write(true).open("/dev/full");
    full.expect("/dev/full").into()
}

fn collect(
    stream: Option<impl AsyncRead + Unpin + Send + 'static>,
    sender: &Arc<Mutex<watch::Sender<Vec<String>>>>,
) {
    let sender = Arc::clone(sender);
    let Some(stream) = stream else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(sender) = sender.lock() {
                sender.send_modify(|lines| lines.push(line));
            }
        }
    });
}
