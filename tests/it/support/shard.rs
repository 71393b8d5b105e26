//! The shard of a log that takes certificates now: from December on there are two, and the new one begins
//! ten minutes before the year.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mayfly::store::sqlite;
use mayfly::time::{Clock, SystemClock};

/// How long a certificate holds by default.
const LIFETIME: Duration = Duration::from_secs(600);

/// The databases of all shards in this data folder.
#[track_caller]
pub fn databases(data: &Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(data.join("ct")).expect("a log");
    let files = folder.map(|file| file.expect("a file").path());
    let is_database = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".sqlite") && !name.ends_with(".index.sqlite")
    };
    files.filter(is_database).collect()
}

/// The database of the one that takes certificates now.
#[track_caller]
pub fn database(data: &Path) -> PathBuf {
    let not_after = SystemClock.now().plus(LIFETIME);
    let takes_now = |file: &PathBuf| {
        let owner = sqlite::owner(file).unwrap_or_else(|error| panic!("{error}"));
        owner.window.holds(not_after)
    };
    databases(data).into_iter().find(takes_now).expect("a shard for what is issued now")
}

/// Its name.
#[track_caller]
pub fn name(data: &Path) -> String {
    let database = database(data);
    database.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned()
}
