//! What the reference pages of the guide list, to be compared with the code.

use std::path::Path;

/// A file of the repository.
pub fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = std::fs::read_to_string(root.join(path));
    read.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The blocks of code of a page in this language, as the page writes it: `sql`, `rust,no_run`.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = file(page);
    let begin = format!("```{language}\n");
    let rest = text.split(&begin).skip(1);
    let blocks = rest.filter_map(|rest| Some(rest.split_once("```")?.0.to_owned()));
    let blocks: Vec<String> = blocks.collect();
    assert!(!blocks.is_empty(), "{page} has no block of {language}");
    blocks
}

/// The words in code in the first cells of the table that follows `<!-- marker -->`, each up to the
/// first character that no name has: `retry(after = wait)` is `retry`.
pub fn documented(page: &str, marker: &str) -> Vec<String> {
    cells(page, marker, 0)
}

/// The same of another cell.
pub fn cells(page: &str, marker: &str, column: usize) -> Vec<String> {
    let text = file(page);
    let marker = format!("<!-- {marker} -->\n");
    let (_, table) = text
        .split_once(&marker)
        .unwrap_or_else(|| panic!("{page} has no {marker}"));
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(column + 1));
    let mut found = Vec::new();
    for cell in cells {
        let words = cell.split('`').skip(1).step_by(2);
        found.extend(words.map(|word| {
            let end = word.find(|c: char| !c.is_alphanumeric() && c != '_');
            word[..end.unwrap_or(word.len())].to_owned()
        }));
    }
    assert!(!found.is_empty(), "{page} has an empty table at {marker}");
    found
}
