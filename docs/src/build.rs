//! Makes rustdoc's pages of the book's: each page of `SUMMARY.md` becomes the documentation of a
//! module, and the links between pages lead from module to module.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where readers of the documentation see a file of the package that is no page.
const FILES: &str = "https://docs.rs/crate/outbox-guide/latest/source/";

fn main() -> Result<(), Box<dyn Error>> {
    let book = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let read = |page: &str| {
        println!("cargo::rerun-if-changed={page}");
        fs::read_to_string(book.join(page)).map_err(|error| format!("{page}: {error}"))
    };
    let summary = read("SUMMARY.md")?;
    let mut modules = String::new();
    for page in targets(&summary).filter(|page| *page != "README.md") {
        let name = module(page).ok_or_else(|| format!("SUMMARY.md: {page} is no page"))?;
        fs::write(
            out.join(format!("{name}.md")),
            rewritten(&read(page)?, page),
        )?;
        writeln!(
            modules,
            "#[cfg_attr(not(doctest), doc = include_str!(concat!(env!(\"OUT_DIR\"), \"/{name}.md\")))]\n\
             pub mod {name} {{}}"
        )?;
    }
    fs::write(out.join("pages.rs"), modules)?;
    // The first page, and all others in their order, which rustdoc's own list of modules has not.
    let contents = summary.split_once("\n# ").map_or("", |(_, rest)| rest);
    let first = read("README.md")?
        + "\n# All pages\n\n#"
        + &format!("# {contents}").replace("\n# ", "\n## ");
    fs::write(out.join("README.md"), rewritten(&first, "README.md"))?;
    Ok(())
}

/// The name of the module of a page, which is a path below the book. `None` for other files.
fn module(page: &str) -> Option<String> {
    let name = Path::new(page).file_name()?.to_str()?.strip_suffix(".md")?;
    Some(name.replace('-', "_"))
}

/// The targets of the links in a text without code.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let rest = text.split("](").skip(1);
    rest.filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The text of a page with links that hold in the documentation of its module.
fn rewritten(text: &str, page: &str) -> String {
    let mut rewritten = String::new();
    let mut is_code = false;
    for line in text.split_inclusive('\n') {
        is_code ^= line.trim_start().starts_with("```");
        // Every second part is between backquotes.
        for (number, part) in line.split('`').enumerate() {
            if number > 0 {
                rewritten.push('`');
            }
            match is_code || number % 2 == 1 {
                true => rewritten.push_str(part),
                false => rewritten.push_str(&prose(part, page)),
            }
        }
    }
    rewritten
}

/// A text without code, with its links rewritten, and pictures, which documentation cannot have,
/// replaced by what they show.
fn prose(text: &str, page: &str) -> String {
    let mut parts = text.split("](");
    let mut prose = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((target, after)) = part.split_once(')') else {
            prose = prose + "](" + part;
            continue;
        };
        match prose.rfind("![") {
            Some(at) if !prose[at..].contains(']') => {
                prose.replace_range(at..at + 2, "");
            }
            _ => prose = prose + "](" + &link(target, page) + ")",
        }
        prose += after;
    }
    prose
}

/// A link of a page as it leads to the same place from its module.
fn link(target: &str, page: &str) -> String {
    if target.contains("://") || target.starts_with('#') {
        return target.to_owned();
    }
    let up = if page == "README.md" { "" } else { "../" };
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, format!("#{anchor}")),
        None => (target, String::new()),
    };
    match (file, module(file)) {
        (file, _) if file.ends_with("README.md") => format!("{up}index.html{anchor}"),
        (_, Some(module)) => format!("{up}{module}/index.html{anchor}"),
        (_, None) => {
            let folder = Path::new(page).parent().unwrap_or(Path::new(""));
            format!("{FILES}{}{anchor}", folder.join(file).display())
        }
    }
}
