//! Where the server's programs are, and which user may run them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `initdb` and `postgres`, from `OUTBOX_POSTGRES_BIN`, `pg_config`, the folders of
/// Debian (the newest version), or the search path.
pub(crate) fn programs() -> Option<PathBuf> {
    let has_server =
        |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if let Some(folder) = std::env::var_os("OUTBOX_POSTGRES_BIN") {
        return Some(PathBuf::from(folder)).filter(|folder| has_server(folder));
    }
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.map(|told| PathBuf::from(String::from_utf8_lossy(&told.stdout).trim()));
    if let Some(folder) = told.filter(|folder| has_server(folder)) {
        return Some(folder);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let number = |folder: &Path| -> u32 {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.parse().ok()).unwrap_or(0)
    };
    let newest = versions
        .map(|entry| entry.path())
        .max_by_key(|folder| number(folder));
    if let Some(folder) = newest
        .map(|folder| folder.join("bin"))
        .filter(|folder| has_server(folder))
    {
        return Some(folder);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).find(|folder| has_server(folder))
}

/// The user and group that run the server: this process's own, unless that is root, which the
/// server refuses.
pub(crate) fn user() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let mut fields = fields.filter(|fields| fields.first() == Some(&name));
        let fields = fields.next()?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    Some(
        ids("postgres")
            .or_else(|| ids("nobody"))
            .unwrap_or((65_534, 65_534)),
    )
}
