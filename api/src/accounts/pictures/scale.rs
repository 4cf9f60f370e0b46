//! Downscaling of pictures. Small ones keep their size.

use image::{DynamicImage, imageops::FilterType};

/// Scales a picture to at most `max_size` pixels on its longer side. With `blends`, the last of two or four channels is
/// alpha, and transparent pixels do not affect the colour of visible ones.
pub(super) fn shrink(mut picture: DynamicImage, max_size: u32, blends: bool) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    let longer = width.max(height);
    if longer <= max_size {
        return picture;
    }
    let blends = blends && picture.color().has_alpha();
    if blends {
        premultiply(&mut picture);
    }
    let fit = |side: u32, size: u32| {
        let scaled = u64::from(side) * u64::from(size) / u64::from(longer);
        u32::try_from(scaled).unwrap_or(size).max(1)
    };
    // Averaging is fast and good enough down to twice the size. A filter does the rest.
    let twice = 2 * max_size;
    if longer > twice {
        picture = picture.thumbnail_exact(fit(width, twice), fit(height, twice));
    }
    let (width, height) = (fit(width, max_size), fit(height, max_size));
    picture = picture.resize_exact(width, height, FilterType::CatmullRom);
    if blends {
        picture = unpremultiply(picture);
    }
    picture
}

/// Multiplies colours by their alpha.
fn premultiply(picture: &mut DynamicImage) {
    match picture {
        DynamicImage::ImageLumaA8(picture) => weigh(picture, 2),
        DynamicImage::ImageRgba8(picture) => weigh(picture, 4),
        DynamicImage::ImageLumaA16(picture) => weigh(picture, 2),
        DynamicImage::ImageRgba16(picture) => weigh(picture, 4),
        _ => {}
    }
}

/// Multiplies all samples of a pixel except the last by the last.
fn weigh<S: Copy + Into<u64> + TryFrom<u64>>(samples: &mut [S], channels: usize) {
    let full = (1_u64 << (8 * size_of::<S>())) - 1;
    for pixel in samples.chunks_exact_mut(channels) {
        let Some((alpha, colours)) = pixel.split_last_mut() else {
            continue;
        };
        let alpha = (*alpha).into();
        if alpha == full {
            continue;
        }
        for colour in colours {
            let weighed = ((*colour).into() * alpha + full / 2) / full;
            *colour = S::try_from(weighed).unwrap_or(*colour);
        }
    }
}

/// Divides colours by their alpha.
fn unpremultiply(picture: DynamicImage) -> DynamicImage {
    let mut picture = picture.into_rgba8();
    for pixel in picture.pixels_mut() {
        let alpha = u32::from(pixel.0[3]);
        if alpha == 0 || alpha == 255 {
            continue;
        }
        for colour in &mut pixel.0[..3] {
            let whole = (u32::from(*colour) * 255 + alpha / 2) / alpha;
            *colour = u8::try_from(whole).unwrap_or(u8::MAX);
        }
    }
    picture.into()
}
