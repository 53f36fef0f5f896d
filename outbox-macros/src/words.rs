//! Names split into words: `HTTPLog` is "HTTP Log" for people and `http_log` as a method.

use proc_macro2::Span;
use syn::Ident;
use syn::ext::IdentExt;

/// `HTTPLog` → "HTTP Log".
pub(crate) fn title(name: &Ident) -> String {
    split(&name.unraw().to_string()).join(" ")
}

/// `HTTPLog` → "httpLog", the usual spelling of event types.
pub(crate) fn lower_camel(name: &Ident) -> String {
    let name = name.unraw().to_string();
    let mut words = split(&name).into_iter();
    let first = words.next().unwrap_or_default().to_lowercase();
    words.fold(first, |name, word| name + &word)
}

/// `HTTPLog` → `http_log`; `Type` → `r#type`.
pub(crate) fn method_name(name: &Ident, span: Span) -> Ident {
    let words = split(&name.unraw().to_string());
    let snake = words.join("_").to_lowercase();
    let word = match snake.as_str() {
        // The keywords that cannot be raw identifiers.
        "crate" | "self" | "super" => format!("{snake}_"),
        // A keyword only since the 2024 edition, which not every parser knows.
        "gen" => format!("r#{snake}"),
        _ if syn::parse_str::<Ident>(&snake).is_err() => format!("r#{snake}"),
        _ => snake,
    };
    match syn::parse_str::<Ident>(&word) {
        Ok(mut method) => {
            method.set_span(span);
            method
        }
        Err(_) => name.clone(),
    }
}

/// A word begins at a capital after a lowercase letter or a digit, and at the last capital of a run
/// before a lowercase letter.
fn split(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut previous: Option<char> = None;
    for (at, letter) in letters.iter().copied().enumerate() {
        let next_is_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = match previous {
            None | Some('_') => true,
            Some(previous) if letter.is_uppercase() => !previous.is_uppercase() || next_is_small,
            Some(_) => false,
        };
        previous = Some(letter);
        match words.last_mut() {
            _ if letter == '_' => {}
            Some(word) if !begins => word.push(letter),
            _ => words.push(letter.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ident(name: &str) -> Ident {
        syn::parse_str(name).expect("an identifier")
    }

    #[test]
    fn a_name_is_split_before_capitals_and_acronyms_stay_whole() {
        for (name, expected) in [
            ("MoodEntry", "Mood Entry"),
            ("HTTPLog", "HTTP Log"),
            ("UserHTTP", "User HTTP"),
            ("Goal", "Goal"),
            ("Step2Do", "Step2 Do"),
            ("_Mood_Entry", "Mood Entry"),
            ("r#Type", "Type"),
        ] {
            assert_eq!(title(&ident(name)), expected);
        }
    }

    #[test]
    fn a_method_is_named_in_snake_case_and_raw_where_it_must_be() {
        for (name, expected) in [
            ("MoodEntry", "mood_entry"),
            ("HTTPLog", "http_log"),
            ("Type", "r#type"),
            ("Gen", "r#gen"),
            ("Crate", "crate_"),
        ] {
            let method = method_name(&ident(name), Span::call_site());
            assert_eq!(method.to_string(), expected);
        }
    }

    #[test]
    fn an_event_type_is_suggested_in_camel_case() {
        assert_eq!(lower_camel(&ident("MoodEntry")), "moodEntry");
        assert_eq!(lower_camel(&ident("HTTPLog")), "httpLog");
    }
}
