//! The server side of an SMTP conversation (RFC 5321) with STARTTLS (RFC 3207) and AUTH (RFC 4954).

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinSet,
};

use super::{ENDLESS_REPLY_BYTES, Fault, Mail, Security, Shared, Stage, lock};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Accepts connections. Aborting the task closes the open ones.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut conversations = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        while conversations.try_join_next().is_some() {}
        let fault = shared.fault.borrow().clone();
        if let Fault::MaxConnections(max, greeting) = fault
            && conversations.len() >= max
        {
            let greeting = greeting
                .map(|text| format!("{text}\r\n"))
                .unwrap_or_default();
            let _ = stream.write_all(greeting.as_bytes()).await;
            continue;
        }
        // A failed conversation is visible in the test as a missing mail.
        conversations.spawn(serve(Box::new(stream), Arc::clone(&shared)));
    }
}

struct Conversation {
    stream: BufReader<Box<dyn Stream>>,
    shared: Arc<Shared>,
    encrypted: bool,
    logged_in: bool,
    from: String,
    to: Vec<String>,
    /// The number of accepted mails of this connection.
    mails: usize,
}

/// The next step of a conversation.
enum Next {
    Command,
    StartTls,
    End,
}

async fn serve(mut stream: Box<dyn Stream>, shared: Arc<Shared>) -> io::Result<()> {
    let fault = shared.fault.borrow().clone();
    match fault {
        Fault::CloseConnections => return Ok(()),
        Fault::Hang => {
            hang(&shared, &fault).await;
            return Ok(());
        }
        _ => {}
    }
    let implicit = shared.security == Security::Implicit;
    if implicit {
        stream = Box::new(shared.certificate.acceptor().accept(stream).await?);
    }
    let mut conversation = Conversation {
        stream: BufReader::new(stream),
        logged_in: shared.credentials.is_none(),
        encrypted: implicit,
        shared,
        from: String::new(),
        to: Vec::new(),
        mails: 0,
    };
    if fault == Fault::EndlessReply(Stage::Greeting) {
        return conversation.send_endless_reply().await;
    }
    if let Some(reply) = conversation.fault_reply(Stage::Greeting) {
        return conversation.reply(reply).await;
    }
    if let Fault::Greeting(code) = fault {
        return conversation.reply(&format!("{code} not today")).await;
    }
    conversation.reply("220 sink ready").await?;
    loop {
        match conversation.command().await? {
            Next::Command => {}
            Next::End => return Ok(()),
            Next::StartTls => {
                let plain = conversation.stream.into_inner();
                let acceptor = conversation.shared.certificate.acceptor().clone();
                let tls: Box<dyn Stream> = Box::new(acceptor.accept(plain).await?);
                conversation.stream = BufReader::new(tls);
                conversation.encrypted = true;
            }
        }
    }
}

impl Conversation {
    async fn command(&mut self) -> io::Result<Next> {
        let Some(line) = self.line().await? else {
            return Ok(Next::End);
        };
        let upper = line.to_ascii_uppercase();
        let (verb, _) = upper.split_once([' ', ':']).unwrap_or((&upper, ""));
        self.record_command(&line);
        if let Some(next) = self.apply_fault(verb, &line).await? {
            return Ok(next);
        }
        let reply = match verb {
            "EHLO" | "HELO" => self.capabilities(),
            "STARTTLS" if self.shared.security == Security::StartTls && !self.encrypted => {
                self.reply("220 go ahead").await?;
                return Ok(Next::StartTls);
            }
            "AUTH" => self.login(&line).await?,
            "MAIL" if !self.logged_in => "530 5.7.0 log in first".to_owned(),
            "MAIL" => self.sender(address(&line)),
            "RCPT" => {
                let Some(reply) = self.recipient(address(&line)).await else {
                    return Ok(Next::End);
                };
                self.reply(&reply).await?;
                return Ok(Next::Command);
            }
            "DATA" if self.to.is_empty() => "503 no recipients".to_owned(),
            "DATA" => {
                self.reply("354 go ahead").await?;
                return self.data().await;
            }
            "RSET" => {
                self.to.clear();
                "250 reset".to_owned()
            }
            "NOOP" => "250 ok".to_owned(),
            "QUIT" => {
                self.reply("221 bye").await?;
                return Ok(Next::End);
            }
            _ => "502 unknown command".to_owned(),
        };
        self.reply(&reply).await?;
        Ok(Next::Command)
    }

    /// Replies to a command as the fault demands. Returns `None` if the fault does not affect it.
    async fn apply_fault(&mut self, verb: &str, line: &str) -> io::Result<Option<Next>> {
        let Some(stage) = Stage::of(verb) else {
            return Ok(None);
        };
        let fault = self.shared.fault.borrow().clone();
        if let Fault::OneMailPerConnection(reply) = fault
            && self.mails > 0
            && stage == Stage::Sender
        {
            if let Some(reply) = reply {
                self.reply(reply).await?;
            }
            return Ok(Some(Next::End));
        }
        if fault == Fault::EndlessReply(stage) {
            self.send_endless_reply().await?;
            return Ok(Some(Next::End));
        }
        let Some(reply) = self.fault_reply(stage) else {
            return Ok(None);
        };
        if stage == Stage::Recipient {
            self.shared.record_attempt(&address(line));
        }
        self.reply_or_close(reply).await.map(Some)
    }

    fn record_command(&self, line: &str) {
        if !self.shared.discards_contents.load(Ordering::Relaxed) {
            lock(&self.shared.commands).push(line.to_owned());
        }
    }

    /// Returns the reply of the fault at a stage.
    fn fault_reply(&self, stage: Stage) -> Option<&'static str> {
        match *self.shared.fault.borrow() {
            Fault::Reply(at, reply) if at == stage => Some(reply),
            Fault::CloseAtSecondRecipient if stage == Stage::Recipient && self.mails > 0 => {
                Some("421 4.7.0 one recipient a connection")
            }
            _ => None,
        }
    }

    /// Sends a reply, and ends the conversation after a 421.
    async fn reply_or_close(&mut self, reply: &str) -> io::Result<Next> {
        self.reply(reply).await?;
        Ok(if reply.starts_with("421") {
            Next::End
        } else {
            Next::Command
        })
    }

    fn capabilities(&self) -> String {
        if let Some(extensions) = &*lock(&self.shared.extensions) {
            return multiline(&[&["sink"], &**extensions].concat());
        }
        let mut lines = vec!["sink", "8BITMIME", "SMTPUTF8"];
        if self.shared.security == Security::StartTls && !self.encrypted {
            lines.push("STARTTLS");
        }
        if self.shared.credentials.is_some() {
            lines.push("AUTH PLAIN LOGIN");
        }
        multiline(&lines)
    }

    async fn login(&mut self, line: &str) -> io::Result<String> {
        let mut words = line.split_whitespace().skip(1);
        let method = words.next().unwrap_or_default().to_ascii_uppercase();
        let given = if method == "PLAIN" {
            let text = match words.next() {
                Some(text) => decode(text),
                None => self.prompt("334 ").await?,
            };
            let mut parts = text.split('\0').skip(1).map(str::to_owned);
            (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            )
        } else {
            let user = self.prompt("334 VXNlcm5hbWU6").await?;
            (user, self.prompt("334 UGFzc3dvcmQ6").await?)
        };
        let refused = *self.shared.fault.borrow() == Fault::RefuseLogin;
        self.logged_in = !refused && self.shared.credentials.as_ref() == Some(&given);
        Ok(if self.logged_in {
            "235 2.7.0 welcome".to_owned()
        } else {
            "535 5.7.8 wrong credentials".to_owned()
        })
    }

    async fn prompt(&mut self, prompt: &str) -> io::Result<String> {
        self.reply(prompt).await?;
        Ok(decode(&self.line().await?.unwrap_or_default()))
    }

    fn sender(&mut self, sender: String) -> String {
        if let Fault::RefuseSender(code) = *self.shared.fault.borrow() {
            return format!("{code} not from <{sender}>");
        }
        self.from = sender;
        self.to.clear();
        "250 sender ok".to_owned()
    }

    /// Returns the reply, or `None` if the connection has to be closed without one.
    async fn recipient(&mut self, recipient: String) -> Option<Vec<u8>> {
        let earlier = self.shared.record_attempt(&recipient);
        let fault = self.shared.fault.borrow().clone();
        if let Fault::HangAtRecipients(recipients) = &fault
            && recipients.contains(&recipient)
        {
            hang(&self.shared, &fault).await;
            return None;
        }
        if let Fault::CloseAtRecipients(recipients) = &fault
            && recipients.contains(&recipient)
        {
            return None;
        }
        if let Fault::ReplyToRecipients(recipients, reply) = &fault
            && recipients.contains(&recipient)
        {
            return Some(reply.to_vec());
        }
        let mut refusal = None;
        self.shared.fault.send_if_modified(|fault| match fault {
            Fault::RefuseFirst(left, code) if *left > 0 => {
                refusal = Some(*code);
                *left -= 1;
                true
            }
            Fault::RefuseRecipients(recipients, code) if recipients.contains(&recipient) => {
                refusal = Some(*code);
                false
            }
            Fault::RefuseFirstOfEach(times, code) if earlier < *times => {
                refusal = Some(*code);
                false
            }
            _ => false,
        });
        if let Some(code) = refusal {
            return Some(format!("{code} <{recipient}>: user unknown").into_bytes());
        }
        self.to.push(recipient);
        Some(b"250 recipient ok".to_vec())
    }

    async fn data(&mut self) -> io::Result<Next> {
        let mut raw = Vec::new();
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line).await? == 0
                || *self.shared.fault.borrow() == Fault::DropInData
            {
                return Ok(Next::End);
            }
            if line == b".\r\n" {
                break;
            }
            raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let fault = self.shared.fault.borrow().clone();
        match &fault {
            Fault::HangAfterData => hang(&self.shared, &fault).await,
            Fault::DelayReply(delay) => tokio::time::sleep(*delay).await,
            _ => {}
        }
        let to = std::mem::take(&mut self.to);
        let parse = if self.shared.discards_contents.load(Ordering::Relaxed) {
            Mail::parse_envelope
        } else {
            Mail::parse
        };
        let mail = parse(self.from.clone(), to, self.encrypted, &raw);
        if let Some(reply) = self.fault_reply(Stage::Body) {
            return self.reply_or_close(reply).await;
        }
        if fault == Fault::EndlessReply(Stage::Body) {
            self.send_endless_reply().await?;
            return Ok(Next::End);
        }
        if let Fault::RepeatSubject(code) = fault {
            let subject = &mail.subject;
            self.reply(&format!("{code} looks like spam: {subject}"))
                .await?;
            return Ok(Next::Command);
        }
        self.shared.mails.send_modify(|mails| mails.push(mail));
        self.mails += 1;
        let dropped = self.shared.fault.send_if_modified(|fault| match fault {
            Fault::DropAfterAccept(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        });
        if dropped {
            return Ok(Next::End);
        }
        self.reply("250 accepted").await?;
        Ok(Next::Command)
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }

    async fn send_endless_reply(&mut self) -> io::Result<()> {
        let piece = vec![b'2'; 64 * 1024];
        for _ in 0..ENDLESS_REPLY_BYTES / piece.len() {
            self.stream.write_all(&piece).await?;
        }
        self.stream.flush().await
    }

    async fn reply(&mut self, reply: impl AsRef<[u8]>) -> io::Result<()> {
        let line = [reply.as_ref(), b"\r\n"].concat();
        self.stream.write_all(&line).await?;
        self.stream.flush().await
    }
}

/// Waits until the fault changes, and is counted as hanging until then.
async fn hang(shared: &Shared, fault: &Fault) {
    let mut faults = shared.fault.subscribe();
    shared.hanging.send_modify(|hanging| *hanging += 1);
    let _ = faults.wait_for(|now| now != fault).await;
    shared.hanging.send_modify(|hanging| *hanging -= 1);
}

/// Returns a reply of several lines (RFC 5321, 4.2.1).
fn multiline(lines: &[&str]) -> String {
    let (last, rest) = lines.split_last().expect("it has a name");
    rest.iter()
        .map(|line| format!("250-{line}\r\n"))
        .chain([format!("250 {last}")])
        .collect()
}

fn address(line: &str) -> String {
    let after = line.split_once('<').map_or("", |(_, after)| after);
    after
        .split_once('>')
        .map_or("", |(address, _)| address)
        .to_owned()
}

fn decode(text: &str) -> String {
    let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
