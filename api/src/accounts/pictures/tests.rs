//! What becomes of a file: sizes, colours, orientation, and what is refused.

use std::{fs, path::Path};

use image::{
    DynamicImage, GenericImageView as _, ImageEncoder as _, ImageFormat, Rgba, RgbaImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use moxcms::ColorProfile;

use crate::accounts::pictures::{
    MAX_STORED_BYTES, Picture, Upload,
    reduce::{Reduced, reduce},
    reencode::reencode,
};

mod bounds;

const MAX_SIZE: u32 = 512;

fn seed(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/picture");
    fs::read(folder.join(name)).unwrap()
}

fn gradient(width: u32, height: u32) -> DynamicImage {
    RgbaImage::from_fn(width, height, |x, y| {
        Rgba([x.to_le_bytes()[0], y.to_le_bytes()[0], 120, 255])
    })
    .into()
}

/// A picture of any channels in any format.
fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let picture = match format {
        ImageFormat::Jpeg => picture.to_rgb8().into(),
        _ => picture.clone(),
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn stored(bytes: Vec<u8>) -> Option<Picture> {
    reencode(&reduced(bytes)?, MAX_SIZE).ok()
}

fn reduced(bytes: Vec<u8>) -> Option<Reduced> {
    reduce(Upload::new(bytes).ok()?).ok()
}

/// What the stored form shows, and as what.
fn shown(bytes: Vec<u8>) -> (DynamicImage, ImageFormat) {
    let picture = stored(bytes).expect("a picture");
    assert!(picture.bytes.len() <= MAX_STORED_BYTES);
    let format = image::guess_format(&picture.bytes).unwrap();
    (image::load_from_memory(&picture.bytes).unwrap(), format)
}

#[track_caller]
fn assert_near(actual: [u8; 4], expected: [u8; 3]) {
    let near = (0..3).all(|channel| actual[channel].abs_diff(expected[channel]) <= 5);
    assert!(near, "{actual:?} is not near {expected:?}");
}

/// A2
#[test]
fn truncated_files_of_every_format_are_refused() {
    let large = gradient(300, 200);
    let files = [
        encoded(&large, ImageFormat::Png),
        encoded(&large, ImageFormat::Jpeg),
        encoded(&large, ImageFormat::Gif),
        encoded(&large, ImageFormat::WebP),
        seed("jpg_progressive"),
        seed("webp_lossy"),
        seed("gif_animated"),
        seed("webp_animated"),
    ];
    for whole in files {
        let format = image::guess_format(&whole).unwrap();
        assert!(stored(whole.clone()).is_some(), "{format:?} whole");
        for cut in (0..whole.len()).step_by(whole.len() / 60 + 1) {
            let cut = whole.len() - 1 - cut;
            assert!(
                stored(whole[..cut].to_vec()).is_none(),
                "{format:?}, {cut} of {} bytes",
                whole.len()
            );
        }
    }
}

/// A2: the end alone does not make a file complete.
#[test]
fn truncated_files_with_an_end_are_refused() {
    let large = gradient(300, 200);
    let mut webp = encoded(&large, ImageFormat::WebP);
    webp.truncate(webp.len() / 2);
    let length = u32::try_from(webp.len() - 8).unwrap();
    webp[4..8].copy_from_slice(&length.to_le_bytes());
    let png = encoded(&large, ImageFormat::Png);
    for (half, end) in [
        (&png[..png.len() / 2], &png[png.len() - 12..]),
        (&webp, &[][..]),
    ] {
        let format = image::guess_format(half).unwrap();
        assert!(stored([half, end].concat()).is_none(), "{format:?}");
    }
}

/// C3
#[test]
fn large_pictures_are_scaled_down_and_keep_their_proportions() {
    for (width, height, expected) in [
        (512, 512, (512, 512)),
        (31, 17, (31, 17)),
        (600, 300, (512, 256)),
        (1000, 3000, (170, 512)),
        (5, 9000, (1, 512)),
    ] {
        let (picture, format) = shown(encoded(&gradient(width, height), ImageFormat::Png));
        assert_eq!(picture.dimensions(), expected, "{width}x{height}");
        assert_eq!(format, ImageFormat::Jpeg);
    }
}

/// C3: what compresses badly is bounded, too.
#[test]
fn noise_with_transparency_is_stored_in_bounds() {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let picture = RgbaImage::from_fn(700, 700, |_, _| Rgba([noise(), noise(), noise(), noise()]));
    let bytes = encoded(&picture.into(), ImageFormat::Png);
    assert!(bytes.len() > 4 * MAX_STORED_BYTES);

    let (picture, format) = shown(bytes);

    assert_eq!(format, ImageFormat::Png);
    assert!(picture.width() >= 128, "{}", picture.width());
}

#[test]
fn transparency_is_kept_and_does_not_tinge() {
    // Red on the left; on the right green that cannot be seen.
    let picture = RgbaImage::from_fn(2048, 64, |x, _| {
        if x < 1021 {
            Rgba([255, 0, 0, 255])
        } else {
            Rgba([0, 255, 0, 0])
        }
    });

    let (picture, format) = shown(encoded(&picture.into(), ImageFormat::Png));

    assert_eq!(format, ImageFormat::Png);
    assert_eq!(picture.get_pixel(511, 8).0[3], 0);
    for (_, _, pixel) in picture.pixels() {
        assert!(pixel.0[3] == 0 || pixel.0[1] == 0, "{pixel:?}");
    }
}

#[test]
fn animations_show_their_first_frame() {
    for name in ["gif_animated", "webp_animated"] {
        let (picture, format) = shown(seed(name));
        assert_eq!(format, ImageFormat::Jpeg, "{name}");
        assert_near(picture.get_pixel(8, 8).0, [254, 0, 0]);
    }
}

#[test]
fn wide_gamut_profiles_become_srgb() {
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let plain = RgbaImage::from_pixel(64, 64, Rgba([200, 100, 50, 255]));
    let rgb = DynamicImage::from(plain.clone()).to_rgb8();
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_icc_profile(profile.clone()).unwrap();
    let with_alpha = image::ExtendedColorType::Rgba8;
    encoder
        .write_image(plain.as_raw(), 64, 64, with_alpha)
        .unwrap();
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, 100);
    encoder.set_icc_profile(profile.clone()).unwrap();
    let opaque = image::ExtendedColorType::Rgb8;
    encoder.write_image(rgb.as_raw(), 64, 64, opaque).unwrap();
    let mut webp = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut webp);
    encoder.set_icc_profile(profile).unwrap();
    encoder.write_image(rgb.as_raw(), 64, 64, opaque).unwrap();

    for bytes in [png, jpeg, webp] {
        let (picture, _) = shown(bytes.clone());
        // By the matrix from Display P3 to sRGB and their common transfer function.
        assert_near(picture.get_pixel(32, 32).0, [215, 93, 31]);
        let stored = stored(bytes).unwrap();
        let profile_is_gone = !stored.bytes.windows(4).any(|part| part == b"acsp");
        assert!(profile_is_gone);
    }
}

/// C1: the decoder of JPEGs needs memory for rows of the whole width, however low the picture is.
#[test]
fn memory_of_wide_jpeg_counts_its_rows() {
    let needed = |width, height| {
        let file = encoded(&gradient(width, height), ImageFormat::Jpeg);
        super::decode::memory_needed(&file, ImageFormat::Jpeg).unwrap()
    };
    let pixels = 65_535 * 9;
    assert_eq!(needed(65_535, 1), pixels + 65_536 * 3 * 352);
    assert!(needed(1, 65_535) < 2 * pixels);
}

#[test]
fn printing_inks_become_srgb() {
    let (picture, _) = shown(seed("jpg_cmyk"));
    // 0, 50, 75 and 12 percent of ink.
    assert_near(picture.get_pixel(8, 8).0, [225, 112, 56]);
    let mut ycck = seed("jpg_cmyk");
    let adobe = ycck.windows(5).position(|part| part == b"Adobe").unwrap();
    ycck[adobe + 11] = 2;
    // The same bytes as luma, chroma and black.
    let (picture, _) = shown(ycck);
    assert_near(picture.get_pixel(8, 8).0, [80, 0, 2]);
}

#[test]
fn sixteen_bits_and_grey_are_accepted() {
    for picture in [
        DynamicImage::from(gradient(600, 40).to_rgba16()),
        gradient(600, 40).to_luma16().into(),
        gradient(600, 40).to_luma_alpha8().into(),
        gradient(600, 40).to_luma8().into(),
    ] {
        let (picture, format) = shown(encoded(&picture, ImageFormat::Png));
        assert_eq!(picture.width(), 512);
        assert_eq!(format, ImageFormat::Jpeg);
    }
}
