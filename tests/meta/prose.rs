//! Comments stay readable: they are wrapped at 100 columns, and phrases and names that were edited
//! out do not come back.
//!
//! Run with `--nocapture` to see the count for each phrase and name.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

/// The maximum width of a comment line, in characters.
const WIDTH: usize = 100;

/// A phrase, with the number of comments that may still have it. Lower the number, never raise it.
struct Phrase {
    words: &'static str,
    place: In,
    limit: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum In {
    /// At the beginning of a sentence: a clause in place of a noun.
    Beginning,
    Anywhere,
}

const fn beginning(words: &'static str, limit: usize) -> Phrase {
    Phrase {
        words,
        place: In::Beginning,
        limit,
    }
}

const fn anywhere(words: &'static str, limit: usize) -> Phrase {
    Phrase {
        words,
        place: In::Anywhere,
        limit,
    }
}

const PHRASES: &[Phrase] = &[
    beginning("what is", 0),
    beginning("what was", 0),
    beginning("what has", 0),
    beginning("what it", 0),
    beginning("who", 0),
    beginning("that of", 0),
    beginning("those of", 0),
    anywhere("how many it were", 0),
    anywhere("how many they were", 0),
    anywhere("is to be had", 0),
    anywhere("nobody is to", 0),
    anywhere("who writes holds", 0),
    anywhere("whoever", 0),
    anywhere("as many as there are", 0),
    anywhere("one after the other", 0),
    anywhere("the other way round", 0),
    anywhere("by hand", 0),
    anywhere("be it", 0),
];

/// Identifiers that were renamed.
const IDENTIFIERS: &[(&str, usize)] = &[
    ("has_company", 0),
    ("hand_on", 0),
    ("obey", 0),
    ("take_in", 0),
    ("Asked", 0),
    ("Surroundings", 0),
    ("rooms", 0),
    ("Draw", 0),
];

/// A run of comment lines, or the note after a `mod`.
#[derive(Debug, Default)]
struct Comment {
    /// The number of its first line, from 1.
    line: usize,
    /// Its paragraphs, each on one line, without code blocks and tables.
    paragraphs: Vec<String>,
}

/// The comments of a file, and the numbers of the lines that are too wide.
#[derive(Debug, Default)]
struct Prose {
    comments: Vec<Comment>,
    wide: Vec<usize>,
}

impl Prose {
    fn read(code: &str) -> Self {
        let mut prose = Self::default();
        let mut kind = None;
        let mut is_in_code_block = false;
        let mut is_new_paragraph = true;
        for (index, line) in code.lines().enumerate() {
            let Some((marker, text)) = comment(line) else {
                kind = None;
                if let Some(note) = note(line) {
                    prose.comments.push(Comment {
                        line: index + 1,
                        paragraphs: vec![note.to_owned()],
                    });
                    prose.check_width(index + 1, line, note);
                }
                continue;
            };
            if kind != Some(marker) {
                kind = Some(marker);
                is_in_code_block = false;
                is_new_paragraph = true;
                prose.comments.push(Comment {
                    line: index + 1,
                    paragraphs: Vec::new(),
                });
            }
            let is_fence = text.starts_with("```");
            is_in_code_block ^= is_fence;
            if is_in_code_block || is_fence || text.is_empty() || text.starts_with('|') {
                is_new_paragraph = true;
                continue;
            }
            prose.check_width(index + 1, line, text);
            let is_item = text.starts_with("- ") || text.starts_with("* ");
            let Some(comment) = prose.comments.last_mut() else {
                continue;
            };
            match comment.paragraphs.last_mut() {
                Some(paragraph) if !is_new_paragraph && !is_item => {
                    paragraph.push(' ');
                    paragraph.push_str(text);
                }
                _ => comment.paragraphs.push(text.to_owned()),
            }
            is_new_paragraph = text.starts_with("# ");
        }
        prose
    }

    /// A line that cannot be wrapped, such as a URL, may be wider.
    fn check_width(&mut self, number: usize, line: &str, text: &str) {
        let text = text.trim_start_matches("- ");
        if line.chars().count() > WIDTH && text.contains(' ') && !text.contains("://") {
            self.wide.push(number);
        }
    }

    /// The lines of the comments that have this phrase.
    fn find(&self, phrase: &Phrase) -> Vec<usize> {
        let has_it = |comment: &&Comment| comment.paragraphs.iter().any(|it| phrase.is_in(it));
        let found = self.comments.iter().filter(has_it);
        found.map(|comment| comment.line).collect()
    }
}

impl Phrase {
    fn is_in(&self, paragraph: &str) -> bool {
        let text = paragraph.to_lowercase();
        text.match_indices(self.words).any(|(at, words)| {
            let (before, after) = (&text[..at], &text[at + words.len()..]);
            let is_whole = !after.starts_with(is_of_word) && !before.ends_with(is_of_word);
            let begins = before
                .trim_end()
                .trim_start_matches("- ")
                .chars()
                .next_back()
                .is_none_or(|last| last == '.');
            is_whole && (self.place == In::Anywhere || begins)
        })
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || "_`'".contains(c)
}

/// The marker and the text of a line that is a comment.
fn comment(line: &str) -> Option<(&'static str, &str)> {
    let line = line.trim_start();
    let marker = ["//!", "///", "//"]
        .into_iter()
        .find(|marker| line.starts_with(marker))?;
    Some((marker, line[marker.len()..].trim()))
}

/// The note in `mod name; // note`.
fn note(line: &str) -> Option<&str> {
    let (declaration, note) = line.split_once("; // ")?;
    let is_module = declaration.split(' ').rev().nth(1) == Some("mod");
    is_module.then_some(note.trim())
}

/// Counts the identifiers of `code` that are in the list.
fn count_identifiers(code: TokenStream, counts: &mut BTreeMap<&'static str, usize>) {
    for token in code {
        match token {
            TokenTree::Group(group) => count_identifiers(group.stream(), counts),
            TokenTree::Ident(ident) => {
                if let Some((name, _)) = IDENTIFIERS.iter().find(|(name, _)| ident == name) {
                    *counts.entry(name).or_default() += 1;
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn identifiers(code: &str) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    let tokens = code.parse().expect("Rust code");
    count_identifiers(tokens, &mut counts);
    counts
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every Rust file of the packages, tests and examples, with its path from the root.
fn files() -> Vec<(String, String)> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            path.is_dir() && (name.starts_with("outbox-") || ["tests", "examples"].contains(&name))
        })
        .collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap();
                found.push((path.replace('\\', "/"), code));
            }
        }
    }
    found.sort_unstable();
    assert!(found.len() > 300, "found only {} files", found.len());
    found
}

#[test]
fn comments_are_wrapped_at_100_columns() {
    let (mut lines, mut wide) = (0, Vec::new());
    for (file, code) in files() {
        lines += code.lines().filter(|line| comment(line).is_some()).count();
        let found = Prose::read(&code).wide;
        wide.extend(found.iter().map(|line| format!("{file}:{line}")));
    }
    println!("{lines} comment lines, {} over {WIDTH} columns", wide.len());
    assert!(wide.is_empty(), "wrap these lines:\n{}", wide.join("\n"));
}

#[test]
fn phrases_that_were_edited_out_do_not_come_back() {
    let prose: Vec<_> = files()
        .into_iter()
        .map(|(file, code)| (file, Prose::read(&code)))
        .collect();
    let mut violations = String::new();
    for phrase in PHRASES {
        let at = |(file, prose): &(String, Prose)| {
            let lines = prose.find(phrase).into_iter();
            lines
                .map(|line| format!("{file}:{line}"))
                .collect::<Vec<_>>()
        };
        let found: Vec<String> = prose.iter().flat_map(at).collect();
        let (count, limit, words) = (found.len(), phrase.limit, phrase.words);
        println!("{count:3} (at most {limit}): {words}");
        if count > limit {
            let places = found.join("\n    ");
            writeln!(violations, "{words}: {count} > {limit}\n    {places}").unwrap();
        }
    }
    assert!(violations.is_empty(), "say it plainly:\n{violations}");
}

#[test]
fn identifiers_that_were_renamed_do_not_come_back() {
    let mut counts: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    for (file, code) in files() {
        for (name, count) in identifiers(&code) {
            let (total, files) = counts.entry(name).or_default();
            *total += count;
            files.push(file.clone());
        }
    }
    let mut violations = Vec::new();
    for (name, limit) in IDENTIFIERS {
        let (count, files) = counts.remove(name).unwrap_or_default();
        println!("{count:3} (at most {limit}): {name}");
        if count > *limit {
            violations.push(format!("{name}: {count} > {limit} in {}", files.join(", ")));
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn every_phrase_is_found_in_a_comment() {
    for phrase in PHRASES {
        let words = phrase.words;
        let capital = words[..1].to_uppercase() + &words[1..];
        let wrapped = capital.replacen(' ', "\n    // ", 1);
        for code in [
            format!("/// {capital} left.\nfn f() {{}}"),
            format!("fn f() {{\n    // One sentence. {wrapped} left.\n}}"),
            format!("//! # Heading\n//! {capital}"),
            format!("pub(crate) mod name; // {words} left"),
        ] {
            assert_eq!(Prose::read(&code).find(phrase).len(), 1, "{code}");
        }
        for code in [
            format!("let text = \"// {words} left\";"),
            format!("/// ```\n/// {words}\n/// ```"),
            format!("/// x{words}x"),
        ] {
            assert_eq!(Prose::read(&code).find(phrase).len(), 0, "{code}");
        }
        let middle = Prose::read(&format!("/// It says {words} left."));
        let expected = usize::from(phrase.place == In::Anywhere);
        assert_eq!(middle.find(phrase).len(), expected, "{words}");
    }
}

#[test]
fn every_identifier_is_found_in_code() {
    for (name, _) in IDENTIFIERS {
        for code in [
            format!("fn {name}() {{}}"),
            format!("fn f() {{ vec![self.{name}()] }}"),
        ] {
            assert_eq!(identifiers(&code).get(name), Some(&1), "{code}");
        }
        let harmless = format!("/// {name}\nfn {name}_x() {{ \"{name}\" }} // {name}");
        assert!(identifiers(&harmless).is_empty(), "{harmless}");
    }
}

#[test]
fn a_wide_comment_is_found() {
    let wide = |width: usize| "é ".repeat(width / 2) + &"x".repeat(width % 2);
    for (code, lines) in [
        (format!("/// {}", wide(97)), vec![1]),
        (format!("fn f() {{\n    // {}\n}}", wide(95)), vec![2]),
        (format!("//! One.\n//!\n//! - {}", wide(97)), vec![3]),
        (format!("mod name; // {}", wide(89)), vec![1]),
        (format!("/// {}x", wide(95)), vec![]),
        (format!("/// | {} |", wide(99)), vec![]),
        (
            format!("/// ```\n/// {}\n/// ```\n/// {0}", wide(99)),
            vec![4],
        ),
        (format!("/// See https://{}", "x".repeat(99)), vec![]),
        (format!("/// - [`{}`]", "x".repeat(99)), vec![]),
    ] {
        assert_eq!(Prose::read(&code).wide, lines, "{code}");
    }
}
