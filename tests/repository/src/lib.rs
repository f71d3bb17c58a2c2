//! Finds this repository where a program runs. Paths that are compiled in are wrong once a clone has
//! been moved: Cargo does not rebuild for that.

use std::path::{Path, PathBuf};

/// The environment variable that names the repository, for programs that run outside it.
pub const VARIABLE: &str = "DOSSIER_ROOT";

/// Files that no other repository has together.
const MARKERS: [&str; 2] = ["Cargo.toml", "envoy/example.yaml"];

/// Why no repository was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// The variable names another folder.
    #[error("{VARIABLE}={} is not Dossier's repository: it has no {}", path.display(), MARKERS.join(" or no "))]
    Invalid {
        /// The variable's value.
        path: PathBuf,
    },
    /// The program and the current directory are outside a repository.
    #[error(
        "Dossier's repository is neither {} nor above it: run this in the repository, or name it with {VARIABLE}",
        searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
    )]
    NotFound {
        /// Where the search started.
        searched: Vec<PathBuf>,
    },
}

/// The repository that [`VARIABLE`] names; else the one around the current directory; else the one
/// around the running program.
///
/// # Errors
/// [`RepositoryError`] if there is none.
pub fn find_repository() -> Result<PathBuf, RepositoryError> {
    let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let starts = [std::env::current_dir(), std::env::current_exe()];
    find(
        named.map(PathBuf::from),
        starts.into_iter().flatten().collect(),
    )
}

fn find(named: Option<PathBuf>, starts: Vec<PathBuf>) -> Result<PathBuf, RepositoryError> {
    if let Some(path) = named {
        return match std::path::absolute(&path) {
            Ok(path) if is_repository(&path) => Ok(path),
            _ => Err(RepositoryError::Invalid { path }),
        };
    }
    let mut folders = starts.iter().flat_map(|start| start.ancestors());
    match folders.find(|folder| is_repository(folder)) {
        Some(found) => Ok(found.to_owned()),
        None => Err(RepositoryError::NotFound { searched: starts }),
    }
}

fn is_repository(folder: &Path) -> bool {
    MARKERS.iter().all(|marker| folder.join(marker).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create_repository(folder: &Path) {
        for marker in MARKERS {
            let file = folder.join(marker);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        std::fs::create_dir_all(folder.join("target/debug")).unwrap();
        std::fs::write(folder.join("target/debug/program"), "").unwrap();
    }

    #[test]
    fn finds_moved_repository_at_new_place() {
        let parent = tempfile::tempdir().unwrap();
        let (old, new) = (parent.path().join("old"), parent.path().join("new"));
        create_repository(&old);
        let program = |clone: &Path| clone.join("target/debug/program");
        assert_eq!(find(None, vec![program(&old)]), Ok(old.clone()));
        std::fs::rename(&old, &new).unwrap();
        assert_eq!(find(None, vec![program(&new)]), Ok(new.clone()));
        assert_eq!(find(None, vec![new.join("envoy")]), Ok(new.clone()));
        assert!(find(None, vec![program(&old)]).is_err());
    }

    #[test]
    fn prefers_variable_then_current_directory() {
        let parent = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| parent.path().join(name));
        create_repository(&one);
        create_repository(&other);
        let starts = vec![one.clone(), other.join("target/debug/program")];
        assert_eq!(find(None, starts.clone()), Ok(one));
        assert_eq!(find(Some(other.clone()), starts), Ok(other));
    }

    #[test]
    fn names_searched_folders_without_repository() {
        let parent = tempfile::tempdir().unwrap();
        let start = parent.path().join("deep/below");
        let error = find(None, vec![start.clone()]).unwrap_err().to_string();
        assert!(error.contains(&start.display().to_string()), "{error}");
        assert!(error.contains(VARIABLE), "{error}");
    }

    #[test]
    fn rejects_variable_that_names_another_folder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().to_owned();
        let error = find(Some(path.clone()), vec![]).unwrap_err();
        assert_eq!(error, RepositoryError::Invalid { path });
    }

    #[test]
    fn finds_repository_of_this_test() {
        let repository = find_repository().unwrap();
        assert!(repository.join("tests/repository/Cargo.toml").is_file());
    }
}
