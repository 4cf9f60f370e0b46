//! Texts from which people make keys: words and rows of a keyboard.

/// Words that no key of a generator contains. Each has a letter beyond `f`, so that no hexadecimal key has it, either.
///
/// Six letters in the right case come up by chance in one base64 key of 32 bytes in some 10 million.
const WORDS: [&str; 21] = [
    "application",
    "authentication",
    "change",
    "default",
    "development",
    "django",
    "example",
    "insecure",
    "latchkey",
    "letmein",
    "passphrase",
    "password",
    "placeholder",
    "please",
    "private",
    "production",
    "replace",
    "sample",
    "secret",
    "signing",
    "testing",
];

/// Frequent parts of common passwords, of five letters or more.
const COMMON: [&str; 80] = [
    "access",
    "account",
    "admin",
    "alexander",
    "amanda",
    "andrea",
    "andrew",
    "angel",
    "anthony",
    "apple",
    "ashley",
    "autumn",
    "banana",
    "baseball",
    "batman",
    "buster",
    "charlie",
    "cheese",
    "chelsea",
    "chicken",
    "chocolate",
    "computer",
    "cookie",
    "correct",
    "daniel",
    "dragon",
    "family",
    "flower",
    "football",
    "forever",
    "freedom",
    "friend",
    "george",
    "ginger",
    "guest",
    "hannah",
    "happy",
    "harley",
    "hello",
    "horse",
    "hunter",
    "iloveyou",
    "internet",
    "jennifer",
    "jessica",
    "jordan",
    "joshua",
    "liverpool",
    "login",
    "london",
    "lovely",
    "manager",
    "master",
    "matrix",
    "matthew",
    "michael",
    "michelle",
    "monkey",
    "mustang",
    "nicole",
    "orange",
    "pepper",
    "princess",
    "purple",
    "random",
    "robert",
    "samsung",
    "server",
    "shadow",
    "spring",
    "starwars",
    "summer",
    "sunshine",
    "superman",
    "superuser",
    "thomas",
    "token",
    "welcome",
    "whatever",
    "winter",
];

/// Rows and columns of keyboards, and alphabets. They are matched in both directions.
const ROWS: [&str; 21] = [
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "!@#$%^&*()_+",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "!qaz@wsx#edc$rfv%tgb^yhn&ujm*ik<(ol>",
    "qazwsxedcrfvtgbyhnujmikolp",
    "zaq12wsxcde34rfvbgt56yhnmju78ik,",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1a2b3c4d5e6f7g8h9i0j",
    "a1b2c3d4e5f6g7h8i9j0",
    "1a2s3d4f5g6h7j8k9l",
    "aabbccddeeffgghhiijj",
    "00112233445566778899",
];

/// The shortest part of a row that counts. Random hexadecimal digits have four in a row too often.
const MIN_ROW: usize = 5;

/// The most frequent pairs of letters in English.
pub(super) const PAIRS: [&str; 93] = [
    "th", "he", "in", "er", "an", "re", "nd", "at", "on", "nt", "ha", "es", "st", "en", "ed", "to",
    "it", "ou", "ea", "hi", "is", "or", "ti", "as", "te", "et", "ng", "of", "al", "de", "se", "le",
    "sa", "si", "ar", "ve", "ra", "ld", "ur", "me", "ne", "ro", "li", "ri", "io", "co", "ll", "be",
    "ma", "el", "ho", "ce", "ic", "us", "la", "ch", "ta", "di", "ec", "ai", "tr", "ac", "ca", "om",
    "so", "wi", "no", "ee", "ss", "pe", "il", "ot", "rs", "ly", "un", "ut", "tt", "we", "mo", "ow",
    "wh", "ge", "ir", "em", "po", "ie", "ke", "pr", "ey", "da", "pa", "ay", "ck",
];

/// Leading digits of constants that are printed in every book.
const CONSTANTS: [&str; 4] = [
    // Pi and e in hexadecimal digits, the test key of AES (FIPS 197, A.1), and all the digits.
    "243f6a8885a308d3",
    "b7e151628aed2a6a",
    "2b7e151628aed2a6",
    "0123456789abcdef",
];

/// Returns whether a key contains one of the words, also with digits for letters.
pub(super) fn has_word(key: &[u8]) -> bool {
    WORDS.iter().any(|word| {
        key.windows(word.len()).any(|part| {
            let is_word = part
                .iter()
                .zip(word.bytes())
                .all(|(byte, letter)| reads_as(*byte, letter));
            is_word && is_one_case(part)
        })
    })
}

/// Returns whether a third of a key is rows, alphabets and common words.
pub(super) fn is_mostly_known(key: &[u8]) -> bool {
    let lower = key.to_ascii_lowercase();
    let mut known = vec![false; key.len()];
    for row in ROWS {
        let mut row = row.as_bytes().to_vec();
        for _ in 0..2 {
            mark(&lower, &mut known, row.windows(MIN_ROW));
            row.reverse();
        }
    }
    mark(
        &lower,
        &mut known,
        COMMON.iter().chain(&WORDS).map(|word| word.as_bytes()),
    );
    known.iter().filter(|it| **it).count() * 3 >= key.len()
}

/// Returns whether a key begins with the digits of a constant.
pub(super) fn is_constant(key: &[u8]) -> bool {
    let lower = key.to_ascii_lowercase();
    CONSTANTS
        .iter()
        .any(|digits| lower.starts_with(digits.as_bytes()))
}

/// Returns the words and the parts of common passwords.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().chain(COMMON)
}

/// Returns the beginnings of the rows, of three characters or more.
pub(super) fn row_starts() -> impl Iterator<Item = &'static str> {
    ROWS.iter()
        .chain(&["1234567890"])
        .flat_map(|row| (3..=row.len()).filter_map(|end| row.get(..end)))
}

/// Marks every occurrence of these parts in a text.
fn mark<'a>(text: &[u8], known: &mut [bool], parts: impl Iterator<Item = &'a [u8]>) {
    for part in parts {
        for (start, found) in text.windows(part.len()).enumerate() {
            if found == part {
                known[start..start + part.len()].fill(true);
            }
        }
    }
}

/// Returns whether a byte is a letter in either case, or the digit or sign that usually replaces it.
fn reads_as(byte: u8, letter: u8) -> bool {
    let signs: &[u8] = match letter {
        b'a' => b"4@",
        b'e' => b"3",
        b'i' => b"1!",
        b'l' => b"1",
        b'o' => b"0",
        b's' => b"5$",
        b't' => b"7",
        _ => b"",
    };
    byte.to_ascii_lowercase() == letter || signs.contains(&byte)
}

/// Returns whether the letters have the case of a word: `secret`, `Secret` or `SECRET`.
fn is_one_case(word: &[u8]) -> bool {
    let no_upper = |part: &[u8]| !part.iter().any(u8::is_ascii_uppercase);
    let no_lower = |part: &[u8]| !part.iter().any(u8::is_ascii_lowercase);
    no_upper(&word[1..]) || no_lower(word)
}
