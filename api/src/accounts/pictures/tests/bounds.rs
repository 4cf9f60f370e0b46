//! The bounds of what a file can cost (C1).

use image::ImageFormat;

use super::{encoded, gradient, reduced, seed, stored};
use crate::accounts::pictures::{decode, webp};

/// Puts the chunks of a WebP behind a `VP8X` chunk that declares a canvas.
fn with_canvas(webp: &[u8], width: u8, height: u8) -> Vec<u8> {
    let canvas = [0, 0, 0, 0, width - 1, 0, 0, height - 1, 0, 0];
    let chunks = [b"WEBPVP8X\x0a\0\0\0", &canvas[..], &webp[12..]].concat();
    let length = u32::try_from(chunks.len()).unwrap().to_le_bytes();
    [b"RIFF", &length[..], &chunks].concat()
}

/// C1: the decoder compares the sizes only after it has decoded the frame.
#[test]
fn webp_frame_size_mismatch_is_refused() {
    let webp = encoded(&gradient(40, 30), ImageFormat::WebP);
    assert!(stored(with_canvas(&webp, 40, 30)).is_some());
    for (width, height) in [(16, 16), (30, 40), (41, 30)] {
        let measured = decode::memory_needed(&with_canvas(&webp, width, height), ImageFormat::WebP);
        assert!(measured.is_err(), "{width}x{height}");
    }
}

/// C1: the decoder uses the first canvas and reads truncated chunks.
#[test]
fn webp_is_measured_as_decoded() {
    let webp = encoded(&gradient(40, 30), ImageFormat::WebP);
    let two_canvases = with_canvas(&with_canvas(&webp, 40, 30), 1, 1);
    let mut truncated = with_canvas(&webp, 1, 1);
    let length = truncated.windows(4).position(|at| at == b"VP8L").unwrap() + 4;
    truncated[length + 2] = 0xff;
    for bytes in [two_canvases, truncated] {
        assert!(decode::memory_needed(&bytes, ImageFormat::WebP).is_err());
    }
}

/// C1: frames in frames do not exhaust the stack.
#[test]
fn nested_webp_frames_are_measured() {
    let header = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut nested = Vec::new();
    for level in (0..200_000_u32).rev() {
        nested.extend_from_slice(b"ANMF");
        nested.extend_from_slice(&(level * 24 + 16).to_le_bytes());
        nested.extend_from_slice(&header);
    }
    let file = [b"RIFF\0\0\0\0WEBP", &nested[..]].concat();
    assert_eq!(webp::table_memory(&file), Some(0));
}

/// C1: each prefix code of some bytes becomes a table of 4 KiB.
#[test]
fn memory_of_webp_tables_is_bounded() {
    let noise = image::RgbaImage::from_fn(700, 700, |x, y| {
        let mixed = (x * 700 + y).wrapping_mul(0x9e37_79b1);
        image::Rgba((mixed ^ mixed >> 15).to_le_bytes())
    });
    let webp = encoded(&noise.into(), ImageFormat::WebP);
    assert!(webp.len() > 900_000, "{}", webp.len());
    let refused = decode::memory_needed(&webp, ImageFormat::WebP).unwrap_err();
    assert_eq!(refused.code, "too_large");
    let small = encoded(&gradient(500, 500), ImageFormat::WebP);
    let needed = decode::memory_needed(&small, ImageFormat::WebP).unwrap();
    assert!(needed > 500 * 500 * 12, "{needed}");
}

/// An empty `IDAT` chunk of a PNG.
const EMPTY: [u8; 12] = *b"\0\0\0\0IDAT\x35\xaf\x06\x1e";

/// Puts bytes in front of the first place where `at` is found.
fn inserted(file: &[u8], at: &[u8], bytes: &[u8]) -> Vec<u8> {
    let start = file.windows(at.len()).position(|part| part == at).unwrap();
    [&file[..start], bytes, &file[start..]].concat()
}

/// A segment of a JPEG.
fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
    [&[0xff, marker], &length[..], data].concat()
}

/// C1: the decoder needs memory for each text, and time for each chunk.
#[test]
fn png_decoder_gets_no_texts_and_few_chunks() {
    let png = encoded(&gradient(10, 10), ImageFormat::Png);
    let header = &png[..33];
    let text = b"\0\0\0\x02tEXtk\0\0\0\0\0";
    let texts = [header, &text.repeat(100_000), &png[33..]].concat();
    assert!(reduced(texts).unwrap().bytes == png);

    let chunks = png.windows(4).filter(|part| *part == b"IDAT").count() + 2;
    for (empty, is_accepted) in [(4096 - chunks, true), (4097 - chunks, false)] {
        let padded = [header, &EMPTY.repeat(empty), &png[33..]].concat();
        let file = reduced(padded);
        assert_eq!(file.is_some(), is_accepted, "{empty}");
        assert!(file.is_none_or(|file| decode::decode(&file.bytes, file.format).is_ok()));
    }
}

/// C1: the decoder compares all parts of an extended XMP with each other after each segment.
#[test]
fn jpeg_decoder_gets_only_used_metadata() {
    let jpeg = seed("jpg_progressive");
    let xmp = segment(
        0xe1,
        &[b"http://ns.adobe.com/xmp/extension/\0", &[b'A'; 40][..]].concat(),
    );
    let gain_map = segment(0xe2, b"urn:iso:std:iso:ts:21496:-1\0data");
    let padding = [
        xmp,
        gain_map,
        segment(0xed, b"x"),
        segment(0xfe, b""),
        vec![0xff; 9],
    ]
    .concat();
    for at in [&[0xff, 0xdb][..], &[0xff, 0xda], &[0xff, 0xd9]] {
        let padded = inserted(&jpeg, at, &padding.repeat(5_000));
        assert!(reduced(padded).unwrap().bytes == jpeg, "{at:?}");
    }
    let used = [
        segment(0xe1, b"Exif\0\0data"),
        segment(0xe2, b"ICC_PROFILE\0\x01\x01data"),
    ];
    let with_used = inserted(&jpeg, &[0xff, 0xdb], &used.concat());
    assert!(reduced(with_used.clone()).unwrap().bytes == with_used);
}

/// C1
#[test]
fn jpeg_with_too_many_segments_or_tables_is_refused() {
    let jpeg = seed("jpg_progressive");
    let profile = segment(0xe2, b"ICC_PROFILE\0\x01\x01a");
    // A Huffman table of one symbol.
    let table = [&[0x13, 0, 1][..], &[0; 14], &[1]].concat();
    let tables = segment(0xc4, &table.repeat(1_000));
    for (part, most, too_many) in [(profile, 400, 512), (tables, 3, 4)] {
        for (count, is_accepted) in [(most, true), (too_many, false)] {
            let padded = inserted(&jpeg, &[0xff, 0xdb], &part.repeat(count));
            assert_eq!(reduced(padded).is_some(), is_accepted, "{count}");
        }
    }
}

/// C1: each scan processes every pixel of a component.
#[test]
fn jpeg_with_too_many_scans_is_refused() {
    let jpeg = seed("jpg_progressive");
    // A bit for each of the six blocks of the first component, which refines its average.
    let scan = [&segment(0xda, &[1, 1, 0, 0, 0, 0x10])[..], &[0]].concat();
    for (more, is_accepted) in [(2, true), (3, false)] {
        let padded = inserted(&jpeg, &[0xff, 0xd9], &scan.repeat(more));
        assert_eq!(stored(padded).is_some(), is_accepted, "{more}");
    }
}
