//! One connection's side of SMTP (RFC 5321), with STARTTLS (RFC 3207) and AUTH (RFC 4954).

use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinSet,
};

use super::{ENDLESS, Fault, Mail, Security, Shared, Stage};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Takes connections until it is aborted, which ends the open ones, too.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut conversations = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        // What a client does wrong shows in the mails that do not arrive.
        conversations.spawn(converse(Box::new(stream), Arc::clone(&shared)));
        while conversations.try_join_next().is_some() {}
    }
}

struct Conversation {
    stream: BufReader<Box<dyn Stream>>,
    shared: Arc<Shared>,
    encrypted: bool,
    logged_in: bool,
    from: String,
    to: Vec<String>,
    /// How many mails this connection has brought.
    mails: usize,
}

/// Whether a conversation goes on.
enum Next {
    Command,
    StartTls,
    End,
}

async fn converse(mut stream: Box<dyn Stream>, shared: Arc<Shared>) -> io::Result<()> {
    let fault = shared.fault.borrow().clone();
    match fault {
        Fault::Refuse => return Ok(()),
        Fault::Hang => {
            stuck(&shared, &fault).await;
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
    if fault == Fault::Endless(Stage::Greeting) {
        return conversation.say_endlessly().await;
    }
    if let Some(reply) = conversation.scripted(Stage::Greeting) {
        return conversation.say(reply).await;
    }
    if let Fault::Greeting(code) = fault {
        return conversation.say(&format!("{code} not today")).await;
    }
    conversation.say("220 sink ready").await?;
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
        self.note_command(&line);
        let fault = self.shared.fault.borrow().clone();
        if let Fault::OneMailPerConnection(reply) = fault
            && self.mails > 0
            && verb == "MAIL"
        {
            return self.end(reply).await;
        }
        if let Some(stage) = Stage::of(verb)
            && fault == Fault::Endless(stage)
        {
            self.say_endlessly().await?;
            return Ok(Next::End);
        }
        if let Some(reply) = Stage::of(verb).and_then(|stage| self.scripted(stage)) {
            if verb == "RCPT" {
                self.shared.note_try(&address(&line));
            }
            return self.answer(reply).await;
        }
        let reply = match verb {
            "EHLO" | "HELO" => self.capabilities(),
            "STARTTLS" if self.shared.security == Security::StartTls && !self.encrypted => {
                self.say("220 go ahead").await?;
                return Ok(Next::StartTls);
            }
            "AUTH" => self.login(&line).await?,
            "MAIL" if !self.logged_in => "530 5.7.0 log in first".to_owned(),
            "MAIL" => self.sender(address(&line)),
            "RCPT" => {
                let Some(reply) = self.recipient(address(&line)).await else {
                    return Ok(Next::End);
                };
                self.say(&reply).await?;
                return Ok(Next::Command);
            }
            "DATA" if self.to.is_empty() => "503 no recipients".to_owned(),
            "DATA" => {
                self.say("354 go ahead").await?;
                return self.data().await;
            }
            "RSET" => {
                self.to.clear();
                "250 reset".to_owned()
            }
            "NOOP" => "250 ok".to_owned(),
            "QUIT" => {
                self.say("221 bye").await?;
                return Ok(Next::End);
            }
            _ => "502 unknown command".to_owned(),
        };
        self.say(&reply).await?;
        Ok(Next::Command)
    }

    fn note_command(&self, line: &str) {
        if !self.shared.brief.load(Ordering::Relaxed) {
            let commands = self.shared.commands.lock();
            let mut commands = commands.unwrap_or_else(PoisonError::into_inner);
            commands.push(line.to_owned());
        }
    }

    /// The reply that the fault has for a stage.
    fn scripted(&self, stage: Stage) -> Option<&'static str> {
        match *self.shared.fault.borrow() {
            Fault::Reply(at, reply) if at == stage => Some(reply),
            Fault::CloseAtSecondRecipient if stage == Stage::Recipient && self.mails > 0 => {
                Some("421 4.7.0 one recipient a connection")
            }
            _ => None,
        }
    }

    async fn answer(&mut self, reply: &str) -> io::Result<Next> {
        self.say(reply).await?;
        Ok(if reply.starts_with("421") {
            Next::End
        } else {
            Next::Command
        })
    }

    async fn end(&mut self, reply: Option<&str>) -> io::Result<Next> {
        if let Some(reply) = reply {
            self.say(reply).await?;
        }
        Ok(Next::End)
    }

    fn capabilities(&self) -> String {
        let offers = self.shared.offers.lock();
        let offers = offers.unwrap_or_else(PoisonError::into_inner);
        if let Some(offers) = offers.as_ref() {
            let lines: Vec<_> = std::iter::once("sink")
                .chain(offers.iter().copied())
                .collect();
            return multiline(&lines);
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
                None => self.ask("334 ").await?,
            };
            let mut parts = text.split('\0').skip(1).map(str::to_owned);
            (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            )
        } else {
            let user = self.ask("334 VXNlcm5hbWU6").await?;
            (user, self.ask("334 UGFzc3dvcmQ6").await?)
        };
        let refused = *self.shared.fault.borrow() == Fault::RefuseLogin;
        self.logged_in = !refused && self.shared.credentials.as_ref() == Some(&given);
        Ok(if self.logged_in {
            "235 2.7.0 welcome".to_owned()
        } else {
            "535 5.7.8 wrong credentials".to_owned()
        })
    }

    async fn ask(&mut self, prompt: &str) -> io::Result<String> {
        self.say(prompt).await?;
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

    /// The reply; `None` where there never was one.
    async fn recipient(&mut self, recipient: String) -> Option<Vec<u8>> {
        let earlier = self.shared.note_try(&recipient);
        let fault = self.shared.fault.borrow().clone();
        if let Fault::HangAt(recipients) = &fault
            && recipients.contains(&recipient)
        {
            stuck(&self.shared, &fault).await;
            return None;
        }
        if let Fault::ReplyToRecipients(recipients, reply) = &fault
            && recipients.contains(&recipient)
        {
            return Some(reply.to_vec());
        }
        let mut refusal = None;
        self.shared.fault.send_if_modified(|fault| match fault {
            Fault::ReplyFirst(left, code) if *left > 0 => {
                refusal = Some(*code);
                *left -= 1;
                true
            }
            Fault::ReplyTo(recipients, code) if recipients.contains(&recipient) => {
                refusal = Some(*code);
                false
            }
            Fault::ReplyFirstOfEach(times, code) if earlier < *times => {
                refusal = Some(*code);
                false
            }
            _ => false,
        });
        if let Some(code) = refusal {
            return Some(
                format!("{code} the sink refuses <{recipient}>: user unknown").into_bytes(),
            );
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
            Fault::Hold => stuck(&self.shared, &fault).await,
            Fault::Slow(delay) => tokio::time::sleep(*delay).await,
            _ => {}
        }
        let to = std::mem::take(&mut self.to);
        let parse = if self.shared.brief.load(Ordering::Relaxed) {
            Mail::parse_briefly
        } else {
            Mail::parse
        };
        let mail = parse(self.from.clone(), to, self.encrypted, &raw);
        if let Some(reply) = self.scripted(Stage::Body) {
            return self.answer(reply).await;
        }
        if fault == Fault::Endless(Stage::Body) {
            self.say_endlessly().await?;
            return Ok(Next::End);
        }
        if let Fault::RepeatSubject(code) = fault {
            let subject = &mail.subject;
            self.say(&format!("{code} looks like spam: {subject}"))
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
        self.say("250 accepted").await?;
        Ok(Next::Command)
    }

    async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }

    async fn say_endlessly(&mut self) -> io::Result<()> {
        let piece = vec![b'2'; 64 * 1024];
        for _ in 0..ENDLESS / piece.len() {
            self.stream.write_all(&piece).await?;
        }
        self.stream.flush().await
    }

    async fn say(&mut self, reply: impl AsRef<[u8]>) -> io::Result<()> {
        let line = [reply.as_ref(), b"\r\n"].concat();
        self.stream.write_all(&line).await?;
        self.stream.flush().await
    }
}

/// Waits, counted, until the fault is another one.
async fn stuck(shared: &Shared, fault: &Fault) {
    let mut faults = shared.fault.subscribe();
    shared.stuck.send_modify(|stuck| *stuck += 1);
    let _ = faults.wait_for(|now| now != fault).await;
    shared.stuck.send_modify(|stuck| *stuck -= 1);
}

/// A reply of several lines (RFC 5321, 4.2.1).
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
