//! Values are found in texts, in whatever spelling and encoding.

use outbox_runtime::prelude::*;
use outbox_runtime::support::Redaction;
use serde::{Deserialize, Serialize};

/// Fails to serialize.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[test]
fn a_value_that_cannot_be_read_hides_the_whole_text() {
    let mut redaction = Redaction::default();
    redaction.hide(&Unwritable);
    assert_eq!(redaction.apply("anything".to_owned()), "[redacted]");
}

#[test]
fn short_values_are_hidden_as_words_only() {
    let mut redaction = Redaction::default();
    redaction.hide(&("a", 5, true, None::<String>, ""));
    let text = "a cat, 5 of 50, true: a".to_owned();
    assert_eq!(
        redaction.apply(text),
        "[redacted] cat, [redacted] of 50, true: [redacted]"
    );
}

#[test]
fn a_value_within_another_is_hidden_with_it() {
    let mut redaction = Redaction::default();
    redaction.hide("secret");
    redaction.hide("secrets of mine");
    let text = "my secrets of mine are secret".to_owned();
    assert_eq!(redaction.apply(text), "my [redacted] are [redacted]");
}

/// `text` after redacting `value`.
fn hiding<T: Serialize + ?Sized>(value: &T, text: &str) -> String {
    let mut redaction = Redaction::default();
    redaction.hide(value);
    redaction.apply(text.to_owned())
}

#[test]
fn a_number_is_hidden_in_its_usual_spellings() {
    let spelled = |value: &dyn erased::Value, spellings: &[&str]| {
        for spelling in spellings {
            let text = format!("value {spelling} is refused");
            assert_eq!(
                value.hidden_in(&text),
                "value [redacted] is refused",
                "{text}"
            );
        }
    };
    spelled(
        &72.4_f32,
        &["72.4", "72.40", "72,4", "72.4000015258789", "7.24e1"],
    );
    spelled(&72.4_f64, &["72.4", "7.24E+1"]);
    spelled(&120.0_f64, &["120.0", "120", "120.00", "1.2e2", "+120"]);
    spelled(
        &1e21_f64,
        &["1e21", "1e+21", "1E21", "1.0E21", "1000000000000000000000"],
    );
    spelled(&1e-7_f64, &["1e-7", "1e-07", "0.0000001"]);
    spelled(
        &-4915_i64,
        &["-4915", "4915", "4,915", "4915.0", "4.915", "4'915"],
    );
    spelled(&-5_i64, &["-5", "5", "5.0"]);
    spelled(&u64::MAX, &["18446744073709551615"]);
    spelled(&"72.40", &["72.40", "72.4"]);
    spelled(
        &"1234567.5",
        &[
            "1,234,567.5",
            "1.234.567,5",
            "1 234 567.5",
            "1’234’567.5",
            "1\u{2009}234\u{2009}567,5",
            "12,34,567.5",
            "123,4567.5",
        ],
    );
    spelled(&0.5_f64, &["0.5", ".5", "-.5", ",5", ".50", ".5e0", "5e-1"]);
    spelled(
        &0.1_f32,
        &["0.1", "0.10000000149011612", "0.100000001", ".1"],
    );
    spelled(&1234_u16, &["1234", "1,234"]);
    let text = "of 1,234,56 and 1.2.5";
    assert_eq!(hiding(&[1234.0, 0.5], text), "of [redacted],56 and 1.2.5");
}

#[test]
fn other_numbers_are_shown_unchanged() {
    for text in ["72.5", "724", "12", "1200", "1,20", "v12.0", "0.12", "5120"] {
        let hidden = hiding(&[72.4, 120.0], text);
        assert_eq!(hidden, text);
    }
}

/// Lets a table hold values of several types.
mod erased {
    use super::{Serialize, hiding};

    pub(super) trait Value {
        fn hidden_in(&self, text: &str) -> String;
    }

    impl<T: Serialize> Value for T {
        fn hidden_in(&self, text: &str) -> String {
            hiding(self, text)
        }
    }
}

#[test]
fn a_short_value_is_hidden_only_as_a_whole_word_of_its_script() {
    // The value, the text, and the redacted text.
    let table = [
        // Scripts with capital letters.
        ("a", "a cat", "[redacted] cat"),
        ("HIV", "HIV. hiv", "[redacted]. hiv"),
        (
            "HIV",
            "HIVpos, posHIV, HIVs",
            "[redacted]pos, pos[redacted], [redacted]s",
        ),
        ("pos", "HIVpos position", "HIV[redacted] position"),
        ("HI", "HIVpos", "HIVpos"),
        ("A", "Another A", "Another [redacted]"),
        ("Al", "Al, Alpha", "[redacted], Alpha"),
        ("рак", "рак, ракета", "[redacted], ракета"),
        ("ΑΙ", "ΑΙμα ΑΙΜΑ", "[redacted]μα ΑΙΜΑ"),
        ("u", "fu\u{308}r u", "fu\u{308}r [redacted]"),
        ("é", "été é", "été [redacted]"),
        // Digits and their units.
        (
            "42",
            "42kg, kg42, 42 kg, 420, 142",
            "[redacted]kg, kg[redacted], [redacted] kg, 420, 142",
        ),
        ("kg", "42kg, kgs", "42[redacted], kgs"),
        ("5", "50 V5.2", "50 V[redacted].2"),
        // Scripts without spaces between words, or with attached particles.
        ("癌", "肺癌です", "肺[redacted]です"),
        ("がん", "肺がんと診断", "肺[redacted]と診断"),
        ("ガン", "肺ガンと診断", "肺[redacted]と診断"),
        ("ปวด", "ผมปวดหัว", "ผม[redacted]หัว"),
        ("ໄຂ້", "ເປັນໄຂ້ຫວັດ", "ເປັນ[redacted]ຫວັດ"),
        ("암", "폐암입니다", "폐[redacted]입니다"),
        ("حمل", "الحمل", "ال[redacted]"),
        ("HIV", "患者HIV陽性", "患者[redacted]陽性"),
        ("5", "患者5歳", "患者[redacted]歳"),
        // Neither letters nor digits.
        ("😢", "so😢sad", "so[redacted]sad"),
        ("-", "a-b - c", "a-b [redacted] c"),
        ("A+", "type A+, A+b", "type [redacted], [redacted]b"),
        // From four characters on, this rule does not apply.
        ("ache", "headaches", "head[redacted]s"),
        ("1234", "x912345", "x9[redacted]5"),
    ];
    for (value, text, expected) in table {
        assert_eq!(hiding(value, text), expected, "{value} in {text}");
    }
}

#[test]
fn a_value_is_hidden_however_a_language_escapes_it() {
    let value = "Müller/Söhne \"€\" <😢>\tEnde\\";
    for escaped in [
        value,
        // On one line, as a row stores it.
        "Müller/Söhne \"€\" <😢> Ende\\",
        // Rust's `Debug` and `escape_default`, JavaScript's JSON.
        r#"Müller/Söhne \"€\" <😢>\tEnde\\"#,
        r#"M\u{fc}ller/S\u{f6}hne \"\u{20ac}\" <\u{1f622}>\tEnde\\"#,
        // Python's json.dumps and ascii, PHP's json_encode.
        r#"M\u00fcller/S\u00f6hne \"\u20ac\" <\ud83d\ude22>\tEnde\\"#,
        r#"M\xfcller/S\xf6hne "\u20ac" <\U0001f622>\tEnde\\"#,
        r#"M\u00fcller\/S\u00f6hne \"\u20ac\" <\ud83d\ude22>\tEnde\\"#,
        // .NET and Java in capitals, Go and Rails for HTML.
        r#"M\u00FCller/S\u00F6hne \u0022\u20AC\u0022 \u003C\uD83D\uDE22\u003E\tEnde\\"#,
        r#"Müller/Söhne \"€\" \u003c😢\u003e\tEnde\\"#,
    ] {
        let text = format!("refused: '{escaped}'!");
        assert_eq!(hiding(value, &text), "refused: '[redacted]'!", "{text}");
        // The same as a string within JSON, and once more.
        let twice = serde_json::to_string(&text).unwrap();
        assert_eq!(
            hiding(value, &twice),
            r#""refused: '[redacted]'!""#,
            "{twice}"
        );
        let thrice = serde_json::to_string(&twice[1..twice.len() - 1]).unwrap();
        assert_eq!(
            hiding(value, &thrice),
            r#""refused: '[redacted]'!""#,
            "{thrice}"
        );
    }
    // Text that is not an escape is unchanged.
    assert_eq!(
        hiding("secret", r"C:\users\u00 \u{ \x"),
        r"C:\users\u00 \u{ \x"
    );
}

#[test]
fn a_value_is_hidden_in_urls_html_and_bytes() {
    let value = "Müller & Söhne <😢> \"100%\"";
    for escaped in [
        // `encodeURIComponent`, a query string, a form.
        "M%C3%BCller%20%26%20S%C3%B6hne%20%3C%F0%9F%98%A2%3E%20%22100%25%22",
        "M%c3%bcller+%26+S%c3%b6hne+%3c%f0%9f%98%a2%3e+%22100%25%22",
        "Müller+%26+Söhne+<😢>+\"100%25\"",
        // HTML error pages.
        "Müller &amp; Söhne &lt;😢&gt; &quot;100%&quot;",
        "M&#252;ller &#38; S&#xF6;hne &#x3c;&#128546;&#x3e; &#34;100%&#34;",
        // Bytes as Python and Rust show them.
        r#"M\xc3\xbcller & S\xc3\xb6hne <\xf0\x9f\x98\xa2> \"100%\""#,
        // Nested escapes.
        r"M\u00fcller &amp; S\u00f6hne &lt;\ud83d\ude22&gt; &quot;100%&quot;",
    ] {
        let text = format!("refused: '{escaped}'!");
        assert_eq!(hiding(value, &text), "refused: '[redacted]'!", "{text}");
    }
    let lines = "first\r\nsecond";
    for told in [
        "first\nsecond",
        "first\r\nsecond",
        r"first\r\nsecond",
        r"first\nsecond",
        "first%0D%0Asecond",
    ] {
        assert_eq!(hiding(lines, told), "[redacted]", "{told:?}");
        assert_eq!(hiding("first\nsecond", told), "[redacted]", "{told:?}");
    }
    // Text that is not an escape is unchanged.
    let text = "100% sure & 5%; %zz %C3 &; &bogus; &#x110000; é";
    assert_eq!(hiding("secret", text), text);
}

#[test]
fn keys_of_maps_are_hidden_and_names_of_fields_are_not() {
    #[derive(Serialize)]
    struct Visit {
        doctor: String,
        findings: std::collections::BTreeMap<String, f64>,
        by_year: std::collections::BTreeMap<u32, bool>,
    }
    let visit = Visit {
        doctor: "Dr. Hirsch".to_owned(),
        findings: [("HIV viral load".to_owned(), 0.25)].into(),
        by_year: [(1987, true)].into(),
    };
    let text = "findings of the doctor: HIV viral load, by_year 1987, Dr. Hirsch";
    assert_eq!(
        hiding(&[Some(visit)], text),
        "findings of the doctor: [redacted], by_year [redacted], [redacted]"
    );
}

#[test]
fn a_variant_is_hidden_in_the_usual_spellings_of_names() {
    #[derive(Debug, Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Finding {
        HivPositive,
        SinceYears(u32),
        WithNote { note: String },
    }
    let findings = [
        Finding::HivPositive,
        Finding::SinceYears(17),
        Finding::WithNote {
            note: "calm".to_owned(),
        },
    ];
    let expected = "[[redacted], [redacted]([redacted]), [redacted] { note: \"[redacted]\" }]";
    assert_eq!(hiding(&findings, &format!("{findings:?}")), expected);
    let text = "hiv_positive, hivPositive, HIV_POSITIVE, hiv-positive, HIV positive, HivPositive";
    assert_eq!(
        hiding(&findings, text),
        "[redacted], [redacted], [redacted], [redacted], HIV positive, [redacted]"
    );
}

#[test]
fn a_time_is_hidden_in_the_usual_formats() {
    let time: chrono::DateTime<chrono::Utc> = "2026-01-02T03:04:05.25Z".parse().unwrap();
    let text = format!(
        "{time}, {time:?}, {}, {}",
        time.to_rfc2822(),
        time.naive_utc()
    );
    assert_eq!(
        hiding(&time, &text),
        "[redacted] UTC, [redacted], Fri, 2 Jan 2026 03:04:05 +0000, [redacted]"
    );
    assert_eq!(hiding(&time, "2026-01-02 03:04:05+00"), "[redacted]+00");
    assert_eq!(
        hiding(&time.naive_utc(), "2026-01-02 03:04:05"),
        "[redacted]"
    );
}

#[test]
fn values_that_overlap_are_hidden_whole() {
    assert_eq!(hiding(&["abcd", "cdef"], "xabcdefx"), "x[redacted]x");
    assert_eq!(
        hiding(&["abcd", "efgh"], "abcdefgh"),
        "[redacted][redacted]"
    );
}

#[test]
fn a_long_value_is_hidden_even_when_cut() {
    let value = "My day was long and I could not sleep at night. ".repeat(40);
    let value = value.trim_end().to_owned();
    let told = &value[..100];
    assert_eq!(
        hiding(&value, &format!("too long: {value}!")),
        "too long: [redacted]!"
    );
    assert_eq!(
        hiding(&value, &format!("too long: {told}…")),
        "too long: [redacted]…"
    );
    let alike = [
        format!("{told} and one"),
        format!("{told} and two"),
        value.clone(),
    ];
    let text = format!("{told} and two, {told} and on, {}", &told[..40]);
    let expected = format!("[redacted], [redacted], {}", &told[..40]);
    assert_eq!(hiding(&alike, &text), expected);
}

#[test]
fn a_long_text_is_searched_in_part_and_the_rest_is_left_out() {
    let most = Redaction::MAX_TEXT_BYTES;
    let long = format!("{} secret", "x".repeat(2 * most));
    let kept = hiding("secret", &long);
    assert!(
        kept.len() <= most + "…".len() && kept.ends_with('…'),
        "{}",
        kept.len()
    );
    // A value that continues past the cut is not shown in part.
    let value = "secret of mine".repeat(100);
    for before in [most - 10, most - 1, most - value.len() + 1] {
        let kept = hiding(&value, &format!("{}{value}", "x".repeat(before)));
        assert!(kept.ends_with("x[redacted]…"), "{before}");
    }
    // Without values to hide, nothing is left out.
    assert_eq!(Redaction::default().apply(long.clone()), long);
}

/// Hexadecimal, as other programs write numbers and bytes.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

/// A type of another crate without serde support.
#[derive(Debug, Clone, Copy)]
struct Foreign(i64);

mod foreign {
    use super::Foreign;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Foreign,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (value.0 * 1000).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Foreign, D::Error> {
        i64::deserialize(deserializer).map(|millis| Foreign(millis / 1000))
    }
}

#[derive(OutboxEntity)]
#[outbox(event_type = "encoded")]
#[serde(rename_all = "camelCase")]
struct Encoded {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    shown_text: String,
    #[outbox(metadata, sensitive)]
    #[serde(with = "hex")]
    key: u64,
    #[outbox(metadata, sensitive)]
    #[serde(with = "foreign", rename = "At")]
    at: Foreign,
}

#[derive(Serialize, Deserialize, OutboxEntity)]
#[outbox(event_type = "encodedPage", snapshot)]
#[serde(rename_all = "camelCase")]
struct EncodedPage<T> {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    shown_text: String,
    #[outbox(sensitive)]
    #[serde(with = "foreign")]
    at: Foreign,
    #[outbox(sensitive)]
    note: T,
}

#[test]
fn a_value_is_hidden_in_its_stored_form() {
    let mut redaction = Redaction::default();
    let metadata = EncodedMetadata {
        shown_text: "shown".to_owned(),
        key: 0xdead_beef,
        at: Foreign(1_700_000_000),
    };
    Encoded::hide_sensitive(&metadata, &mut redaction);
    let text = "shown deadbeef 1700000000000".to_owned();
    assert_eq!(redaction.apply(text), "shown [redacted] [redacted]");

    let mut redaction = Redaction::default();
    let page = EncodedPage {
        id: 4711,
        user_id: "user-1".to_owned(),
        shown_text: "shown".to_owned(),
        at: Foreign(1_700_000_000),
        note: "secret".to_owned(),
    };
    EncodedPage::<String>::hide_sensitive(&page, &mut redaction);
    let text = "4711 of user-1 shown 1700000000000 secret".to_owned();
    assert_eq!(
        redaction.apply(text),
        "4711 of user-1 shown [redacted] [redacted]"
    );
}
