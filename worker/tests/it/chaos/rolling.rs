//! A new version rolled out under load: two APIs behind HAProxy, three workers, PostgreSQL and one Redis, all as plain
//! processes, and each API and worker replaced in turn.

use std::{
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use latchkey_testing::{Process, WAIT_TIMEOUT};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Api, Installation, scaled, user};

/// The number of clients that send requests without a pause.
const CLIENTS: usize = 4;

/// The time until HAProxy uses a restarted API: two successful checks a second apart, and a margin.
const SEEN: Duration = Duration::from_secs(4);

/// Clients see only successful responses while both APIs and all workers are replaced, and every code arrives once.
#[tokio::test]
async fn postgres_rolling_restart_fails_no_request_loses_no_mail() {
    let mut it = Installation::on_postgres(CLIENTS).await;
    for (key, value) in [
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("DRAIN_SECONDS", "4"),
        ("ACTIVATION", "none"),
        ("LIMIT_LOGIN_IP", "100000/1"),
    ] {
        it.app.set(key, value);
    }
    let binds = [free_address(), free_address()];
    let mut apis = Vec::new();
    for bind in &binds {
        apis.push(start_api(&mut it, bind).await);
    }
    let mut workers = it.workers(3).await;
    let balancer = Balancer::start(&binds).await;
    let (stop, accepted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let access = signed_in(&it, &balancer.url).await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(
            balancer.url.clone(),
            number,
            access.clone(),
            Arc::clone(&stop),
            Arc::clone(&accepted),
        ));
    }

    for _ in 0..scaled(1, 5) {
        for (api, bind) in apis.iter_mut().zip(&binds) {
            api.process.terminate().await;
            assert_eq!(api.process.exit().await.code(), Some(0));
            *api = start_api(&mut it, bind).await;
            sleep(SEEN).await;
        }
        for worker in &mut workers {
            let next = it.worker().await;
            let old = std::mem::replace(worker, next);
            old.terminate().await;
            let (code, log) = old.output().await;
            assert_eq!(code, Some(0), "{log}");
        }
    }

    stop.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    // The account that signed in got its welcome mail, too.
    let mails = accepted.load(Ordering::Relaxed) + 1;
    it.wait_until_all_sent(mails).await;
    it.app.wait_until_settled().await;
    let counts = it.report("every process replaced under load").await;
    counts.assert_none_lost(mails);
    assert_eq!(counts.duplicates, 0);
}

/// Requests a code and reads the profile repeatedly. Every response must be a success.
async fn client(
    url: String,
    number: usize,
    access: String,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
) {
    let http = reqwest::Client::new();
    while !stop.load(Ordering::Relaxed) {
        let response = http
            .post(format!("{url}/auth/email_request/"))
            .form(&[("email", user(number))])
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
        accepted.fetch_add(1, Ordering::Relaxed);
        let read = http
            .get(format!("{url}/api/user/"))
            .bearer_auth(&access)
            .send()
            .await
            .unwrap();
        assert_eq!(read.status(), 200, "{}", read.text().await.unwrap());
    }
}

async fn signed_in(it: &Installation, url: &str) -> String {
    let password = "velvet harbour lantern";
    let form = [
        ("email", "roller@example.com"),
        ("username", "Roller"),
        ("password", password),
    ];
    let registered = it
        .http
        .post(format!("{url}/api/register/"))
        .form(&form)
        .send();
    assert_eq!(registered.await.unwrap().status(), 201);
    let login = it.http.post(format!("{url}/api/login/"));
    let answer = login
        .form(&[("email", "roller@example.com"), ("password", password)])
        .send()
        .await
        .unwrap();
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    body["token"]["access"].as_str().unwrap().to_owned()
}

async fn start_api(it: &mut Installation, bind: &str) -> Api {
    it.app.set("BIND", bind);
    it.api().await
}

/// HAProxy with the configuration of `deploy/`.
struct Balancer {
    url: String,
    _process: Process,
}

impl Balancer {
    async fn start(apis: &[String; 2]) -> Self {
        let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy.cfg");
        let bind = free_address();
        let variables = [
            ("LATCHKEY_BIND", bind.as_str()),
            ("LATCHKEY_API_1", apis[0].as_str()),
            ("LATCHKEY_API_2", apis[1].as_str()),
        ];
        let arguments = ["-db", "-f", configuration.to_str().unwrap()];
        let process = Process::spawn("haproxy", &arguments, variables);
        let url = format!("http://{bind}");
        let ready = async {
            while reqwest::get(format!("{url}/health/ready"))
                .await
                .is_ok_and(|answer| answer.status() != 200)
            {
                sleep(Duration::from_millis(100)).await;
            }
            // Until HAProxy sees both.
            sleep(SEEN).await;
        };
        assert!(
            timeout(WAIT_TIMEOUT, ready).await.is_ok(),
            "{}",
            process.lines().join("\n")
        );
        Self {
            url,
            _process: process,
        }
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
