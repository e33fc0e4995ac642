//! Where the server's programs are.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Error;

/// The places to look in, best first.
pub(super) struct Search {
    /// `FACTUM_PG_BINDIR`. If it is set, nothing else is searched: a typo must not run another version unnoticed.
    bindir: Option<PathBuf>,
    /// Holds a folder for each major version. Debian keeps them off `PATH`.
    debian: PathBuf,
    path: OsString,
}

impl Search {
    pub(super) fn from_env() -> Self {
        Self {
            bindir: env::var_os("FACTUM_PG_BINDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            debian: PathBuf::from("/usr/lib/postgresql"),
            path: env::var_os("PATH").unwrap_or_default(),
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        if let Some(bindir) = &self.bindir {
            return vec![bindir.clone()];
        }
        let mut folders = debian_bindirs(&self.debian);
        folders.extend(env::split_paths(&self.path));
        folders
    }
}

/// A folder that holds all the programs that are needed.
#[derive(Debug)]
pub(super) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    pub(super) fn find(search: &Search) -> Result<Self, Error> {
        let searched = search.folders();
        match searched.iter().find(|folder| is_complete(folder)) {
            Some(folder) => Ok(Self { folder: folder.clone() }),
            None => Err(Error::Missing { searched }),
        }
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(super) fn pg_ctl(&self) -> PathBuf {
        self.folder.join("pg_ctl")
    }

    /// A client's program, which a server does without.
    pub(super) fn pg_basebackup(&self) -> PathBuf {
        self.folder.join("pg_basebackup")
    }

    /// The version as the server tells it, such as `15.18`.
    pub(super) fn version(&self) -> Result<String, Error> {
        let postgres = self.folder.join("postgres");
        let output = Command::new(&postgres).arg("--version").output();
        let output = output.map_err(|source| Error::Run { program: postgres.clone(), uid: None, source })?;
        let text = String::from_utf8_lossy(&output.stdout);
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        match text.split_whitespace().nth(2) {
            Some(version) if output.status.success() => Ok(version.to_owned()),
            _ => {
                let complaint = String::from_utf8_lossy(&output.stderr);
                Err(Error::GaveUp { program: postgres, output: format!("{text}{complaint}") })
            }
        }
    }
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// The folder of each version that Debian installed, the newest first.
fn debian_bindirs(versions: &Path) -> Vec<PathBuf> {
    // No such folder means no Debian package, which is for `find` to report, together with the other places.
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(versions)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // As numbers, because 9.6 is older than 15.
            let version = name.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    if found.is_empty() {
        // Names the place in the error.
        return vec![versions.join("*/bin")];
    }
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    /// A folder for one test, deleted with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            let path = env::temp_dir().join(format!("factum-testkit-{test}-{}", process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        /// Pretends to install a server into a folder in here.
        fn install(&self, folder: &str) -> PathBuf {
            let folder = self.0.join(folder);
            fs::create_dir_all(&folder).unwrap();
            for program in ["initdb", "pg_ctl", "postgres"] {
                fs::write(folder.join(program), "").unwrap();
            }
            folder
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn search(scratch: &Scratch) -> Search {
        Search {
            bindir: None,
            debian: scratch.0.join("versions"),
            path: scratch.0.join("path").into_os_string(),
        }
    }

    #[test]
    fn prefers_the_newest_version_by_number() {
        let scratch = Scratch::new("newest");
        scratch.install("versions/9.6/bin");
        let newest = scratch.install("versions/15/bin");
        scratch.install("path");

        assert_eq!(Binaries::find(&search(&scratch)).unwrap().folder, newest);
    }

    #[test]
    fn passes_over_a_version_without_a_server() {
        let scratch = Scratch::new("client-only");
        fs::create_dir_all(scratch.0.join("versions/17/bin")).unwrap();
        let complete = scratch.install("versions/15/bin");

        assert_eq!(Binaries::find(&search(&scratch)).unwrap().folder, complete);
    }

    #[test]
    fn falls_back_to_the_path() {
        let scratch = Scratch::new("path");
        let on_path = scratch.install("path");

        assert_eq!(Binaries::find(&search(&scratch)).unwrap().folder, on_path);
    }

    #[test]
    fn does_not_look_elsewhere_when_told_where() {
        let scratch = Scratch::new("told");
        scratch.install("versions/15/bin");
        let told = scratch.0.join("empty");

        let error = Binaries::find(&Search { bindir: Some(told.clone()), ..search(&scratch) }).unwrap_err();

        assert!(matches!(error, Error::Missing { searched } if searched == [told]));
    }

    #[test]
    fn names_every_place_that_was_searched() {
        let scratch = Scratch::new("nowhere");

        let text = Binaries::find(&search(&scratch)).unwrap_err().to_string();

        assert!(text.contains("/versions/*/bin, "), "{text}");
        assert!(text.contains("/path;"), "{text}");
    }
}
