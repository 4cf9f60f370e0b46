//! What holds of every parser of foreign input, whatever it is given: one function each. The fuzz targets call them with
//! what the fuzzer thinks of, and `api/tests/it/properties.rs` with what proptest does.

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
    auth::jwt::{RefreshToken, ResetToken, TokenIssuer},
    config::Config,
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
    crypto::secret_key::SecretKey,
    models::{
        audit::Head,
        user::search::{PageCursor, Sort},
    },
    queue::Queue,
    redis::one_time_code::Otp,
    telemetry::trace,
    types::{
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

/// Stands in values that no message may repeat.
const MARK: char = '⚿';

/// JSON bodies: what is taken is what `serde_json` reads, and no more fields than a form has.
pub fn json(data: &[u8]) {
    let Some(mut fields) = body("application/json", data) else {
        return;
    };
    // It reads deeper than serde_json builds values; there the second opinion is missing.
    let Ok(Value::Object(members)) = serde_json::from_slice(data) else {
        return;
    };
    assert!(members.len() <= 64, "{} fields were taken", members.len());
    for (name, value) in members {
        let taken = fields.required::<String>(&name);
        match value {
            Value::String(text) if !text.trim().is_empty() => {
                assert_eq!(taken.ok().as_deref(), Some(text.trim()), "{name}");
            }
            Value::Number(number) => {
                let taken = taken.unwrap_or_else(|_| panic!("{number} was refused"));
                assert_eq!(taken.parse::<f64>().ok(), number.as_f64(), "{name}");
            }
            _ => assert!(taken.is_err(), "{name}"),
        }
    }
}

/// Form bodies: what was taken is text, trimmed.
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

/// Multipart bodies.
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

/// The fields of a body, as a handler gets them.
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

/// `data:` URLs: what they decode to encodes to the same.
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
        assert!(again.ends_with(encoded), "{text:?} has another spelling");
    }
}

/// Pictures: what is stored is a bounded PNG or JPEG of at most 512 pixels on a side, without metadata.
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

/// E-mail addresses: what is shown is read as the same, and the key is an address that is its own key.
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
        let again: Email = key.as_str().parse().expect("a key is an address");
        assert_eq!(again.as_str(), key.as_str());
        assert_eq!(again.key(), key, "of {text:?}");
        let debugged = format!("{email:?}");
        assert!(local.len() < 12 || !debugged.contains(local), "{debugged}");
    }
}

/// User names.
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

/// Gender.
pub fn gender(data: &[u8]) {
    read::<Gender>(data);
}

/// Dates of birth: written in one way only.
pub fn date(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(date) = NaiveDate::from_field(text) {
        assert_eq!(date.to_string(), text);
        assert!(text.len() == 10 && text >= "1900-01-01");
    }
}

/// One-time codes: as they are kept, and as they are typed.
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
        let again = Otp::from_typed(digits, 6).expect("a code is one as it is shown");
        assert!(again.matches(&code));
    }
    if let Ok(code) = text.parse::<Otp>() {
        assert_eq!(code.expose(), text);
        assert!((4..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()));
        assert!(code.matches(&code.clone()) && !format!("{code:?}").contains(text));
    }
}

/// Passwords: as they are typed, and as they are judged.
pub fn password(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(password) = text.parse::<Password>() else {
        return;
    };
    let typed = str::from_utf8(password.expose_to_hash()).expect("UTF-8");
    assert!(typed.chars().count() <= 128);
    let again: Password = typed.parse().expect("what was taken");
    assert_eq!(again.expose_to_hash(), typed.as_bytes());
    let (email, username, number) = (
        "ada.lovelace@example.com".parse().expect("an address"),
        "Countess Ada".parse().expect("a name"),
        "+201001234567".parse().expect("a number"),
    );
    let owner = Owner {
        email: &email,
        username: &username,
        phone_number: Some(&number),
        date_birth: NaiveDate::from_ymd_opt(1990, 2, 28),
    };
    let length = typed.chars().count();
    let policy = PasswordPolicy::default();
    if policy.check(&again, Some(owner)).is_ok() {
        assert!(length >= policy.min_length);
    }
}

/// Tokens: whatever is not signed here is refused, and of what is signed here only what has every claim is taken, as
/// the one kind of token that it is.
pub fn token(data: &[u8]) {
    let key: SecretKey = KEY.parse().expect("a key");
    let (access, refresh) = (TimeDelta::minutes(5), TimeDelta::days(10));
    let issuer = TokenIssuer::new(&key, access, refresh);
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
        let kind = if is_access { "access" } else { "refresh" };
        assert_eq!(claims["token_type"], kind);
        assert!(claims["exp"].as_i64() > Some(now.timestamp()));
    }

    // A good token with one byte changed.
    if let [place, change, ..] = *data {
        let good = issuer.access(1, Uuid::from_u128(7), now);
        let mut bad = good.expose().as_bytes().to_vec();
        let place = usize::from(place) * (bad.len() - 1) / 255;
        bad[place] ^= change & 0x7f;
        let bad = String::from_utf8(bad).expect("ASCII");
        let same = bad == good.expose();
        assert_eq!(issuer.verify_access(&bad, now).is_ok(), same, "{bad}");
    }
}

/// A token with these claims, as the original's services could sign one.
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

/// `Forwarded` and `X-Forwarded-For`: a stranger's word counts for nothing, and an address has one form. The first byte
/// says which header, the rest is its value.
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
    let (stranger, proxy) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([10, 0, 0, 1]));

    let ignored = ClientIp::resolve(Some(stranger), &headers, &trusted);
    assert_eq!(ignored.address(), Some(stranger.to_string()));
    let client_ip = ClientIp::resolve(Some(proxy), &headers, &trusted);
    let address: IpAddr = client_ip
        .address()
        .and_then(|address| address.parse().ok())
        .expect("an address");
    assert_eq!(address.to_canonical(), address, "an address of two forms");
    match address {
        IpAddr::V4(_) => assert_eq!(client_ip.network(), address.to_string()),
        IpAddr::V6(_) => assert!(
            client_ip.network().ends_with("/64"),
            "{}",
            client_ip.network()
        ),
    }
}

/// Rates.
pub fn rate(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(rate) = text.parse::<Rate>() {
        assert_eq!(rate.to_string().parse(), Ok(rate));
    }
}

/// Rights of staff: in whatever order they came, they are written in one.
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
        for right in [Permission::ChangeUsers, Permission::DeleteUsers] {
            assert!(!permissions.contains(right) || permissions.contains(Permission::ViewUsers));
        }
    }
}

/// Moments as operators give them: none is later than it says, and none so early that there is no such time.
pub fn since(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a moment");
    match text.parse() {
        Ok(Since::At(at)) => assert_eq!(Since::At(at).before(now), at),
        Ok(ago @ Since::Ago(span)) => {
            let moment = ago.before(now);
            assert!((DateTime::UNIX_EPOCH..=now).contains(&moment), "{moment}");
            assert!(moment == DateTime::UNIX_EPOCH || now - moment == span);
        }
        Err(_) => {}
    }
}

/// A head of the audit log that was noted: it is written as it was read.
pub fn noted(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(head) = text.parse::<Head>() {
        assert!(head.hash.len() == 64 && head.hash.bytes().all(|it| it.is_ascii_hexdigit()));
        let again: Head = head.to_string().parse().expect("what was printed");
        assert_eq!(again, head);
    }
}

/// The order of a list, and a place in it.
pub fn list(data: &[u8]) {
    read::<Sort>(data);
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Ok(place) = text.parse::<PageCursor>() {
        assert!(place.to_string().len() <= text.len());
        assert_eq!(place.to_string().parse(), Ok(place));
    }
}

/// What a job carries: the id of a mail, as a text, and nothing else.
pub fn job(data: &[u8]) {
    let Ok(payload) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    if let Some(id) = Queue::mail_of(&payload) {
        assert!(payload.is_string(), "{payload}");
        assert_eq!(Queue::mail_of(&id.to_string().into()), Some(id));
    }
}

/// `X-Request-Id` and `traceparent`: an id is kept if it is plain and else replaced by one that is. Whatever the other
/// says, nothing comes of it but a trace.
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

/// `SMTP_URL`: its parts make it again, and its password is not shown.
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
        again.set_username(&escaped(user)).expect("a user");
        again
            .set_password(Some(&escaped(password)))
            .expect("a password");
        let shown = format!("{url:?}");
        assert!(
            !password.contains(MARK) || !shown.contains(MARK),
            "the password is shown"
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

/// Each byte as `%XX`.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = write!(escaped, "%{byte:02X}");
        escaped
    })
}

/// Variables that the programs read.
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

/// The configuration of both programs: a line a variable, whose first byte says which. What is wrong with it is said
/// without repeating it, and what is right prints to what it was read from.
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
            let printed = |key: &'static str, value: String| {
                let pairs = [("SECRET_KEY", KEY.to_owned()), (key, value)];
                Config::read(Settings::from_pairs(pairs)).expect("what was printed")
            };
            let networks = &config.proxies.networks;
            let list: Vec<_> = networks.iter().map(ToString::to_string).collect();
            let again = printed("TRUSTED_PROXIES", list.join(","));
            assert_eq!(again.proxies.networks, *networks);
            let origins = &config.cors_origins;
            let again = printed("CORS_ORIGINS", origins.join(","));
            assert_eq!(again.cors_origins, *origins);
            assert!(!format!("{config:?}").contains(config_secret(&pairs)));
        }
        Err(faults) => assert!(!faults.to_string().contains(MARK), "{faults}"),
    }
    if let Err(faults) = latchkey_worker::config::Config::read(Settings::from_pairs(pairs)) {
        assert!(!faults.to_string().contains(MARK), "{faults}");
    }
}

/// The secret among these variables, if it is one that stands nowhere by chance.
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

/// Reads a text; what is read prints as that text, and is read from it again.
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

/// Runs what is async to its end.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
