//! The `User-Agent` of a request, and the device name derived from it.

use std::fmt;

use poem::{Request, http::header};
use woothee::{parser::Parser, woothee::VALUE_UNKNOWN};

/// The maximum length that is stored or parsed, in characters. Sessions store no more.
const MAX_LENGTH: usize = 200;
/// The maximum length of a program's own name, in characters.
const MAX_NAME_LENGTH: usize = 40;

/// Returns the request's `User-Agent` for the list of sessions: at most 200 characters, without control characters.
#[must_use]
pub fn user_agent(request: &Request) -> Option<String> {
    let name = request.header(header::USER_AGENT)?;
    let visible = name.chars().filter(|c| !c.is_control());
    Some(visible.take(MAX_LENGTH).collect())
}

/// Returns the browser and the system of a device for a mail, such as `Chrome (Windows)`. `None` if the parser knows neither: a
/// client can send any text, and a mail must not repeat the text of a stranger.
#[must_use]
pub fn known_device(user_agent: &str) -> Option<String> {
    let found = Parser::new().parse(truncate(user_agent))?;
    match (browser(found.name), system(found.os)) {
        (Some(browser), Some(system)) => Some(format!("{browser} ({system})")),
        (browser, system) => browser.or(system).map(str::to_owned),
    }
}

/// Returns the English name of a device.
#[must_use]
pub fn device_name(user_agent: &str) -> Option<String> {
    DeviceName::parse(user_agent).map(|name| name.to_string())
}

/// The name of a device for readers. `Display` writes it in English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName<'a> {
    /// A program, as in `curl`, and its system if it is known, as in `Chrome on Windows`.
    Program(&'a str, Option<&'a str>),
    /// An unknown app on a system, as in `App on Android`.
    App(&'a str),
    /// A library in the apps of a system, as in `okhttp (Android app)`.
    Library(&'static str, &'static str),
}

impl<'a> DeviceName<'a> {
    /// Parses the first 200 characters of a `User-Agent`, with regular expressions that take linear time. `None` if they name no
    /// device.
    #[must_use]
    pub fn parse(user_agent: &'a str) -> Option<Self> {
        let user_agent = truncate(user_agent);
        let product = product(user_agent);
        match product {
            Some("okhttp") => return Some(Self::Library("okhttp", "Android")),
            Some("Dart") => return Some(Self::Library("Dart", "Flutter")),
            _ => {}
        }
        let found = Parser::new().parse(user_agent).unwrap_or_default();
        let system = system(found.os);
        // `Dalvik` is Android's runtime, which sends it for any app.
        let product = product.filter(|name| *name != "Dalvik");
        let program = browser(found.name).or(product);
        match (program, system) {
            (Some(program), system) => Some(Self::Program(program, system)),
            (None, Some(system)) => Some(Self::App(system)),
            (None, None) => None,
        }
    }
}

impl fmt::Display for DeviceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(program, Some(system)) => write!(f, "{program} on {system}"),
            Self::Program(program, None) => f.write_str(program),
            Self::App(system) => write!(f, "App on {system}"),
            Self::Library(library, system) => write!(f, "{library} ({system} app)"),
        }
    }
}

/// Returns the first 200 characters.
fn truncate(user_agent: &str) -> &str {
    let end = user_agent.char_indices().nth(MAX_LENGTH);
    end.map_or(user_agent, |(end, _)| &user_agent[..end])
}

/// Returns the name of the first product (RFC 9110, section 10.1.5), unless it is `Mozilla`, which every browser sends.
fn product(user_agent: &str) -> Option<&str> {
    let name = user_agent.split(['/', ' ']).next()?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let is_name = !name.is_empty() && name.len() <= MAX_NAME_LENGTH && name.chars().all(is_token);
    (is_name && name != "Mozilla").then_some(name)
}

/// Returns the name of a browser. `None` for another program.
fn browser(name: &str) -> Option<&str> {
    match name {
        "SamsungBrowser" => Some("Samsung Internet"),
        "Webview" | "HTTP Library" | VALUE_UNKNOWN | "" => None,
        name => Some(name),
    }
}

/// Returns the name of an operating system without its version, which browsers no longer send.
fn system(name: &str) -> Option<&str> {
    match name {
        VALUE_UNKNOWN | "" => None,
        "Windows Phone OS" => Some("Windows Phone"),
        name if name.starts_with("Windows") => Some("Windows"),
        "Mac OSX" => Some("Mac"),
        name => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(user_agent: &str) -> String {
        DeviceName::parse(user_agent).map_or(String::new(), |name| name.to_string())
    }

    /// M3: the text of a client appears in no mail.
    #[test]
    fn known_device_has_no_text_of_the_client() {
        for (user_agent, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                Some("Chrome (Windows)"),
            ),
            (
                "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)",
                Some("Android"),
            ),
            ("evil.example/1.0", None),
            ("evil.example/1.0 (Windows NT 10.0)", Some("Windows")),
            ("curl/8.5.0 evil.example", None),
            ("", None),
        ] {
            assert_eq!(
                known_device(user_agent).as_deref(),
                expected,
                "{user_agent}"
            );
        }
    }

    #[test]
    fn browser_is_named_with_its_system() {
        let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)";
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X)";
        let chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0";
        let webkit = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        for (user_agent, expected) in [
            (
                format!("{windows} {chrome} Safari/537.36"),
                "Chrome on Windows",
            ),
            (
                format!("{windows} {chrome} Safari/537.36 Edg/126.0.0.0"),
                "Edge on Windows",
            ),
            (
                format!("{windows} {chrome} Safari/537.36 OPR/111.0.0.0"),
                "Opera on Windows",
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
                    .to_owned(),
                "Firefox on Linux",
            ),
            (
                format!("{mac} {webkit} Version/17.5 Safari/605.1.15"),
                "Safari on Mac",
            ),
            (
                format!("{iphone} {webkit} Version/17.5 Mobile/15E148 Safari/604.1"),
                "Safari on iPhone",
            ),
            (
                format!("{iphone} {webkit} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1"),
                "Chrome on iPhone",
            ),
            (format!("{iphone} {webkit} Mobile/15E148"), "App on iPhone"),
            (
                format!(
                    "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {webkit} Version/17.5 Mobile/15E148 Safari/604.1"
                ),
                "Safari on iPad",
            ),
            (
                format!("Mozilla/5.0 (Linux; Android 10; K) {chrome} Mobile Safari/537.36"),
                "Chrome on Android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) \
                 SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36"
                    .to_owned(),
                "Samsung Internet on Android",
            ),
            (
                format!("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {chrome} Safari/537.36"),
                "Chrome on ChromeOS",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko".to_owned(),
                "Internet Explorer on Windows",
            ),
        ] {
            assert_eq!(name(&user_agent), expected, "{user_agent}");
        }
    }

    #[test]
    fn app_or_library_is_named_by_its_product() {
        for (user_agent, expected) in [
            ("okhttp/4.12.0", "okhttp (Android app)"),
            ("Dart/3.4 (dart:io)", "Dart (Flutter app)"),
            (
                "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP2A.240605.024)",
                "App on Android",
            ),
            ("Wallet/7 CFNetwork/1496.0.7 Darwin/23.5.0", "Wallet on iOS"),
            ("curl/8.5.0", "curl"),
            ("Wget/1.21.4", "Wget"),
            ("python-requests/2.32.3", "python-requests"),
            ("PostmanRuntime/7.39.0", "PostmanRuntime"),
            (
                "Apache-HttpClient/4.5.14 (Java/17.0.11)",
                "Apache-HttpClient",
            ),
            ("Go-http-client/1.1", "Go-http-client"),
            ("node", "node"),
        ] {
            assert_eq!(name(user_agent), expected, "{user_agent}");
        }
    }

    #[test]
    fn text_without_a_product_has_no_name() {
        let long = "x".repeat(MAX_NAME_LENGTH + 1);
        for user_agent in [
            "",
            " ",
            "Mozilla/5.0",
            "<script>alert(1)</script>",
            "متصفح/1.0",
            "\u{202e}Chrome",
            &long,
        ] {
            assert_eq!(DeviceName::parse(user_agent), None, "{user_agent}");
        }
    }

    /// Only the first 200 characters count, at a character boundary.
    #[test]
    fn long_user_agent_is_truncated_before_parsing() {
        let padding = "é".repeat(MAX_LENGTH);
        assert_eq!(DeviceName::parse(&format!("{padding}Firefox/128.0")), None);
        let megabyte = "Mozilla/5.0 (".repeat(80_000);
        assert_eq!(DeviceName::parse(&megabyte), None);
    }
}
