//! A program that a test starts as a separate process.

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

/// A running program. It is killed when this value is dropped.
pub struct Process {
    child: Child,
    lines: watch::Receiver<Vec<String>>,
    /// The working directory. It is empty, so that the program reads no `.env` of the developer.
    folder: TempDir,
}

impl Process {
    /// Starts a program whose environment contains only `variables` and `PATH`.
    #[must_use]
    pub fn spawn<K: AsRef<str>, V: AsRef<str>>(
        program: &str,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::spawn_with_stdout(program, arguments, variables, Stdio::piped())
    }

    /// Starts a program like [`Self::spawn`], with another standard output.
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

    /// Returns the working directory.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns all lines that the program has written to standard output and standard error.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// Waits for a line that contains `part`, and returns it. Panics with the output if there is none in time.
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
    pub async fn wait_for_url(&mut self, announcement: &str) -> String {
        let line = self.wait_for_line(announcement).await;
        let (_, address) = line.split_once("http://").expect("a URL in the line");
        let is_end = |letter: char| letter.is_whitespace() || matches!(letter, '/' | '"');
        let address = address.split(is_end).next().unwrap_or_default();
        format!("http://{address}")
    }

    /// Sends SIGTERM, as an init system does for a graceful shutdown.
    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Sends SIGKILL and waits for the end of the process.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("SIGKILL");
    }

    /// Returns the CPU time of all its threads, in hundredths of a second. Linux only.
    #[must_use]
    pub fn cpu_time(&self) -> u64 {
        let id = self.child.id().expect("a running process");
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("/proc");
        // The name, in parentheses, may contain blanks. User and system time are the 12th and 13th field after it
        // (proc_pid_stat(5)).
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        let fields: Vec<_> = fields.split_whitespace().collect();
        fields[11..=12]
            .iter()
            .map(|ticks| ticks.parse::<u64>().expect("a number of ticks"))
            .sum()
    }

    /// Returns the peak resident memory in KiB. Linux only.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("a running process");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let amount = line.and_then(|line| line.split_whitespace().next());
        amount
            .and_then(|kib| kib.parse().ok())
            .expect("VmHWM (proc_pid_status(5))")
    }

    /// Returns the number of its threads. Linux only.
    #[must_use]
    pub fn threads(&self) -> usize {
        let id = self.child.id().expect("a running process");
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("/proc");
        threads.count()
    }

    /// Waits for the end of the process.
    pub async fn exit(&mut self) -> ExitStatus {
        let ended = timeout(WAIT_TIMEOUT, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| {
                panic!(
                    "the process did not end; its output:\n{}",
                    self.lines().join("\n")
                )
            })
            .expect("the status of a child")
    }

    /// Waits for the end of the process. Returns its exit code and complete output.
    pub async fn output(mut self) -> (Option<i32>, String) {
        let status = self.exit().await;
        // The sender is dropped at the end of both streams.
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

/// Returns a standard output whose reader has closed it, as `| head -1` does.
#[must_use]
pub fn closed_pipe() -> Stdio {
    let (_, writer) = std::io::pipe().expect("a pipe");
    writer.into()
}

/// Returns a standard output on a full disk. Linux only.
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
