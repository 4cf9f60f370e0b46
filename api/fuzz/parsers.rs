//! Properties of every parser of untrusted input, one function per parser. A function panics if its property does not hold.
//!
//! The fuzz targets call these functions with the fuzzer's input, `api/tests/it/system/properties.rs` with proptest's.

use std::{
    fmt::{Display, Write as _},
    io::Cursor,
    net::IpAddr,
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, NaiveDate, TimeDelta};
use image::{ImageDecoder as _, ImageFormat, ImageReader};
use latchkey_api::config::proxies::{Proxies, ProxyHeader};
use latchkey_api::{
    accounts::pictures::{MAX_STORED_BYTES, PictureStore, Upload},
    auth::jwt::{RefreshToken, ResetToken, TokenIssuer, TokenOwner, TokenRules, key_set::KeySet},
    config::{Config, access_token_algorithm::AccessTokenAlgorithm},
    http::{
        body::{
            Body, data_url,
            fields::{Fields, FromField as _},
        },
        client_ip::ClientIp,
        request_context::{REQUEST_ID, RequestId},
    },
    passwords::{Owner, Password, PasswordPolicy},
};
use latchkey_shared::config::rate::Rate;
use latchkey_shared::{
    config::settings::Settings,
    models::{
        audit::Head,
        signing_key::KeySchedule,
        user::search::{PageCursor, Sort},
    },
    queue::Queue,
    redis::one_time_code::Otp,
    telemetry::trace,
    types::{
        decimal,
        email::Email,
        gender::Gender,
        permission::{Permission, Permissions},
        phone_number::PhoneNumber,
        time_arg::Since,
        username::Username,
    },
};
use latchkey_worker::config::smtp_url::{SmtpUrl, Tls};
use poem::{
    Request, RequestBody,
    http::{HeaderMap, HeaderValue},
};
use poem_openapi::{ApiExtractor as _, ExtractParamOptions};
use ring::hmac;
use serde_json::Value;
use uuid::Uuid;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Marks secret values in inputs: no message or debug output may contain it.
const SECRET_MARKER: char = '⚿';

/// JSON bodies: each accepted field has the value that `serde_json` reads, and there are at most 64 fields.
pub fn json(data: &[u8]) {
    let Some(mut fields) = body("application/json", data) else {
        return;
    };
    // serde_json rejects deeper nesting than the API; such bodies have no reference value.
    let Ok(Value::Object(members)) = serde_json::from_slice(data) else {
        return;
    };
    assert!(
        members.len() <= 64,
        "{} fields were accepted",
        members.len()
    );
    for (name, value) in members {
        let parsed = fields.required::<String>(&name);
        match value {
            Value::String(text) if !text.trim().is_empty() => {
                assert_eq!(parsed.ok().as_deref(), Some(text.trim()), "{name}");
            }
            Value::Number(number) => {
                let parsed = parsed.unwrap_or_else(|_| panic!("{number} was rejected"));
                assert_eq!(parsed.parse::<f64>().ok(), number.as_f64(), "{name}");
            }
            _ => assert!(parsed.is_err(), "{name}"),
        }
    }
}

/// Form bodies: accepted fields are trimmed and not empty, and there are at most 64.
pub fn form(data: &[u8]) {
    if let Some(mut fields) = body("application/x-www-form-urlencoded", data) {
        assert!(
            data.split(|byte| *byte == b'&')
                .filter(|pair| !pair.is_empty())
                .count()
                <= 64
        );
        expect_trimmed(&mut fields);
    }
}

/// Multipart bodies: accepted fields are trimmed and not empty.
pub fn multipart(data: &[u8]) {
    if let Some(mut fields) = body("multipart/form-data; boundary=b", data) {
        expect_trimmed(&mut fields);
    }
}

fn expect_trimmed(fields: &mut Fields) {
    for name in ["email", "a", "b", ""] {
        if let Ok(Some(text)) = fields.optional::<String>(name) {
            assert!(!text.is_empty() && text.trim() == text, "{text:?}");
        }
    }
}

/// Returns the fields of a body as a handler gets them, or `None` if the body is rejected.
fn body(content_type: &str, data: &[u8]) -> Option<Fields> {
    let request = Request::builder().content_type(content_type).finish();
    let mut body = RequestBody::new(data.to_vec().into());
    let read = async {
        let body: Body<'_, String> =
            Body::from_request(&request, &mut body, ExtractParamOptions::default()).await?;
        Ok::<_, poem::Error>(body.read().await?.fields)
    };
    block_on(read).ok()
}

/// `data:` URLs: an accepted URL is the canonical Base64 of its bytes.
pub fn data_url(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(bytes) = data_url::decode(text) {
        assert!(bytes.len() <= text.len());
        let again = format!(
            "data:image/png;base64,{}",
            base64::engine::general_purpose::STANDARD.encode(&bytes)
        );
        assert_eq!(data_url::decode(&again).ok(), Some(bytes));
        let (_, encoded) = text.trim().split_once(',').unwrap_or_default();
        assert!(again.ends_with(encoded), "{text:?} is not canonical");
    }
}

/// Pictures: an accepted picture is stored as a PNG or JPEG of at most 512 × 512 pixels and [`MAX_STORED_BYTES`], without
/// metadata.
pub fn picture(data: &[u8]) {
    let store = PictureStore::new(
        "nowhere".as_ref(),
        &"http://localhost".parse().expect("a URL"),
        512,
    );
    let Ok(upload) = Upload::new(data.to_vec()) else {
        return;
    };
    let Ok(picture) = block_on(store.process(upload)) else {
        return;
    };
    assert!(picture.as_bytes().len() <= MAX_STORED_BYTES);
    let reader = ImageReader::new(Cursor::new(picture.as_bytes()))
        .with_guessed_format()
        .expect("memory can be read");
    let format = reader.format().expect("a known format");
    assert!(matches!(format, ImageFormat::Png | ImageFormat::Jpeg));
    let mut decoder = reader.into_decoder().expect("a picture");
    let (width, height) = decoder.dimensions();
    assert!(width.max(height) <= 512);
    assert!(decoder.exif_metadata().is_ok_and(|exif| exif.is_none()));
    assert!(decoder.icc_profile().is_ok_and(|profile| profile.is_none()));
}

/// Emails: the printed form parses to an equal email, and an email's key is an email with that same key.
pub fn email(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(email) = text.parse::<Email>() {
        let shown = email.to_string();
        assert_eq!(shown.parse(), Ok(email.clone()), "of {text:?}");
        assert!(shown.len() <= 254 && !shown.contains(char::is_control));
        let (local, domain) = shown.rsplit_once('@').expect("an @");
        assert_eq!((local, domain), (email.local_part(), email.domain()));
        assert!(!local.is_empty() && domain.contains('.'), "{text:?}");
        let ascii = email.ascii_domain();
        assert!(ascii.is_ascii() && ascii.len() <= 253, "{ascii}");
        let in_ascii: Email = email.to_ascii_domain().parse().expect("the same mailbox");
        let key = email.key();
        assert_eq!(in_ascii.key(), key, "of {text:?}");
        let again: Email = key.as_str().parse().expect("a key is an email");
        assert_eq!(again.as_str(), key.as_str());
        assert_eq!(again.key(), key, "of {text:?}");
        let debugged = format!("{email:?}");
        assert!(local.len() < 12 || !debugged.contains(local), "{debugged}");
    }
}

/// Usernames: 1 to 45 characters, not blank, without control and invisible characters.
pub fn username(data: &[u8]) {
    if let Some(name) = read::<Username>(data) {
        assert!((1..=45).contains(&name.as_str().chars().count()));
        assert!(!name.as_str().contains(char::is_control));
        assert!(
            !name
                .as_str()
                .contains(['\u{200b}', '\u{3164}', '\u{202e}', '\u{2066}'])
        );
        assert!(!name.as_str().trim().is_empty());
    }
}

/// Phone numbers: E.164, at most 15 digits.
pub fn phone_number(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(number) = text.parse::<PhoneNumber>() {
        let digits = number.as_str().strip_prefix('+').expect("a plus");
        assert!((1..=15).contains(&digits.len()), "{number}");
        assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
        assert_eq!(number.as_str().parse(), Ok(number), "of {text:?}");
    }
}

/// Genders: an accepted value prints as it was written.
pub fn gender(data: &[u8]) {
    read::<Gender>(data);
}

/// Dates of birth: the only accepted format is `YYYY-MM-DD`, in the digits of any script, from 1900 on.
pub fn date(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(date) = NaiveDate::from_field(text) {
        let text = decimal::to_ascii(text);
        assert_eq!(date.to_string(), text);
        assert!(text.len() == 10 && *text >= *"1900-01-01");
    }
}

/// One-time codes, typed by users and stored: accepted codes consist of digits, and debug output hides them.
pub fn one_time_code(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    for code in [Otp::from_typed(text, 6), Otp::from_number(text, 6)]
        .into_iter()
        .flatten()
    {
        let digits = code.expose();
        assert!(digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        let again = Otp::from_typed(digits, 6).expect("digits are a code");
        assert!(again.matches(&code));
    }
    if let Ok(code) = text.parse::<Otp>() {
        assert_eq!(code.expose(), text);
        assert!((4..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()));
        assert!(code.matches(&code.clone()) && !format!("{code:?}").contains(text));
    }
}

/// Passwords: normalization is idempotent and keeps the maximum of 128 characters, and the policy accepts any text as input.
pub fn password(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(password) = text.parse::<Password>() else {
        return;
    };
    let normalized = str::from_utf8(password.expose_to_hash()).expect("UTF-8");
    assert!(normalized.chars().count() <= 128);
    let again: Password = normalized.parse().expect("an accepted password");
    assert_eq!(again.expose_to_hash(), normalized.as_bytes());
    let (email, username, number) = (
        "ada.lovelace@example.com".parse().expect("an email"),
        "Countess Ada".parse().expect("a username"),
        "+201001234567".parse().expect("a phone number"),
    );
    let owner = Owner {
        email: &email,
        username: &username,
        phone_number: Some(&number),
        date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
    };
    let length = normalized.chars().count();
    let policy = PasswordPolicy::default();
    if policy.check(&again, Some(owner)).is_ok() {
        assert!(length >= policy.min_length);
    }
}

/// Tokens: a token with a foreign signature is rejected. A token with a valid signature is accepted only with all claims,
/// and only as its own type.
pub fn token(data: &[u8]) {
    let issuer = token_issuer();
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a moment");
    if let Ok(text) = str::from_utf8(data) {
        assert!(issuer.verify_access(text, now).is_err());
        let reset = text.parse::<ResetToken>();
        assert_eq!(reset.is_ok(), text.len() <= 2_048);
        if let Ok(token) = text.parse::<RefreshToken>() {
            assert!(token.expose() == text && !format!("{token:?}").contains(".e"));
            assert!(issuer.verify_refresh(&token, now).is_err());
        }
    }

    let signed = sign(data);
    let is_access = issuer.verify_access(&signed, now).is_ok();
    let is_refresh = signed
        .parse()
        .is_ok_and(|token| issuer.verify_refresh(&token, now).is_ok());
    assert!(!(is_access && is_refresh));
    if is_access || is_refresh {
        let claims: Value = serde_json::from_slice(data).expect("claims");
        let token_type = if is_access { "access" } else { "refresh" };
        assert_eq!(claims["token_type"], token_type);
        assert!(claims["exp"].as_i64() > Some(now.timestamp()));
    }

    // Changes one byte of a valid token.
    if let [position, change, ..] = *data {
        let owner = TokenOwner {
            user_id: 1,
            email_verified: true,
        };
        let valid = issuer.access(owner, Uuid::from_u128(7), now);
        let valid = valid.expect("a token");
        let mut changed = valid.expose().as_bytes().to_vec();
        let position = usize::from(position) * (changed.len() - 1) / 255;
        changed[position] ^= change & 0x7f;
        let changed = String::from_utf8(changed).expect("ASCII");
        let same = changed == valid.expose();
        let accepted = issuer.verify_access(&changed, now).is_ok();
        assert_eq!(accepted, same, "{changed}");
    }
}

/// Returns an issuer that signs both types of tokens with the same secret.
fn token_issuer() -> TokenIssuer {
    let rules = TokenRules {
        issuer: "https://accounts.example.com".to_owned(),
        audience: None,
        algorithm: AccessTokenAlgorithm::Hs256,
        secret: Some(KEY.as_bytes().to_vec()),
        original_secret: None,
        access: TimeDelta::minutes(5),
        refresh: TimeDelta::days(10),
    };
    let keys = KeySet::empty(KeySchedule {
        access_token: rules.access,
        max_age: TimeDelta::minutes(5),
        key_lifetime: TimeDelta::days(30),
    });
    TokenIssuer::new(KEY.as_bytes(), rules, keys)
}

/// Returns a token with these claims and a valid signature.
fn sign(claims: &[u8]) -> String {
    let body = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"HS256"}"#),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()),
        body.as_bytes(),
    );
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// `Forwarded` and `X-Forwarded-For`: headers from an untrusted address are ignored, and a client IP is canonical. The first
/// byte of the input selects the header, and the rest is its value.
pub fn client_ip(data: &[u8]) {
    let [kind, value @ ..] = data else {
        return;
    };
    let Ok(value) = value.try_into() else {
        return;
    };
    let mut headers = HeaderMap::new();
    let name = if kind & 1 == 0 {
        "forwarded"
    } else {
        "x-forwarded-for"
    };
    headers.insert(name, value);
    let trusted = Proxies {
        networks: vec!["10.0.0.0/8".parse().expect("a network")],
        header: ProxyHeader::Either,
    };
    let (untrusted, proxy) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([10, 0, 0, 1]));

    let client_ip = ClientIp::resolve(Some(untrusted), &headers, &trusted);
    assert_eq!(client_ip.address(), Some(untrusted.to_string()));
    let client_ip = ClientIp::resolve(Some(proxy), &headers, &trusted);
    let address: IpAddr = client_ip
        .address()
        .and_then(|address| address.parse().ok())
        .expect("an address");
    assert_eq!(address.to_canonical(), address);
    match address {
        IpAddr::V4(_) => assert_eq!(client_ip.network(), address.to_string()),
        IpAddr::V6(_) => assert!(
            client_ip.network().ends_with("/64"),
            "{}",
            client_ip.network()
        ),
    }
}

/// Rates: the printed form parses to an equal rate.
pub fn rate(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(rate) = text.parse::<Rate>() {
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }
}

/// Staff permissions: sorted, printed in that order, and complete with the permissions that they require.
pub fn permissions(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(permission) = text.parse::<Permission>() {
        assert_eq!(permission.as_str(), text);
    }
    if let Ok(permissions) = text.parse::<Permissions>() {
        assert_eq!(permissions.to_string().parse(), Ok(permissions.clone()));
        let all: Vec<_> = permissions.iter().collect();
        assert!(all.is_sorted_by(|a, b| a < b), "{permissions}");
        assert!(all.is_empty() || !text.trim().is_empty());
        for permission in [Permission::ChangeUsers, Permission::DeleteUsers] {
            let view = Permission::ViewUsers;
            assert!(!permissions.contains(permission) || permissions.contains(view));
        }
    }
}

/// Times of operators' commands: a time span ends now, and begins at the Unix epoch at the earliest.
pub fn since(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    match text.parse() {
        Ok(Since::At(at)) => assert_eq!(Since::At(at).before(now), at),
        Ok(ago @ Since::Ago(span)) => {
            let start = ago.before(now);
            assert!((DateTime::UNIX_EPOCH..=now).contains(&start), "{start}");
            assert!(start == DateTime::UNIX_EPOCH || now - start == span);
        }
        Err(_) => {}
    }
}

/// Expected heads of the audit chain: the printed form parses to an equal head.
pub fn expected_head(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(head) = text.parse::<Head>() {
        assert!(head.hash.len() == 64 && head.hash.bytes().all(|it| it.is_ascii_hexdigit()));
        let again: Head = head.to_string().parse().expect("a printed head");
        assert_eq!(again, head);
    }
}

/// Sort orders and page cursors of lists: the printed form parses to an equal value.
pub fn list(data: &[u8]) {
    read::<Sort>(data);
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(cursor) = text.parse::<PageCursor>() {
        assert!(cursor.to_string().len() <= text.len());
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
}

/// Job payloads: the only accepted payload is the id of a mail as a string.
pub fn job(data: &[u8]) {
    let Ok(payload) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    if let Some(id) = Queue::mail_of(&payload) {
        assert!(payload.is_string(), "{payload}");
        assert_eq!(Queue::mail_of(&id.to_string().into()), Some(id));
    }
}

/// `X-Request-Id` and `traceparent`: a request id is 8 to 64 letters, digits and hyphens, or is replaced by such an id. No
/// value of `traceparent` causes a panic.
pub fn request_headers(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let request = Request::builder().header(REQUEST_ID, value).finish();
    let id = RequestId::of(&request);
    let id = id.as_str();
    assert!((8..=64).contains(&id.len()), "{id}");
    assert!(
        id.bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-')
    );
    let again = Request::builder().header(REQUEST_ID, id).finish();
    assert_eq!(RequestId::of(&again).as_str(), id);
    trace::continue_from(&tracing::Span::none(), str::from_utf8(data).ok());
}

/// `SMTP_URL`: a URL from the parsed parts parses to the same parts, and debug output hides the password.
pub fn smtp_url(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(url) = text.parse::<SmtpUrl>() else {
        return;
    };
    assert!(!url.host.is_empty());
    let mut again = url::Url::parse("smtp://localhost").expect("a URL");
    let host = if url.host.contains(':') {
        format!("[{}]", url.host)
    } else {
        url.host.clone()
    };
    again.set_host(Some(&host)).expect("a host");
    again.set_port(Some(url.port)).expect("a port");
    if let Some((user, password)) = &url.credentials {
        again.set_username(&percent_encode(user)).expect("a user");
        again
            .set_password(Some(&percent_encode(password)))
            .expect("a password");
        let debug = format!("{url:?}");
        assert!(
            !password.contains(SECRET_MARKER) || !debug.contains(SECRET_MARKER),
            "debug output contains the password"
        );
    }
    let query = match url.tls {
        Tls::Implicit => None,
        Tls::Required => Some("tls=required"),
        Tls::Opportunistic => Some("tls=opportunistic"),
        Tls::None => Some("tls=none"),
    };
    again.set_query(query);
    let again = match url.tls {
        Tls::Implicit => again.as_str().replacen("smtp", "smtps", 1),
        _ => again.to_string(),
    };
    assert!(
        again.parse().as_ref() == Ok(&url),
        "{text:?} is not {again:?}"
    );
}

/// Encodes each byte as `%XX`.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = write!(encoded, "%{byte:02X}");
        encoded
    })
}

/// Settings from which [`configuration`] selects.
const VARIABLES: [&str; 16] = [
    "SECRET_KEY",
    "BIND",
    "TRUSTED_PROXIES",
    "CORS_ORIGINS",
    "PUBLIC_URL",
    "MAIL_FROM",
    "SMTP_URL",
    "LIMIT_LOGIN_IP",
    "METRICS_BIND",
    "DATABASE_URL",
    "REDIS_URL",
    "OTP_TRIES",
    "ARGON2_MEMORY_KIB",
    "ACCESS_TOKEN_SECONDS",
    "SUPPORT_ADDRESS",
    "ENVIRONMENT",
];

/// The configuration of both programs: errors and debug output hide secrets, and printed lists parse to equal lists. Each
/// line of the input is one setting: its first character selects the name, and the rest is the value.
pub fn configuration(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let pairs: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let index = line.chars().next()?;
            let name = VARIABLES[u32::from(index) as usize % VARIABLES.len()];
            Some((name, &line[index.len_utf8()..]))
        })
        .collect();
    match Config::read(Settings::from_pairs(pairs.clone())) {
        Ok(config) => {
            let read_again = |key: &'static str, value: String| {
                let pairs = [("SECRET_KEY", KEY.to_owned()), (key, value)];
                Config::read(Settings::from_pairs(pairs)).expect("a printed setting")
            };
            let networks = &config.proxies.networks;
            let list: Vec<_> = networks.iter().map(ToString::to_string).collect();
            let again = read_again("TRUSTED_PROXIES", list.join(","));
            assert_eq!(again.proxies.networks, *networks);
            let origins = &config.cors_origins;
            let again = read_again("CORS_ORIGINS", origins.join(","));
            assert_eq!(again.cors_origins, *origins);
            assert!(!format!("{config:?}").contains(config_secret(&pairs)));
        }
        Err(errors) => assert!(!errors.to_string().contains(SECRET_MARKER), "{errors}"),
    }
    if let Err(errors) = latchkey_worker::config::Config::read(Settings::from_pairs(pairs)) {
        assert!(!errors.to_string().contains(SECRET_MARKER), "{errors}");
    }
}

/// Returns the value of `SECRET_KEY`, or `"\0"` if it is short or part of another value, where debug output may contain it.
fn config_secret<'a>(pairs: &[(&str, &'a str)]) -> &'a str {
    let secret = pairs.iter().rfind(|(name, _)| *name == "SECRET_KEY");
    secret
        .map(|(_, secret)| secret.trim())
        .filter(|secret| {
            secret.len() > 16
                && !pairs
                    .iter()
                    .any(|(name, value)| *name != "SECRET_KEY" && value.contains(secret))
        })
        .unwrap_or("\0")
}

/// Parses a text and checks that the value prints as that text and parses to an equal value again.
fn read<T: FromStr + Display + PartialEq>(data: &[u8]) -> Option<T> {
    let text = str::from_utf8(data).ok()?;
    let value: T = text.parse().ok()?;
    assert_eq!(value.to_string(), text);
    assert!(
        value
            .to_string()
            .parse()
            .is_ok_and(|again: T| again == value)
    );
    Some(value)
}

/// Runs a future to completion.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
