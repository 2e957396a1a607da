//! Files that are whole or absent: written beside, synced, renamed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes `bytes` to `path` so that a reader, or a kill at any moment, sees the old file or the new one.
///
/// The bytes go to a hidden file in the same folder, which is synced and renamed over `path`; the folder
/// is synced too, where the system allows it. Where one of these fails, as on a full disk, the hidden file goes.
///
/// # Errors
///
/// [`Error::Io`] with the path that failed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { op: "write_atomic", path, source }
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let beside = beside(path, folder);
    let written = write(&beside, bytes).map_err(io(&beside));
    if let Err(error) = written.and_then(|()| fs::rename(&beside, path).map_err(io(path))) {
        // What failed is told already.
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    if let Ok(folder) = File::open(folder) {
        // Not every file system lets a folder be synced; the rename itself has happened.
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Closed when this returns: some systems rename no open file.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path, folder: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder.join(format!(".{name}.{}.partial", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::write_atomic;
    use std::fs;

    #[test]
    fn replaces_whole_files_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let error = write_atomic(&dir.path().join("absent/file"), b"x").unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
        // A file cannot take a folder's place.
        fs::create_dir(dir.path().join("folder")).unwrap();
        assert!(write_atomic(&dir.path().join("folder"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
