//! A copy of the database while somebody writes to it.

use std::path::Path;

use super::{Sqlite, StoreError};

impl Sqlite {
    /// Writes a copy of one state of the log into the file at `path`, which is empty or not there; whole
    /// when this returns, and durable once the caller has synced it. Appending goes on meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] when there is something in the file, or the disk says no.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let Some(path) = path.to_str() else {
            return Err(StoreError::Backend(format!("{} is not UTF-8", path.display())));
        };
        self.readers.with(|connection| {
            connection.execute("VACUUM INTO ?1", [path])?;
            Ok(())
        })
    }
}
