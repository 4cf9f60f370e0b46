//! Good passwords, which the rules have to accept.

use super::judge;

fn assert_accepted(passwords: &[&str]) {
    for password in passwords {
        assert_eq!(judge(password), Ok(()), "{password}");
    }
}

/// P2: what password managers generate.
#[test]
fn random_passwords_are_accepted() {
    assert_accepted(&[
        "kT9#vQz2Lp",
        "xW4&hJ8!sRm2",
        "Zr7qLf3PwK",
        "gB5^nYd0Vc8t",
        "9fK2mXw7QeTz",
        "u!R6pGz@3LbW",
        "mQ4vT8zL2kXw9Hd",
        "hV3$kP9wZ7x!Qn5R",
        "b7Xq-2mRt-9KpL-4wZc",
        "Xy7-kQ2-Lm9-Tz4",
        "QWm3rt9ZxkLp",
        "dKf83jfLs02mVb",
        "7Gh2kLq9Zx4Vb1Nm",
        "wJ5{tY8>nC1}",
        "zqxjkvbp83",
        "1kd83hf02kd9",
        "83kd-02ls-kq91",
        "a8F!k2_Lz0pQ",
        "n6T*r1Wq8Yb$",
        "hunwoz-7pazqo-Gyxnak",
        "Tuvxe3-bocqaz-wukryp",
        "qhzmvxkwpl",
        "4719302856471",
        "83920174659102837465",
        "!7$1|4@(9<3+8%",
    ]);
}

/// P2: three or more words.
#[test]
fn passphrases_of_words_are_accepted() {
    assert_accepted(&[
        "correct horse battery staple",
        "velvet harbour lantern snow",
        "plaid-otter-crisp-banjo",
        "UnzipGraveDriftSalt",
        "tulip.anchor.mossy.quilt",
        "sharpen unveil cactus drum",
        "stingray9Okay-tapestry-plug",
        "gravel_moon_pickle_thumb",
        "cobalt ferry 7 walnut hinge",
        "Amber2Kite3Sofa4Reef",
        "orbit lemon paddle crayon",
        "thirty seven blue teapots",
        "monkey dragon sunshine teapot",
        "dragon monkey sunshine",
    ]);
}

/// P2: sentences in several languages.
#[test]
fn sentences_in_any_language_are_accepted() {
    assert_accepted(&[
        "Der Hund schläft unter dem Tisch",
        "Im März blühen 7 gelbe Tulpen",
        "Morgens trinke ich Kräutertee",
        "zwölf Boxkämpfer jagen Viktor",
        "القطة نائمة تحت الطاولة",
        "أشرب الشاي كل صباح",
        "سبعة كتب على الرف",
        "البحر هادئ هذا المساء",
        "Кот спит на старом диване",
        "утром я пью зелёный чай",
        "семь красных яблок в корзине",
        "Завтра будет дождь и ветер",
        "猫は窓の下で眠っている",
        "毎朝緑茶を飲みます。",
        "七つの赤いりんごが好き",
        "雨の日は本を読むノート",
        "החתול ישן מתחת לשולחן",
        "η γάτα κοιμάται στο παράθυρο",
        "La lune éclaire le vieux pont",
        "Sabahları 3 bardak çay içerim",
    ]);
}
