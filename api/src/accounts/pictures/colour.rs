//! Conversion of a picture to sRGB by its embedded ICC profile. Without a usable profile it is treated as sRGB, as in browsers.

use image::{DynamicImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, RenderingIntent, TransformOptions};

use crate::accounts::pictures::icc_profile;

/// The meaning of the four channels of a JPEG for printing. Encoders store them inverted, as Adobe's do: 255 is no ink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inks {
    /// Cyan, magenta, yellow, black.
    Cmyk,
    /// YCCK: the first three inks as luma and chroma, then black.
    Ycck,
}

/// Converts a picture to sRGB with 8 bits per channel.
pub(super) fn to_srgb(
    picture: DynamicImage,
    inks: Option<Inks>,
    icc_profile: Option<&[u8]>,
) -> DynamicImage {
    let profile = icc_profile.and_then(parse);
    match inks {
        Some(inks) => from_inks(picture.into_rgba8(), inks, profile.as_ref()).into(),
        None => from_light(picture, profile.as_ref()).into(),
    }
}

fn parse(icc_profile: &[u8]) -> Option<ColorProfile> {
    ColorProfile::new_from_slice(&icc_profile::reduce(icc_profile)?).ok()
}

/// Converts RGB or grey, and keeps alpha.
fn from_light(picture: DynamicImage, profile: Option<&ColorProfile>) -> RgbaImage {
    match profile.map(|profile| (profile, profile.color_space)) {
        Some((profile, DataColorSpace::Gray)) if !picture.color().has_color() => {
            let grey = picture.to_luma_alpha8();
            let converted = convert(profile, Layout::GrayAlpha, grey.as_raw(), 2);
            converted.map_or_else(|| picture.to_rgba8(), |rgba| of_size(&picture, rgba))
        }
        Some((profile, DataColorSpace::Rgb)) => {
            let plain = picture.to_rgba8();
            let converted = convert(profile, Layout::Rgba, plain.as_raw(), 4);
            converted.map_or(plain, |rgba| of_size(&picture, rgba))
        }
        _ => picture.into_rgba8(),
    }
}

/// Converts four inks.
fn from_inks(mut picture: RgbaImage, inks: Inks, profile: Option<&ColorProfile>) -> RgbaImage {
    if inks == Inks::Ycck {
        picture
            .pixels_mut()
            .for_each(|pixel| pixel.0 = ycck_to_cmyk(pixel.0));
    }
    let profile = profile.filter(|profile| profile.color_space == DataColorSpace::Cmyk);
    let inked: Vec<u8> = picture.as_raw().iter().map(|sample| 255 - sample).collect();
    if let Some(rgba) = profile.and_then(|profile| convert(profile, Layout::Rgba, &inked, 4)) {
        return of_size(&picture.into(), rgba);
    }
    for pixel in picture.pixels_mut() {
        let [cyan, magenta, yellow, black] = pixel.0;
        let light = |ink: u8| scaled(ink, black);
        pixel.0 = [light(cyan), light(magenta), light(yellow), 255];
    }
    picture
}

/// Converts samples to sRGB (RGBA). Returns `None` if the profile is unusable.
fn convert(
    profile: &ColorProfile,
    layout: Layout,
    samples: &[u8],
    channels: usize,
) -> Option<Vec<u8>> {
    let options = TransformOptions {
        rendering_intent: RenderingIntent::RelativeColorimetric,
        ..TransformOptions::default()
    };
    let is_cmyk = profile.color_space == DataColorSpace::Cmyk;
    let (out, out_channels) = if is_cmyk {
        (Layout::Rgb, 3)
    } else {
        (Layout::Rgba, 4)
    };
    let transform = profile
        .create_transform_8bit(layout, &ColorProfile::new_srgb(), out, options)
        .ok()?;
    let mut converted = vec![255; samples.len() / channels * out_channels];
    transform.transform(samples, &mut converted).ok()?;
    if !is_cmyk {
        return Some(converted);
    }
    let opaque = converted
        .chunks_exact(3)
        .flat_map(|rgb| [rgb[0], rgb[1], rgb[2], 255]);
    Some(opaque.collect())
}

fn of_size(picture: &DynamicImage, rgba: Vec<u8>) -> RgbaImage {
    RgbaImage::from_raw(picture.width(), picture.height(), rgba)
        .unwrap_or_else(|| picture.to_rgba8())
}

/// Converts luma and chroma of three inks back (ITU T.871, 7). The inks are stored inverted with respect to light.
fn ycck_to_cmyk([luma, blue, red, black]: [u8; 4]) -> [u8; 4] {
    let (luma, blue, red) = (
        f32::from(luma),
        f32::from(blue) - 128.0,
        f32::from(red) - 128.0,
    );
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a byte"
    )]
    let byte = |value: f32| 255 - value.round().clamp(0.0, 255.0) as u8;
    [
        byte(luma + 1.402 * red),
        byte(luma - 0.344_136 * blue - 0.714_136 * red),
        byte(luma + 1.772 * blue),
        black,
    ]
}

/// Multiplies a sample by a share, both of 255.
fn scaled(sample: u8, share: u8) -> u8 {
    let product = u16::from(sample) * u16::from(share);
    u8::try_from((product + 127) / 255).unwrap_or(u8::MAX)
}
