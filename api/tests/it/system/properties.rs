//! Every parser of foreign input, on what nobody would send: the fuzz targets' checks (`api/fuzz/parsers.rs`), on the
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

/// What a parser is given; a failure shows it as text.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// One change of a seed.
#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Insert(Vec<u8>),
    Remove,
    Repeat,
    Cut,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<u8>().prop_map(Change::Replace),
        any::<char>().prop_map(|c| Change::Insert(c.to_string().into_bytes())),
        vec(any::<u8>(), 1..8).prop_map(Change::Insert),
        proptest::char::range(' ', '~').prop_map(|c| Change::Insert(c.to_string().into_bytes())),
        Just(Change::Remove),
        Just(Change::Repeat),
        Just(Change::Cut),
    ]
}

fn apply(mut bytes: Vec<u8>, changes: Vec<(Index, Change)>) -> Vec<u8> {
    for (place, change) in changes {
        let place = place.index(bytes.len() + 1);
        match change {
            Change::Replace(byte) if place < bytes.len() => bytes[place] = byte,
            Change::Remove if place < bytes.len() => drop(bytes.remove(place)),
            Change::Replace(_) | Change::Remove => {}
            Change::Insert(new) => drop(bytes.splice(place..place, new)),
            Change::Repeat => bytes.extend_from_within(place..),
            Change::Cut => bytes.truncate(place),
        }
    }
    bytes
}

/// Seeds of a target with some changes, any text, and any bytes.
fn inputs(target: &str) -> impl Strategy<Value = Input> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let seeds: Vec<_> = fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let changes = vec((any::<Index>(), change()), 0..6);
    prop_oneof![
        6 => (proptest::sample::select(seeds), changes)
            .prop_map(|(seed, changes)| apply(seed, changes)),
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

        /// No target is forgotten, here or there.
        #[test]
        fn every_fuzz_target_runs_here_too() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut there: Vec<_> = fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            there.sort();
            let mut here = vec![$(stringify!($target)),*];
            here.sort_unstable();
            assert_eq!(here, there);
        }
    };
}

parsers! {
    any_json_body_is_read_as_it_is_or_refused: json,
    any_form_body_is_read_or_refused: form,
    any_multipart_body_is_read_or_refused: multipart,
    any_data_url_decodes_to_its_bytes_or_is_refused: data_url,
    any_picture_is_written_anew_within_the_caps_or_refused: picture,
    any_address_is_kept_as_it_is_or_refused: email,
    any_user_name_is_kept_as_it_is_or_refused: username,
    any_number_becomes_e164_or_is_refused: phone_number,
    any_gender_is_kept_as_it_is_or_refused: gender,
    any_date_is_written_in_one_way_or_refused: date,
    any_code_is_digits_or_refused: one_time_code,
    any_password_is_judged: password,
    any_token_that_was_not_signed_here_is_refused: token,
    any_forwarding_header_gives_one_address: client_ip,
    any_rate_is_printed_as_it_is_read_or_refused: rate,
    any_smtp_url_is_made_of_its_parts_or_refused: smtp_url,
    any_configuration_is_read_or_its_faults_are_named: configuration,
    any_rights_are_written_in_one_order_or_refused: permissions,
    any_moment_is_one_that_there_is_or_refused: since,
    any_noted_head_is_printed_as_it_is_read_or_refused: noted,
    any_order_and_any_place_of_a_list_is_printed_as_it_is_read_or_refused: list,
    any_job_names_a_mail_or_nothing: job,
    any_request_id_is_plain_or_replaced: request_headers,
}

/// What can be said to an administrator's lists, to the release of a limit, and in the headers of any page: each is
/// answered, and no answer is a failure of ours.
#[test]
fn any_search_any_name_of_a_limit_and_any_cookie_is_answered() {
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
