//! The lines of the table, each measured in turns with its limit.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use latchkey_api::config::hash_cost::HashCost;
use serde_json::json;

use crate::{
    bare,
    cli::{Options, Row, Size},
    dashboard::Administrator,
    limits::{self, Constant, Statement, Writer},
    load::{self, Load, Outcome},
    process,
    report::{self, Figure, Goal},
    stage::{Bench, Kind, PASSWORD, Running, SIGNED_IN, Session, Stage},
};

/// How many clients there are at once, where nothing else is said.
const CONNECTIONS: usize = 32;
/// The least that a hash can cost, where it is not what is measured.
const CHEAP: HashCost = HashCost {
    memory_kib: 8,
    iterations: 1,
    parallelism: 1,
};
/// The same, as settings.
const NO_HASH: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_ITERATIONS", "1")];
/// How long the answer to a GET is, in bytes.
const ANSWER: usize = 140;
/// `HASH_QUEUE_SECONDS`, as it is by default.
const QUEUE_DEADLINE: f64 = 5_000.0;

/// Measures what is asked for and prints it.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let bench = Bench::new(options)?;
    let mut kinds = Vec::new();
    if !options.no_sqlite {
        kinds.push(Kind::Sqlite);
    }
    if options.postgres.is_some() {
        kinds.push(Kind::Postgres);
    }
    let (mut figures, mut others) = (Vec::new(), Vec::new());
    for kind in kinds {
        let few = Stage::new(&bench, kind, SIGNED_IN, HashCost::default())?;
        for row in [
            Row::Login,
            Row::Get,
            Row::Refresh,
            Row::Patch,
            Row::Register,
            Row::EmailRequest,
            Row::Mails,
            Row::Latency,
            Row::Start,
            Row::Million,
            Row::Flood,
            Row::Scale,
            Row::Bare,
        ] {
            if !options.rows.is_empty() && !options.rows.contains(&row) {
                continue;
            }
            others.push(process::other_work(options.size.glance())?);
            let start = Instant::now();
            let mut measured = match row {
                Row::Login => login(&few)?,
                Row::Get => get(&few)?,
                Row::Refresh => refresh(&few)?,
                Row::Patch => patch(&few)?,
                Row::Register => register(&few)?,
                Row::EmailRequest => email_request(&few)?,
                Row::Mails => mails(&few)?,
                Row::Latency => latency(&few)?,
                Row::Start => start_and_rest(&few)?,
                Row::Million => million(&few)?,
                Row::Flood => flood(&few)?,
                Row::Scale => scale(&few)?,
                Row::Bare => bare(&few)?,
            };
            for figure in &mut measured {
                figure.database = kind.name();
            }
            figures.extend(measured);
            let took = start.elapsed().as_secs();
            eprintln!("{}, {row:?}: {took} s", kind.name());
        }
    }
    others.sort_unstable_by(f64::total_cmp);
    for (what, part) in [("median", 0.5), ("most", 1.0)] {
        let share = load::percentile(&others, part);
        let what = format!("other work on the processors before each row, {what}");
        figures.push(alone(what, share, "%", Goal::None));
    }
    report::print(&figures, options.json)
}

// --- measuring ----------------------------------------------------------------------------------

/// Two sides that took turns.
struct Pair {
    ours: f64,
    limit: f64,
    ratio: f64,
}

/// Lets both sides measure in turns, each first every other time, and takes medians.
fn in_turns(
    size: Size,
    mut ours: impl FnMut() -> anyhow::Result<f64>,
    mut limit: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Pair> {
    let (mut our, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..size.rounds() {
        let (one, other) = if round % 2 == 0 {
            let one = ours()?;
            (one, limit()?)
        } else {
            let other = limit()?;
            (ours()?, other)
        };
        our.push(one);
        theirs.push(other);
        ratios.push(one / other);
    }
    Ok(Pair {
        ours: median(our),
        limit: median(theirs),
        ratio: median(ratios),
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    load::percentile(&values, 0.5)
}

impl Pair {
    fn figure(&self, what: &str, unit: &'static str, goal: Goal) -> Figure {
        Figure {
            database: "",
            what: what.to_owned(),
            value: self.ours,
            unit,
            limit: Some(self.limit),
            ratio: Some(self.ratio),
            goal,
        }
    }
}

/// A figure that has no limit but its goal.
fn alone(what: impl Into<String>, value: f64, unit: &'static str, goal: Goal) -> Figure {
    Figure {
        database: "",
        what: what.into(),
        value,
        unit,
        limit: None,
        ratio: None,
        goal,
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What a load is, but for the servers it goes to.
struct Calls<'a> {
    request: &'a (dyn Fn(u64, &mut Vec<u8>) + Sync),
    next: &'a AtomicU64,
    status: u16,
    connections: usize,
    warm_up: Duration,
    time: Duration,
}

impl Calls<'_> {
    fn run(&self, servers: &[&Running]) -> anyhow::Result<Outcome> {
        let servers: Vec<_> = servers.iter().map(|server| server.address).collect();
        Load {
            servers: &servers,
            connections: self.connections,
            warm_up: self.warm_up,
            time: self.time,
            pace: Duration::ZERO,
            request: self.request,
            next: self.next,
            end: u64::MAX,
        }
        .run()
    }

    /// Answers in a second; what they cost the servers' processors, in milliseconds each, goes into `costs`.
    fn rate(&self, servers: &[&Running], costs: &mut Vec<f64>) -> anyhow::Result<f64> {
        let before = used(servers)?;
        let outcome = self.run(servers)?;
        costs.push(milliseconds(used(servers)?.saturating_sub(before)) / outcome.total as f64);
        outcome.rate(self.status)
    }

    /// The same for the server of a constant, which is sent the same requests to other paths.
    fn constant(
        &self,
        server: &Constant,
        path: &(dyn Fn(u64, &mut Vec<u8>) + Sync),
    ) -> anyhow::Result<f64> {
        let request = |number: u64, request: &mut Vec<u8>| {
            let mut ours = Vec::new();
            (self.request)(number, &mut ours);
            // The path is between the first two blanks.
            let mut parts = ours.splitn(3, |byte| *byte == b' ');
            request.extend_from_slice(parts.next().unwrap_or_default());
            request.push(b' ');
            path(number, request);
            request.push(b' ');
            let _path = parts.next();
            request.extend_from_slice(parts.next().unwrap_or_default());
        };
        let outcome = Load {
            servers: &[server.address],
            connections: self.connections,
            warm_up: self.warm_up,
            time: self.time,
            pace: Duration::ZERO,
            request: &request,
            next: self.next,
            end: u64::MAX,
        };
        outcome.run()?.rate(200)
    }
}

/// The path of the constant.
fn root(_number: u64, request: &mut Vec<u8>) {
    request.push(b'/');
}

fn used(servers: &[&Running]) -> anyhow::Result<Duration> {
    servers
        .iter()
        .map(|server| server.program.processor_time())
        .sum()
}

impl Stage<'_> {
    fn size(&self) -> Size {
        self.bench.options.size
    }

    fn calls<'b>(
        &self,
        request: &'b (dyn Fn(u64, &mut Vec<u8>) + Sync),
        next: &'b AtomicU64,
        status: u16,
    ) -> Calls<'b> {
        Calls {
            request,
            next,
            status,
            connections: CONNECTIONS,
            warm_up: self.size().turn() / 6,
            time: self.size().turn(),
        }
    }

    fn session(&self, number: u64) -> &Session {
        &self.sessions[number as usize % self.sessions.len()]
    }

    fn get_user(&self, number: u64, request: &mut Vec<u8>) {
        load::get(request, "/api/user/", &self.session(number).access);
    }

    fn log_in(&self, number: u64, request: &mut Vec<u8>) {
        // A stride that meets accounts all over the table.
        let account = number.wrapping_mul(7_919) % self.accounts + 1;
        let body = json!({"email": format!("u{account}@example.com"), "password": PASSWORD});
        load::send(request, "POST", "/api/login/", "", &body.to_string());
    }

    fn ask_for_code(&self, number: u64, request: &mut Vec<u8>) {
        let account = number % self.accounts + 1;
        let body = json!({"email": format!("u{account}@example.com")});
        load::send(
            request,
            "POST",
            "/auth/email_request/",
            "",
            &body.to_string(),
        );
    }
}

// --- rows ---------------------------------------------------------------------------------------

fn login(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let (api, next) = (stage.api(&[])?, AtomicU64::new(1));
    let request = |number: u64, request: &mut Vec<u8>| stage.log_in(number, request);
    let mut calls = stage.calls(&request, &next, 200);
    calls.time = stage.size().long_turn();
    // As many as find a place well within the deadline: beyond that is the flood.
    calls.warm_up = Duration::from_millis(500);
    let (mut costs, mut theirs) = (Vec::new(), Vec::new());
    let pair = in_turns(
        stage.size(),
        || calls.rate(&[&api], &mut costs),
        || {
            let before = process::own_processor_time()?;
            let (rate, count) = limits::hashes(HashCost::default(), calls.time)?;
            let spent = process::own_processor_time()?.saturating_sub(before);
            theirs.push(milliseconds(spent) / f64::from(count));
            Ok(rate)
        },
    )?;
    let (ours, theirs) = (median(costs), median(theirs));
    Ok(vec![
        pair.figure("login / argon2id alone", "/s", Goal::RatioAtLeast(0.95)),
        Figure {
            limit: Some(theirs),
            ratio: Some(ours / theirs),
            ..alone("login, processor time", ours, "ms", Goal::None)
        },
    ])
}

/// A call that is compared with a constant of the same length.
fn against_constant(
    stage: &Stage,
    what: &str,
    calls: &Calls,
    processor: Goal,
) -> anyhow::Result<Vec<Figure>> {
    let api = stage.api(&[])?;
    let mut example = Vec::new();
    (calls.request)(0, &mut example);
    let (_, answer) = load::ask(api.address, &example)?;
    let length = answer
        .split_once("\r\n\r\n")
        .map_or(0, |(_, body)| body.len());
    let constant = Constant::start(length, &stage.bench.options.work, None)?;
    let (mut costs, before) = (Vec::new(), constant.program.processor_time()?);
    let served = calls.next.load(Ordering::Relaxed);
    let pair = in_turns(
        stage.size(),
        || calls.rate(&[&api], &mut costs),
        || calls.constant(&constant, &root),
    )?;
    let spent = constant.program.processor_time()?.saturating_sub(before);
    let all = calls.next.load(Ordering::Relaxed) - served;
    // Of all requests this part went to the constant.
    let part = pair.limit / (pair.limit + pair.ours);
    let theirs = milliseconds(spent) / (all as f64 * part);
    let ours = median(costs);
    Ok(vec![
        pair.figure(
            &format!("{what} / poem's constant"),
            "/s",
            Goal::RatioAtLeast(0.4),
        ),
        Figure {
            limit: Some(theirs),
            ratio: Some(ours / theirs),
            ..alone(format!("{what}, processor time"), ours, "ms", processor)
        },
    ])
}

fn get(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| stage.get_user(number, request);
    let calls = stage.calls(&request, &next, 200);
    against_constant(stage, "GET /api/user/", &calls, Goal::AtMost(0.14))
}

fn refresh(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| {
        let token = &stage.session(number).refresh;
        let body = json!({"refresh": token});
        load::send(request, "POST", "/auth/refresh/", "", &body.to_string());
    };
    let calls = stage.calls(&request, &next, 200);
    against_constant(stage, "POST /auth/refresh/", &calls, Goal::None)
}

/// A call that is compared with commits of one statement, on a database of the same kind and filling.
fn against_commits(
    stage: &Stage,
    what: &str,
    calls: &Calls,
    statement: &Statement,
    redis: bool,
    goal: f64,
) -> anyhow::Result<Vec<Figure>> {
    let api = stage.api(&NO_HASH)?;
    let twin = Stage::new(stage.bench, stage.kind, stage.accounts, CHEAP)?;
    let runtime = &stage.bench.runtime;
    let writer = runtime.block_on(Writer::connect(&twin.url))?;
    let redis = if redis {
        let client = redis::Client::open(stage.bench.options.redis.as_str())?;
        Some(runtime.block_on(redis::aio::ConnectionManager::new(client))?)
    } else {
        None
    };
    let (mut costs, numbers) = (Vec::new(), AtomicU64::new(1));
    let pair = in_turns(
        stage.size(),
        || calls.rate(&[&api], &mut costs),
        || runtime.block_on(writer.commits(statement, redis.as_ref(), &numbers, calls.time)),
    )?;
    Ok(vec![
        pair.figure(what, "/s", Goal::RatioAtLeast(goal)),
        alone(
            format!(
                "{}, processor time",
                what.split(" / ").next().unwrap_or(what)
            ),
            median(costs),
            "ms",
            Goal::None,
        ),
    ])
}

fn patch(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| {
        let body = json!({"username": format!("User {number}")});
        let access = &stage.session(number).access;
        load::send(request, "PATCH", "/api/user/", access, &body.to_string());
    };
    let calls = stage.calls(&request, &next, 200);
    let statement = Statement::Update(stage.accounts);
    against_commits(
        stage,
        "PATCH /api/user/ / UPDATE commits",
        &calls,
        &statement,
        false,
        0.5,
    )
}

fn register(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| {
        let body = json!({
            "email": format!("new{number}@example.com"), "username": format!("New {number}"), "password": PASSWORD,
            "phoneNumber": "+201001234567", "dateBirth": "1990-02-28", "gender": "female",
        });
        load::send(request, "POST", "/api/register/", "", &body.to_string());
    };
    let calls = stage.calls(&request, &next, 201);
    let statement = Statement::InsertUser;
    against_commits(
        stage,
        "register without hash / INSERT commits",
        &calls,
        &statement,
        false,
        0.5,
    )
}

fn email_request(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| stage.ask_for_code(number, request);
    let calls = stage.calls(&request, &next, 201);
    let statement = Statement::InsertReset;
    let what = "email_request / INSERT commits with a push to Redis each";
    let mut figures = against_commits(stage, what, &calls, &statement, true, 0.6)?;
    let rate = figures[0].value;
    figures.insert(
        1,
        alone("email_request", rate, "/s", Goal::AtLeast(1_700.0)),
    );
    Ok(figures)
}

/// Puts so many mails into the outbox while no worker runs, by the front door.
fn fill_outbox(stage: &Stage, mails: usize) -> anyhow::Result<()> {
    let api = stage.api(&[])?;
    let outcome = Load {
        servers: &[api.address],
        connections: CONNECTIONS,
        warm_up: Duration::ZERO,
        time: Duration::from_mins(2),
        pace: Duration::ZERO,
        request: &|number, request| stage.ask_for_code(number, request),
        next: &AtomicU64::new(0),
        end: mails as u64,
    };
    outcome.run()?.rate(201)?;
    Ok(())
}

/// Mails in a second by so many workers that find them waiting; what they cost goes into `costs`, in milliseconds each.
fn drain(stage: &Stage, workers: usize, mails: usize, costs: &mut Vec<f64>) -> anyhow::Result<f64> {
    stage.bench.sink.clear();
    fill_outbox(stage, mails)?;
    let running: Vec<_> = (0..workers)
        .map(|_| stage.worker())
        .collect::<anyhow::Result<_>>()?;
    let taken = stage.bench.sink.wait_for(mails)?;
    let servers: Vec<_> = running.iter().collect();
    // Its start is a few dozen milliseconds of this.
    costs.push(milliseconds(used(&servers)?) / mails as f64);
    let (first, last) = (taken.values().min(), taken.values().max());
    let time = last
        .zip(first)
        .map_or(Duration::ZERO, |(last, first)| *last - *first);
    // What is written down after the last answer belongs to nobody's turn.
    thread::sleep(Duration::from_millis(300));
    Ok((mails - 1) as f64 / time.as_secs_f64())
}

fn mails(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let (count, sink) = (stage.size().mails(), stage.bench.sink.address);
    let stage = &Stage::new(stage.bench, stage.kind, count as u64, CHEAP)?;
    let mut costs = Vec::new();
    let pair = in_turns(
        stage.size(),
        || drain(stage, 1, count, &mut costs),
        || stage.bench.runtime.block_on(limits::mails(sink, count)),
    )?;
    Ok(vec![
        pair.figure(
            "mails by one worker / lettre alone",
            "/s",
            Goal::RatioAtLeast(0.7),
        ),
        alone(
            "mails by one worker, processor time",
            median(costs),
            "ms",
            Goal::None,
        ),
    ])
}

fn latency(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let count = stage.size().timed_mails();
    let stage = &Stage::new(stage.bench, stage.kind, count as u64, CHEAP)?;
    let (api, _worker) = (stage.api(&[])?, stage.worker()?);
    thread::sleep(stage.size().rest());
    stage.bench.sink.clear();
    let mut answered = Vec::new();
    for number in 0..count as u64 {
        let mut request = Vec::new();
        stage.ask_for_code(number, &mut request);
        let (status, _) = load::ask(api.address, &request)?;
        anyhow::ensure!(status == 201, "email_request answered {status}");
        answered.push((number + 1, Instant::now()));
        // Of no length that anything here could fall into step with.
        thread::sleep(Duration::from_micros(40_000 + number * 7_919 % 30_000));
    }
    let taken = stage.bench.sink.wait_for(count)?;
    let mut times: Vec<_> = answered
        .iter()
        .filter_map(|(account, answered)| {
            let taken = taken.get(&format!("u{account}@example.com"))?;
            Some(taken.saturating_duration_since(*answered))
        })
        .collect();
    times.sort_unstable();
    let at = |part| milliseconds(load::percentile(&times, part));
    Ok(vec![
        alone(
            "answered → accepted by SMTP, idle, p50",
            at(0.5),
            "ms",
            Goal::AtMost(15.0),
        ),
        alone(
            "answered → accepted by SMTP, idle, p99",
            at(0.99),
            "ms",
            Goal::AtMost(50.0),
        ),
    ])
}

fn start_and_rest(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    // Of its own: in the other one mails wait, and a worker that sends them is not idle.
    let stage = &Stage::new(stage.bench, stage.kind, stage.accounts, CHEAP)?;
    let mut figures = Vec::new();
    for (name, most) in [("api", 20.0), ("worker", 12.0)] {
        let start = || match name {
            "api" => stage.timed_api(&[]),
            _ => stage.timed_worker(),
        };
        let mut times = Vec::new();
        for _ in 1..stage.size().starts() {
            times.push(milliseconds(start()?.1));
        }
        let (running, time) = start()?;
        times.push(milliseconds(time));
        thread::sleep(stage.size().rest());
        let memory = running.program.memory()?;
        figures.extend([
            alone(
                format!("{name}: start to first 200"),
                median(times),
                "ms",
                Goal::AtMost(60.0),
            ),
            alone(
                format!("{name}: idle memory (PSS)"),
                memory,
                "MiB",
                Goal::AtMost(most),
            ),
        ]);
    }
    Ok(figures)
}

fn million(few: &Stage) -> anyhow::Result<Vec<Figure>> {
    let few = &Stage::new(few.bench, few.kind, few.accounts, CHEAP)?;
    let many = &Stage::new(few.bench, few.kind, few.size().many(), CHEAP)?;
    let (small, large) = (few.api(&NO_HASH)?, many.api(&NO_HASH)?);
    let next = AtomicU64::new(1);
    let mut figures = Vec::new();
    let mut compare = |what: &str,
                       goal: f64,
                       percentile: f64,
                       one: &(dyn Fn(u64, &mut Vec<u8>) + Sync),
                       other: &(dyn Fn(u64, &mut Vec<u8>) + Sync)|
     -> anyhow::Result<()> {
        // The time of one answer, by a single client.
        let time = |calls: Calls, api: &Running| -> anyhow::Result<f64> {
            let calls = Calls {
                connections: 1,
                ..calls
            };
            let outcome = calls.run(&[api])?;
            outcome.rate(200)?;
            Ok(milliseconds(outcome.percentile(percentile)))
        };
        let pair = in_turns(
            few.size(),
            || time(many.calls(other, &next, 200), &large),
            || time(few.calls(one, &next, 200), &small),
        )?;
        let what = format!("{what}: {} accounts / {}", many.accounts, few.accounts);
        figures.push(pair.figure(&what, "ms", Goal::RatioAtMost(goal)));
        Ok(())
    };
    // At its real cost the hash, the same on both sides, would hide all else.
    compare(
        "login without hash",
        1.2,
        0.5,
        &|number, request| few.log_in(number, request),
        &|number, request| many.log_in(number, request),
    )?;
    compare(
        "GET /api/user/",
        1.2,
        0.5,
        &|number, request| few.get_user(number, request),
        &|number, request| many.get_user(number, request),
    )?;
    let (one, other) = (
        Administrator::sign_in(&small)?,
        Administrator::sign_in(&large)?,
    );
    compare(
        "list page (/admin/users/), p95",
        3.0,
        0.95,
        &|number, request| one.look(number, request),
        &|number, request| other.look(number, request),
    )?;
    Ok(figures)
}

fn flood(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let time = stage.size().long_turn() * 2;
    let api = stage.api(&[])?;
    let next = AtomicU64::new(1);
    let get_user = |number: u64, request: &mut Vec<u8>| stage.get_user(number, request);
    let servers = [api.address];
    let readers = Load {
        servers: &servers,
        connections: 4,
        warm_up: Duration::from_millis(500),
        time,
        // Some 400 a second: people who are logged in, not a second flood.
        pace: Duration::from_millis(10),
        request: &get_user,
        next: &next,
        end: u64::MAX,
    };
    thread::sleep(stage.size().rest());
    let rest = api.program.memory()?;
    let idle = readers.run()?;
    idle.rate(200)?;

    let log_in = |number: u64, request: &mut Vec<u8>| stage.log_in(number, request);
    let clients = stage.size().flood();
    let flood = Calls {
        connections: clients,
        warm_up: Duration::from_secs(1),
        time: time + Duration::from_secs(2),
        ..stage.calls(&log_in, &next, 200)
    };
    let (during, logins) = thread::scope(|scope| {
        let logins = scope.spawn(|| flood.run(&[&api]));
        thread::sleep(Duration::from_secs(1));
        let during = readers.run();
        (during, logins.join())
    });
    let (during, logins) = (during?, logins.map_err(|_| anyhow::anyhow!("a panic"))??);
    during.rate(200)?;
    let cores = limits::cores() as f64;
    let hash = f64::from(HashCost::default().memory_kib) / 1024.0;
    let (quiet, loud) = (
        milliseconds(idle.percentile(0.99)),
        milliseconds(during.percentile(0.99)),
    );
    Ok(vec![
        Figure {
            limit: Some(quiet),
            ratio: Some(loud / quiet),
            ..alone(
                format!("GET's p99 under a login flood by {clients} connections / idle"),
                loud,
                "ms",
                Goal::RatioAtMost(3.0),
            )
        },
        alone(
            "login's p99 under the flood, refusals included",
            milliseconds(logins.percentile(0.99)),
            "ms",
            Goal::AtMost(2.0 * QUEUE_DEADLINE),
        ),
        alone(
            "peak memory under the flood",
            api.program.most_memory()?,
            "MiB",
            Goal::AtMost(rest + cores * hash + 32.0),
        ),
    ])
}

fn scale(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let count = stage.size().mails();
    let mailing = &Stage::new(stage.bench, stage.kind, count as u64, CHEAP)?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let rates = in_turns(
        stage.size(),
        || drain(mailing, 2, count, &mut two),
        || drain(mailing, 1, count, &mut one),
    )?;
    figures.push(by_processor_time("workers", median(one), median(two)));
    figures.push(rates.figure("mails: 2 workers / 1, on these cores", "/s", Goal::None));
    if stage.kind == Kind::Postgres {
        let (first, second) = (stage.api(&[])?, stage.api(&[])?);
        let next = AtomicU64::new(1);
        let request = |number: u64, request: &mut Vec<u8>| stage.get_user(number, request);
        let calls = stage.calls(&request, &next, 200);
        // Each has as many clients as the one by itself: what requests of one moment share is shared by as many.
        let twice = Calls {
            connections: 2 * CONNECTIONS,
            ..stage.calls(&request, &next, 200)
        };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let rates = in_turns(
            stage.size(),
            || twice.rate(&[&first, &second], &mut two),
            || calls.rate(&[&first], &mut one),
        )?;
        figures.push(by_processor_time("APIs", median(one), median(two)));
        figures.push(rates.figure(
            "GET: 2 APIs with twice the clients / 1, on these cores",
            "/s",
            Goal::None,
        ));
    }
    Ok(figures)
}

/// What two would do with twice the cores: twice as much, less what each job costs more.
fn by_processor_time(what: &str, one: f64, two: f64) -> Figure {
    Figure {
        limit: Some(one),
        ratio: Some(2.0 * one / two),
        ..alone(
            format!("2 {what} / 1, by processor time a job"),
            two,
            "ms",
            Goal::RatioAtLeast(1.8),
        )
    }
}

/// What the packages leave of the limits that a GET, a refresh, a login and a worker have.
fn bare(stage: &Stage) -> anyhow::Result<Vec<Figure>> {
    let (options, sink) = (stage.bench.options, stage.bench.sink.address);
    let next = AtomicU64::new(1);
    let request = |number: u64, request: &mut Vec<u8>| stage.get_user(number, request);
    let calls = stage.calls(&request, &next, 200);
    let asking = Constant::start(ANSWER, &options.work, Some(&stage.url))?;
    let constant = Constant::start(ANSWER, &options.work, None)?;
    let mut figures = Vec::new();
    for (route, what) in [
        (
            "found",
            "bare: a session's look-up behind poem / poem's constant",
        ),
        (
            "used",
            "bare: the same and a note of its use / poem's constant",
        ),
    ] {
        let path = |number, request: &mut Vec<u8>| {
            let path = format!("/{route}/{}", stage.session(number).id);
            request.extend_from_slice(path.as_bytes());
        };
        let pair = in_turns(
            stage.size(),
            || calls.constant(&asking, &path),
            || calls.constant(&constant, &root),
        )?;
        figures.push(pair.figure(what, "/s", Goal::None));
    }
    if stage.kind == Kind::Postgres && !options.no_sqlite {
        // The rest has no database.
        return Ok(figures);
    }
    let time = stage.size().long_turn();
    let hashing = Calls { time, ..calls };
    let verified = |_, request: &mut Vec<u8>| request.extend_from_slice(b"/verified");
    let pair = in_turns(
        stage.size(),
        || hashing.constant(&asking, &verified),
        || Ok(limits::hashes(HashCost::default(), time)?.0),
    )?;
    let what = "bare: a password's verification behind poem / argon2id alone";
    figures.push(pair.figure(what, "/s", Goal::None));
    let (count, runtime) = (stage.size().mails(), &stage.bench.runtime);
    let pair = in_turns(
        stage.size(),
        || runtime.block_on(bare::mails(&options.redis, sink, count)),
        || runtime.block_on(limits::mails(sink, count)),
    )?;
    let what = "bare: mails by apalis and lettre / lettre alone";
    figures.push(pair.figure(what, "/s", Goal::None));
    Ok(figures)
}
