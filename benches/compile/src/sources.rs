//! The crates to compile: the same structs, with and without derives.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A crate of structs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// No derives.
    Plain,
    /// `Serialize` and `Deserialize`.
    Serde,
    /// `OutboxEntity`.
    Outbox,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Serde, Self::Outbox];

    /// The crate's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Serde => "serde_derives",
            Self::Outbox => "outbox_entity",
        }
    }

    /// The name for display.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Plain => "plain structs",
            Self::Serde => "Serialize + Deserialize",
            Self::Outbox => "OutboxEntity",
        }
    }

    fn attributes(self, entity: usize) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Serde => "#[derive(serde::Serialize, serde::Deserialize)]\n".to_owned(),
            Self::Outbox => format!(
                "#[derive(outbox_runtime::OutboxEntity)]\n\
                 #[outbox(event_type = \"entity{entity}\", priority = {})]\n",
                entity % 10
            ),
        }
    }

    fn of_field(self, role: &str) -> String {
        match self {
            Self::Plain | Self::Serde => String::new(),
            Self::Outbox => format!("    #[outbox({role})]\n"),
        }
    }
}

/// Typical metadata fields; each entity has four of them, and the next entity another four.
const TYPES: [&str; 8] = [
    "f64",
    "Vec<String>",
    "Option<String>",
    "bool",
    "u32",
    "String",
    "std::collections::BTreeMap<String, i64>",
    "Option<i64>",
];

/// Writes a workspace with a crate for each variant, all with the same dependencies.
pub(crate) fn write(folder: &Path, entities: usize) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let root = repository();
    let members = Variant::ALL.map(|variant| format!("{:?}", variant.name()));
    fs::write(
        folder.join("Cargo.toml"),
        format!(
            "[workspace]\nresolver = \"3\"\nmembers = [{}]\n",
            members.join(", ")
        ),
    )?;
    // The workspace's own lock file: the same versions, and nothing to download.
    fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    for variant in Variant::ALL {
        let source = source_of(folder, variant);
        if let Some(parent) = source.parent() {
            fs::create_dir_all(parent)?;
        }
        let manifest = manifest(variant, &root.join("outbox-runtime"));
        fs::write(folder.join(variant.name()).join("Cargo.toml"), manifest)?;
        fs::write(source, code(variant, entities))?;
    }
    Ok(())
}

/// Makes cargo compile the crate again.
pub(crate) fn touch(folder: &Path, variant: Variant) -> io::Result<()> {
    let source = source_of(folder, variant);
    let code = fs::read(&source)?;
    fs::write(source, code)
}

fn source_of(folder: &Path, variant: Variant) -> PathBuf {
    folder.join(variant.name()).join("src").join("lib.rs")
}

/// The folder of the workspace that this package is in.
fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

fn manifest(variant: Variant, runtime: &Path) -> String {
    format!(
        "[package]\nname = {:?}\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\noutbox-runtime = {{ path = {runtime:?} }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n",
        variant.name()
    )
}

fn code(variant: Variant, entities: usize) -> String {
    let mut code = String::from("#![allow(dead_code)]\n");
    for entity in 0..entities {
        let mut fields = String::new();
        let _ = write!(
            fields,
            "{}    pub id: i64,\n{}    pub user_id: String,\n",
            variant.of_field("entity_id"),
            variant.of_field("user_id")
        );
        let types = TYPES.iter().cycle().skip(entity % TYPES.len());
        for (field, ty) in types.take(4).enumerate() {
            let role = variant.of_field("metadata");
            let _ = writeln!(fields, "{role}    pub field_{field}: {ty},");
        }
        let attributes = variant.attributes(entity);
        let _ = write!(
            code,
            "\n{attributes}pub struct Entity{entity} {{\n{fields}}}\n"
        );
    }
    code
}
