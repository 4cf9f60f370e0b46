//! The HTML part.

use super::{branding, render_all};
use crate::{outbox::template::MailBranding, types::logo::Logo};

#[test]
fn html_part_is_responsive_and_loads_nothing() {
    for (name, mail) in render_all(&branding()) {
        for needed in [
            "name=\"viewport\"",
            "name=\"color-scheme\"",
            "prefers-color-scheme: dark",
            "max-width: 600px",
            "role=\"presentation\"",
            "<h1",
        ] {
            assert!(mail.html.contains(needed), "{name}: {needed}");
        }
        for foreign in ["<link", "@import", "url(", "<script"] {
            assert!(!mail.html.contains(foreign), "{name}: {foreign}");
        }
    }
}

/// The only picture is the logo: a part of the mail, so that opening the mail tells no server.
#[test]
fn mail_shows_logo_in_brand_color() {
    let color = "b00020".parse().unwrap();
    let logo = |media_type| Logo {
        media_type,
        content: b"logo".as_slice().into(),
    };
    for (logo, background) in [
        (None, "background-color: #b00020;"),
        (Some(logo(Logo::PNG)), ""),
    ] {
        let branding = MailBranding {
            color,
            logo: logo.clone(),
            ..branding()
        };
        for (name, mail) in render_all(&branding) {
            let pictures: Vec<_> = mail.html.split("<img ").skip(1).collect();
            assert_eq!(pictures.len(), 1, "{name}");
            let picture = pictures[0].split('>').next().unwrap();
            assert!(
                picture.starts_with("src=\"cid:logo\" alt=\"\""),
                "{picture}"
            );
            assert!(picture.contains(background), "{picture}");
            assert_eq!(picture.contains("background-color"), logo.is_none());
            assert!(!mail.html.contains("#4250d0"), "{name}");
            let content = mail.logo.as_deref().unwrap();
            match &logo {
                Some(logo) => assert_eq!(content, &*logo.content),
                None => assert!(content.starts_with(b"\x89PNG")),
            }
            let alone = mail.standalone_html();
            assert!(alone.contains("src=\"data:image/png;base64,"), "{name}");
            assert!(!alone.contains("cid:"), "{name}");
        }
    }
    let branding = MailBranding {
        logo: Some(logo(Logo::SVG)),
        ..branding()
    };
    for (name, mail) in render_all(&branding) {
        assert!(!mail.html.contains("<img"), "{name}");
        assert_eq!(mail.logo, None, "{name}");
    }
}
