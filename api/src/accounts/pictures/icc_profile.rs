//! Reduces an ICC profile to the tags that the conversion to sRGB uses (ICC.1:2022, 7).
//!
//! moxcms reads all tags that it knows, and follows the references in their texts: a profile of some kilobytes can make it copy one
//! text of a megabyte 87,000 times. The tags that remain are as large as their data.

use crate::accounts::pictures::rest::Rest;

/// Maximum size of a reduced profile: 1 MiB. The table of a printer's profile has about 500 KiB.
const MAX_PROFILE: usize = 1024 * 1024;

/// Maximum number of tags. Profiles have 10 to 30.
const MAX_TAGS: usize = 100;

const HEADER: usize = 128;
const TAG_ENTRY: usize = 12;

/// The table that converts colours to those of the profile connection space.
const COLORIMETRIC: [u8; 4] = *b"A2B1";

/// Stands for a missing colorimetric table (ICC.1:2022, 9.2).
const PERCEPTUAL: [u8; 4] = *b"A2B0";

/// The tags for colours, curves and white, and the tables.
const USED: [[u8; 4]; 12] = [
    *b"rXYZ",
    *b"gXYZ",
    *b"bXYZ",
    *b"rTRC",
    *b"gTRC",
    *b"bTRC",
    *b"kTRC",
    *b"wtpt",
    *b"chad",
    *b"cicp",
    COLORIMETRIC,
    PERCEPTUAL,
];

/// The signature of a tag and its data.
type Tag<'a> = ([u8; 4], &'a [u8]);

/// Returns a profile with the used tags only. Returns `None` if the profile is damaged, has too many tags or a used one twice, or if
/// the used ones are too large.
pub(super) fn reduce(profile: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Rest(profile);
    let header = rest.take(HEADER)?;
    let count = number(&mut rest)?;
    if count > MAX_TAGS {
        return None;
    }
    let mut tags: Vec<Tag<'_>> = Vec::new();
    for _ in 0..count {
        let kind = rest.array()?;
        let (offset, length) = (number(&mut rest)?, number(&mut rest)?);
        if !USED.contains(&kind) {
            continue;
        }
        let is_known = tags.iter().any(|(known, _)| *known == kind);
        if is_known {
            return None;
        }
        tags.push((kind, profile.get(offset..offset.checked_add(length)?)?));
    }
    if tags.iter().any(|(kind, _)| *kind == COLORIMETRIC) {
        tags.retain(|(kind, _)| *kind != PERCEPTUAL);
    } else if let Some((kind, _)) = tags.iter_mut().find(|(kind, _)| *kind == PERCEPTUAL) {
        *kind = COLORIMETRIC;
    }
    written(header, &tags)
}

fn number(rest: &mut Rest<'_>) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(rest.array()?)).ok()
}

/// Writes a profile. Each tag begins at a multiple of four bytes.
fn written(header: &[u8], tags: &[Tag<'_>]) -> Option<Vec<u8>> {
    let start = HEADER + 4 + tags.len() * TAG_ENTRY;
    let length = tags.iter().try_fold(start, |sum, (_, data)| {
        sum.checked_add(data.len().next_multiple_of(4))
    })?;
    if length > MAX_PROFILE {
        return None;
    }
    let field = |number: usize| u32::try_from(number).ok().map(u32::to_be_bytes);
    let mut profile = field(length)?.to_vec();
    profile.extend_from_slice(&header[4..]);
    profile.extend(field(tags.len())?);
    let mut offset = start;
    for (kind, data) in tags {
        profile.extend_from_slice(kind);
        profile.extend(field(offset)?);
        profile.extend(field(data.len())?);
        offset += data.len().next_multiple_of(4);
    }
    for (_, data) in tags {
        profile.extend_from_slice(data);
        profile.resize(profile.len().next_multiple_of(4), 0);
    }
    Some(profile)
}

#[cfg(test)]
mod tests {
    use moxcms::ColorProfile;

    use super::*;

    /// A profile of any tags, each given with its offset and its length.
    fn profile(tags: &[([u8; 4], u32, u32)], data: &[u8]) -> Vec<u8> {
        let mut profile = ColorProfile::new_srgb().encode().unwrap();
        profile.truncate(HEADER);
        profile.extend(u32::try_from(tags.len()).unwrap().to_be_bytes());
        for (kind, offset, length) in tags {
            profile.extend_from_slice(kind);
            profile.extend(offset.to_be_bytes());
            profile.extend(length.to_be_bytes());
        }
        profile.extend_from_slice(data);
        profile
    }

    fn tags(profile: &[u8]) -> Vec<Tag<'_>> {
        let entries = profile[HEADER + 4..].chunks_exact(TAG_ENTRY);
        let count = number(&mut Rest(&profile[HEADER..])).unwrap();
        let tag = |entry| {
            let mut entry = Rest(entry);
            let kind = entry.array().unwrap();
            let (offset, length) = (number(&mut entry).unwrap(), number(&mut entry).unwrap());
            (kind, &profile[offset..offset + length])
        };
        entries.take(count).map(tag).collect()
    }

    /// C1: moxcms expands a text whose records share one string.
    #[test]
    fn texts_of_profile_are_dropped() {
        let kinds = [
            *b"desc", *b"cprt", *b"dmnd", *b"dmdd", *b"vued", *b"targ", *b"gamt", *b"B2A0",
            *b"wtpt",
        ];
        let shared = kinds.map(|kind| (kind, 240, 30));
        let hostile = profile(&shared, &[b'x'; 30]);

        let reduced = reduce(&hostile).unwrap();

        assert_eq!(tags(&reduced), [(*b"wtpt", &[b'x'; 30][..])]);
        assert_eq!(reduced.len(), HEADER + 4 + TAG_ENTRY + 32);
        assert_eq!(number(&mut Rest(&reduced)), Some(reduced.len()));
    }

    /// C1
    #[test]
    fn profile_with_too_many_or_large_tags_is_unusable() {
        let texts = |count| profile(&vec![(*b"desc", 0, 4); count], &[]);
        assert!(reduce(&texts(100)).is_some());
        assert!(reduce(&texts(101)).is_none());
        let declared = [&[0; HEADER][..], &u32::MAX.to_be_bytes()].concat();
        assert!(reduce(&declared).is_none());
        let shared = |count: usize| {
            let kinds = USED.map(|kind| (kind, 0, 250_000));
            profile(&kinds[..count], &vec![0; 250_000])
        };
        assert!(reduce(&shared(4)).is_some());
        assert!(reduce(&shared(5)).is_none());
    }

    #[test]
    fn damaged_profile_is_unusable() {
        for tags in [
            &[(*b"wtpt", 0, 4), (*b"wtpt", 0, 4)][..],
            &[(*b"wtpt", 10_000, 4)],
            &[(*b"wtpt", 4, u32::MAX)],
        ] {
            assert!(reduce(&profile(tags, &[])).is_none(), "{tags:?}");
        }
        let whole = profile(&[(*b"wtpt", 0, 4)], &[]);
        for end in 0..whole.len() {
            assert!(reduce(&whole[..end]).is_none(), "{end}");
        }
    }

    #[test]
    fn perceptual_table_stands_for_missing_colorimetric_one() {
        let both = profile(&[(*b"A2B0", 0, 4), (*b"A2B1", 4, 8)], &[]);
        let one = profile(&[(*b"A2B0", 0, 4)], &[]);
        for (profile, length) in [(both, 8), (one, 4)] {
            let reduced = reduce(&profile).unwrap();
            let [(kind, data)] = tags(&reduced)[..] else {
                panic!("one table");
            };
            assert_eq!((kind, data.len()), (COLORIMETRIC, length));
        }
    }
}
