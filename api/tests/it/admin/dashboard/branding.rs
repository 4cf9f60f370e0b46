//! The colour and the logo of the dashboard.

use std::fs;

use super::attribute_values;
use crate::support::{
    dashboard::{Dashboard, assert_contains},
    test_app::TestApp,
};

const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
/// The signature of a PNG, which is enough for the check at the start.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The URL path of an asset in a page.
fn asset(html: &str, name: &str) -> Option<String> {
    let paths = attribute_values(html, "href=\"");
    paths
        .into_iter()
        .find(|path| path.starts_with(&format!("/admin/assets/{name}?v=")))
}

/// Operators choose the accent colour, which the default logo has, too.
#[tokio::test]
async fn brand_color_changes_stylesheet_and_default_logo() {
    let app = TestApp::new().await;
    let visitor = Dashboard::open(&app).await;
    let html = visitor.get_html("/admin/login/").await;
    assert_eq!(asset(&html, "brand.css"), None);
    assert_eq!(visitor.get("/admin/assets/brand.css").await.status, 404);
    let logo = visitor.get(&asset(&html, "logo").unwrap()).await;
    assert_contains(&logo.html, "#4250d0");

    let app = TestApp::with(&[("BRAND_COLOR", "B00020")]).await;
    let visitor = Dashboard::open(&app).await;
    let html = visitor.get_html("/admin/login/").await;
    let stylesheet = visitor.get(&asset(&html, "brand.css").unwrap()).await;
    assert_eq!(
        stylesheet.headers["content-type"],
        "text/css; charset=utf-8"
    );
    assert_contains(&stylesheet.html, "--tblr-primary: #b00020;");
    let logo = visitor.get(&asset(&html, "logo").unwrap()).await;
    assert_contains(&logo.html, "#b00020");
}

/// Operators choose the logo. An SVG runs no script, also when it is opened as a page.
#[tokio::test]
async fn logo_file_is_served_from_own_origin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logo");
    for (content, media_type) in [(SVG.as_bytes(), "image/svg+xml"), (PNG, "image/png")] {
        fs::write(&path, content).unwrap();
        let app = TestApp::with(&[("LOGO_FILE", path.to_str().unwrap())]).await;
        let visitor = Dashboard::open(&app).await;
        let html = visitor.get_html("/admin/login/").await;
        let address = asset(&html, "logo").unwrap();
        assert_contains(&html, &format!("<img src=\"{address}\""));
        let response = app
            .request(reqwest::Method::GET, &address)
            .send()
            .await
            .unwrap();
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], media_type);
        assert_contains(headers["cache-control"].to_str().unwrap(), "immutable");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(policy.ends_with("sandbox"), "{policy}");
        assert_eq!(response.bytes().await.unwrap(), content);
    }
}

/// A colour that is hard to read, or a file that is no picture, stops the start with the reason.
#[tokio::test]
async fn unusable_brand_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let text = write("text", b"a logo");
    let large = write("large", &[PNG, &vec![0; 256 * 1024]].concat());
    let missing = folder.path().join("missing").display().to_string();
    for (key, value, reason) in [
        (
            "BRAND_COLOR",
            "ffcc00",
            "contrast to #f5f7fb must be at least 4.5:1",
        ),
        (
            "BRAND_COLOR",
            "blue",
            "six hexadecimal digits such as 4250d0",
        ),
        (
            "LOGO_FILE",
            text.as_str(),
            "SVG or PNG file of at most 256 KiB (it is neither)",
        ),
        (
            "LOGO_FILE",
            large.as_str(),
            "at most 256 KiB (it has 262152 bytes)",
        ),
        ("LOGO_FILE", missing.as_str(), "No such file"),
    ] {
        let mut app = TestApp::new().await;
        app.set(key, value);
        let output = app.run(&["serve"], 1).await;
        assert!(output.contains(&format!("{key}: expected ")), "{output}");
        assert!(output.contains(reason), "{value}: {output}");
    }
}
