//! The account that the server runs as: Postgres refuses to run as root.

use std::{
    env, fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use super::Error;

/// Whom to run the server as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Account {
    /// We are an ordinary user.
    Ourselves,
    /// We are root and step down. This takes neither `sudo` nor `su`, which a bare Debian lacks.
    Other { uid: u32, gid: u32 },
}

impl Account {
    pub(super) fn choose() -> Result<Self, Error> {
        if uid()? != 0 {
            return Ok(Self::Ourselves);
        }
        let path = Path::new("/etc/passwd");
        let passwd =
            fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        ["postgres", "nobody"].iter().find_map(|name| find(&passwd, name)).ok_or(Error::NoAccount)
    }

    pub(super) fn uid(self) -> Option<u32> {
        match self {
            Self::Ourselves => None,
            Self::Other { uid, .. } => Some(uid),
        }
    }

    /// A program that runs as this account.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            // The standard library drops root's supplementary groups as well.
            command.uid(uid).gid(gid);
        }
        // The variables of Postgres and of the language would change what these programs do; the working directory may
        // be closed to the account.
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Gives a file or folder to this account.
    pub(super) fn give(self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid))
                .map_err(|source| Error::File { path: path.to_owned(), source }),
        }
    }
}

/// Who we are.
pub(super) fn uid() -> Result<u32, Error> {
    let path = Path::new("/proc/self");
    // The kernel gives a process's folder to the user whom it runs as; asking the C library would need unsafe code.
    let metadata = fs::metadata(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(metadata.uid())
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        // An account that is root by another name would not help.
        (uid != 0).then_some(Account::Other { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          postgresql-fake:x:7:7::/:/bin/sh\n\
                          postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn finds_an_account_by_its_whole_name() {
        assert_eq!(find(PASSWD, "postgres"), Some(Account::Other { uid: 101, gid: 104 }));
        assert_eq!(find(PASSWD, "nobody"), None);
    }

    #[test]
    fn never_steps_down_to_root() {
        assert_eq!(find(PASSWD, "root"), None);
    }
}
