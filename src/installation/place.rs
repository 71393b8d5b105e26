//! Files into their folder, all or none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use tempfile::TempDir;

use super::ceremony::{Made, Secrecy};

/// Puts `made` into `dir`, which is empty or not there.
pub(super) fn place(dir: &Path, made: &[Made]) -> io::Result<()> {
    match beside(dir, made) {
        // A mount point cannot be replaced, and the folder above it need not be ours to write.
        Err(_) if dir.is_dir() => inside(dir, made),
        outcome => outcome,
    }
}

/// Builds a sibling and renames it. If we die before the rename, `dir` is untouched and a folder
/// `.mayfly-…` is left beside it; after it, `dir` is complete.
fn beside(dir: &Path, made: &[Made]) -> io::Result<()> {
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent)?;
    let staging = stage(parent, made)?;
    fs::rename(staging.path(), dir)?;
    // It is not there any more, and must not be looked for.
    let _ = staging.keep();
    sync(parent)
}

/// Builds a folder inside and moves its files up, the chain last. If we die in between, `dir` holds
/// some of them and is refused as occupied until somebody empties it.
fn inside(dir: &Path, made: &[Made]) -> io::Result<()> {
    let staging = stage(dir, made)?;
    for (moved, file) in made.iter().enumerate() {
        if let Err(error) = fs::rename(staging.path().join(file.name), dir.join(file.name)) {
            for file in made.iter().take(moved) {
                fs::remove_file(dir.join(file.name))?;
            }
            return Err(error);
        }
    }
    staging.close()?;
    sync(dir)
}

/// Writes `made` into a new folder in `parent`, which vanishes if it is dropped. Only its owner can
/// enter it.
fn stage(parent: &Path, made: &[Made]) -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mayfly-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let staging = builder.tempdir_in(parent)?;
    for file in made {
        write(&staging.path().join(file.name), file)?;
    }
    sync(staging.path())?;
    Ok(staging)
}

fn write(path: &Path, made: &Made) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut options,
        match made.secrecy {
            Secrecy::Private => 0o600,
            Secrecy::Public => 0o644,
        },
    );
    let mut file = options.open(path)?;
    file.write_all(&made.contents)?;
    file.sync_all()
}

/// Makes the names in a folder durable.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn made() -> [Made; 2] {
        [("a.key", Secrecy::Private), ("b.pem", Secrecy::Public)].map(|(name, secrecy)| Made {
            name,
            contents: Zeroizing::new(name.as_bytes().to_vec()),
            secrecy,
        })
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What happens at a mount point, without one.
    #[test]
    fn fills_a_folder_from_inside() {
        let dir = tempfile::tempdir().unwrap();
        inside(dir.path(), &made()).unwrap();
        assert_eq!(names(dir.path()), ["a.key", "b.pem"]);
        assert_eq!(fs::read(dir.path().join("b.pem")).unwrap(), b"b.pem");
    }

    #[test]
    fn a_folder_that_cannot_be_filled_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        // A folder in the way of the second file.
        fs::create_dir(dir.path().join("b.pem")).unwrap();
        assert!(inside(dir.path(), &made()).is_err());
        assert_eq!(names(dir.path()), ["b.pem"]);
    }

    #[test]
    fn nothing_is_left_beside_a_folder_that_could_not_be_made() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("data"), "in the way").unwrap();
        assert!(place(&dir.path().join("data"), &made()).is_err());
        assert_eq!(names(dir.path()), ["data"]);
    }
}
