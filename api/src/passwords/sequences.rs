//! Detection of sequences: `abcdefgh`, `87654321`, `qwertyuiop`, `1qaz2wsx`.

/// Neighbouring keys of usual layouts: rows, columns, and zigzags between two rows.
const KEYS: &[&str] = &[
    "1234567890-=",
    "!@#$%^&*()_+",
    // QWERTY
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "8ik,",
    "9ol.",
    "0p;/",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "qawsedrftgyhujikolp",
    // QWERTZ
    "qwertzuiopü",
    "asdfghjklöä",
    "yxcvbnm,.-",
    "!\"§$%&/()=",
    "1qay",
    "6zhn",
    // AZERTY
    "azertyuiop",
    "qsdfghjklmù",
    "wxcvbn,;:!",
    "&é\"'(-è_çà)=",
    "1aqw",
    "2zsx",
    // Dvorak
    "',.pyfgcrl/",
    "aoeuidhtns-",
    ";qjkxbmwvz",
    // Colemak
    "qwfpgjluy;",
    "arstdhneio'",
    "zxcvbkm,./",
    // Russian and Ukrainian
    "йцукенгшщзхъ",
    "фывапролджэ",
    "ячсмитьбю",
    "йцукенгшщзхї",
    "фівапролджє",
    // "№" in NFKC
    "!\"no;%:?*()_+",
    // Arabic
    "ضصثقفغعهخحجد",
    "شسيبلاتنمكط",
    "ئءؤرلاىةوزظ",
    // Hebrew
    "קראטוןםפ",
    "שדגכעיחלךף",
    "זסבהנמצתץ",
    // Greek, with the final sigma written as the other one
    ";σερτυθιοπ",
    "ασδφγηξκλ",
    "ζχψωβνμ",
];

/// Minimum length of a run, in characters.
const MIN_RUN: usize = 3;

/// Whether a text consists only of runs: a repeated character, consecutive characters, or neighbouring keys.
pub(super) fn is_sequence(text: &str) -> bool {
    let one_sigma = |c| if c == 'ς' { 'σ' } else { c };
    let characters: Vec<char> = text.chars().map(one_sigma).collect();
    let mut rest = characters.as_slice();
    while !rest.is_empty() {
        let run = longest_run(rest);
        if run < MIN_RUN {
            return false;
        }
        rest = &rest[run..];
    }
    !characters.is_empty()
}

/// Returns the length of the longest run at the start of a text.
fn longest_run(text: &[char]) -> usize {
    let code_points = [0, 1, -1].map(|step| {
        run(text, |one, next| {
            i64::from(u32::from(next)) - i64::from(u32::from(one)) == step
        })
    });
    let keys = KEYS.iter().flat_map(|keys| {
        let forwards = move |one, next| is_pair(keys.chars(), one, next);
        let backwards = move |one, next| is_pair(keys.chars().rev(), one, next);
        [run(text, forwards), run(text, backwards)]
    });
    code_points
        .into_iter()
        .chain(keys)
        .max()
        .unwrap_or_default()
}

fn run(text: &[char], continues: impl Fn(char, char) -> bool) -> usize {
    let pairs = text.windows(2);
    1 + pairs.take_while(|pair| continues(pair[0], pair[1])).count()
}

fn is_pair(keys: impl Iterator<Item = char>, one: char, next: char) -> bool {
    let mut keys = keys.skip_while(|key| *key != one).skip(1);
    keys.next() == Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_characters_and_keys_are_sequences() {
        for yes in [
            "abcdefgh",
            "87654321",
            "7890123",
            "qwertyuiop",
            "lkjhgfdsa",
            "1qaz2wsx",
            "1q2w3e4r",
            "aaaa1111",
            "abcd1234",
            "йцукен",
            "!@#$%^&*",
            "aoeuidhtns",
            "ασδφγηξκλ",
        ] {
            assert!(is_sequence(yes), "{yes}");
        }
        for no in ["", "ab", "qhzmvxkwpl", "4719302856471", "abcdx", "password"] {
            assert!(!is_sequence(no), "{no}");
        }
    }
}
