//! Property tests of every parser of untrusted input: the checks of the fuzz targets (`api/fuzz/parsers.rs`), on the
//! stable toolchain.

use std::{fmt, fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde_json::json;

use crate::{support::random::check_property, support::test_app::TestApp};

#[path = "../../../fuzz/parsers.rs"]
mod parsers;

const CASES: u32 = 500;

/// Input of a parser, which a failure shows as text.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// One mutation of a seed.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(u8),
    Insert(Vec<u8>),
    Remove,
    Repeat,
    Cut,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        any::<u8>().prop_map(Mutation::Replace),
        any::<char>().prop_map(|c| Mutation::Insert(c.to_string().into_bytes())),
        vec(any::<u8>(), 1..8).prop_map(Mutation::Insert),
        proptest::char::range(' ', '~').prop_map(|c| Mutation::Insert(c.to_string().into_bytes())),
        Just(Mutation::Remove),
        Just(Mutation::Repeat),
        Just(Mutation::Cut),
    ]
}

fn apply(mut bytes: Vec<u8>, mutations: Vec<(Index, Mutation)>) -> Vec<u8> {
    for (position, mutation) in mutations {
        let position = position.index(bytes.len() + 1);
        match mutation {
            Mutation::Replace(byte) if position < bytes.len() => bytes[position] = byte,
            Mutation::Remove if position < bytes.len() => drop(bytes.remove(position)),
            Mutation::Replace(_) | Mutation::Remove => {}
            Mutation::Insert(new) => drop(bytes.splice(position..position, new)),
            Mutation::Repeat => bytes.extend_from_within(position..),
            Mutation::Cut => bytes.truncate(position),
        }
    }
    bytes
}

/// Generates mutated seeds of a target, any text, and any bytes.
fn inputs(target: &str) -> impl Strategy<Value = Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let seeds: Vec<_> = fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let mutations = vec((any::<Index>(), mutation()), 0..6);
    prop_oneof![
        6 => (proptest::sample::select(seeds), mutations)
            .prop_map(|(seed, mutations)| apply(seed, mutations)),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..200),
    ]
    .prop_map(Input)
}

macro_rules! parsers {
    ($($test:ident: $target:ident,)*) => {
        $(
            #[test]
            fn $test() {
                check_property(CASES, &inputs(stringify!($target)), |data| parsers::$target(&data.0));
            }
        )*

        /// No fuzz target lacks a property test.
        #[test]
        fn every_fuzz_target_has_a_property_test() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut targets: Vec<_> = fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            targets.sort();
            let mut tested = vec![$(stringify!($target)),*];
            tested.sort_unstable();
            assert_eq!(tested, targets);
        }
    };
}

parsers! {
    json_body_is_preserved_or_rejected: json,
    form_body_is_parsed_or_rejected: form,
    multipart_body_is_parsed_or_rejected: multipart,
    data_url_decodes_correctly_or_is_rejected: data_url,
    picture_is_reencoded_within_bounds_or_rejected: picture,
    email_is_preserved_or_rejected: email,
    username_is_preserved_or_rejected: username,
    phone_number_becomes_e164_or_is_rejected: phone_number,
    gender_is_preserved_or_rejected: gender,
    date_has_one_format_or_is_rejected: date,
    one_time_code_is_digits_or_rejected: one_time_code,
    password_check_accepts_any_text: password,
    token_with_foreign_signature_is_rejected: token,
    forwarding_header_yields_one_client_ip: client_ip,
    rate_round_trips_or_is_rejected: rate,
    smtp_url_parts_are_kept_or_rejected: smtp_url,
    configuration_is_read_or_errors_are_named: configuration,
    permissions_have_one_order_or_are_rejected: permissions,
    since_is_a_valid_time_or_rejected: since,
    expected_head_round_trips_or_is_rejected: expected_head,
    list_order_and_cursor_round_trip_or_fail: list,
    job_names_a_mail_or_is_rejected: job,
    request_id_is_plain_or_replaced: request_headers,
}

/// No search, limit name or header causes a server error.
#[test]
fn admin_queries_and_headers_never_cause_server_errors() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (app, access) = runtime.block_on(async {
        let app = TestApp::new().await;
        app.create_superuser("root@example.com").await;
        let tokens = app
            .login("root@example.com", crate::support::test_app::PASSWORD)
            .await;
        (app, tokens.access)
    });
    let words = || {
        prop_oneof![
            4 => any::<String>(),
            1 => "[%_*'\"\\\\ ]{0,9}",
            1 => "(AND|OR|NEAR|NOT|\"|\\(|\\)|\\^|:| |a){0,9}",
            1 => inputs("list").prop_map(|input| String::from_utf8_lossy(&input.0).into_owned()),
        ]
    };
    let header = || inputs("request_headers").prop_map(|input| input.0);
    let any = (words(), words(), header(), header(), header());
    check_property(120, &any, |(one, other, id, trace, cookie)| {
        let plain = |bytes: Vec<u8>| HeaderValue::from_bytes(&bytes).ok();
        let cookie = [&b"latchkey_admin="[..], &cookie].concat();
        let headers: HeaderMap = [
            ("x-request-id", plain(id)),
            ("traceparent", plain(trace)),
            ("cookie", plain(cookie)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.parse().unwrap(), value?)))
        .collect();
        let get = |path: &str, query: &[(&str, &str)]| {
            let query: String = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(query)
                .finish();
            let request = app.request(Method::GET, &format!("{path}?{query}"));
            request.headers(headers.clone()).bearer_auth(&access)
        };
        let release = app.request(Method::POST, "/api/admin/limits/release/");
        let release = release.bearer_auth(&access).json(&json!({"name": one}));
        for request in [
            get("/api/admin/users/", &[("q", &one)]),
            get("/api/admin/users/", &[("sort", &one), ("after", &other)]),
            get("/api/admin/users/", &[("sort", "-email"), ("before", &one)]),
            get(
                "/api/admin/mails/",
                &[("recipient", &one), ("after", &other)],
            ),
            get("/api/admin/audit/", &[("event", &one), ("actor", &other)]),
            get("/api/admin/audit/", &[("since", &one), ("before", &other)]),
            release,
            get("/admin/users/", &[("q", &one), ("sort", &other)]),
        ] {
            let answer = runtime.block_on(app.send(request));
            assert!(
                [200, 303, 400, 404].contains(&answer.status.as_u16()),
                "{one:?} {other:?}: {answer:?}"
            );
        }
    });
}
