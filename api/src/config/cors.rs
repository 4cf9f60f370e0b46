//! The web origins of `CORS_ORIGINS`.

use latchkey_shared::config::settings::Settings;

/// Reads `CORS_ORIGINS`: none by default.
pub(super) fn read_origins(settings: &mut Settings) -> Vec<String> {
    let origins: Vec<String> = settings
        .text("CORS_ORIGINS")
        .unwrap_or_default()
        .split(',')
        .map(|origin| origin.trim().to_owned())
        .filter(|origin| !origin.is_empty())
        .collect();
    for origin in &origins {
        if let Err(reason) = check_origin(origin) {
            let origins = "origins like https://app.example.com, separated by commas";
            settings.fault("CORS_ORIGINS", &format!("{origins} ({reason})"));
        }
    }
    origins
}

/// Checks that a browser can send this text as an `Origin` (RFC 6454, 6.2). Any other text would match no request. The error is
/// the reason.
fn check_origin(text: &str) -> Result<(), String> {
    if text.contains('*') {
        return Err(format!("{text} is a pattern, and only whole origins match"));
    }
    let url = url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| format!("{text} is not http:// or https:// with a host"))?;
    let sent = url.origin().ascii_serialization();
    if sent != text {
        return Err(format!("browsers send {text} as {sent}"));
    }
    let host = url.host_str().unwrap_or_default();
    let is_name = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    if matches!(url.host(), Some(url::Host::Domain(_))) && !is_name(host) {
        return Err(format!("{host} is not a host name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_browsers_are_accepted() {
        for origin in [
            "https://app.example.com",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "http://[::1]:8080",
            "https://xn--bcher-kva.example",
            "https://my_app.example.com",
        ] {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
    }

    #[test]
    fn other_origins_are_refused() {
        for origin in [
            "*",
            "https://*",
            "https://*.example.com",
            "https://app.*",
            "null",
            "app.example.com",
            "//app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?a",
            "https://app.example.com#a",
            "https://user@app.example.com",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://app.example.com:",
            "https://app.example.com:0443",
            "https://app.example.com:99999",
            "https://bücher.example",
            "https://a.example;b.example",
            "https://a.example'",
            "https://a.example b.example",
            "http://127.1",
            "http://[0:0:0:0:0:0:0:1]",
            "ftp://app.example.com",
            "ws://app.example.com",
            "file:///app",
            "data:text/plain,a",
        ] {
            assert!(check_origin(origin).is_err(), "{origin}");
        }
    }
}
