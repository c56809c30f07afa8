//! Which certificates are trusted and shown: the system's roots, extra authorities, and docker's `certs.d` folders.

use std::path::PathBuf;

use rustls::ClientConfig;

use crate::error::StoreError;

/// What the `certs.d` folders hold for one registry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFiles {
    authorities: Vec<PathBuf>,
    clients: Vec<(PathBuf, PathBuf)>,
}

impl HostFiles {
    /// Looks for `FOLDER/HOST/*.crt` and for pairs of `NAME.cert` and `NAME.key`. Folders that are not there hold nothing.
    pub(crate) fn find(folders: &[PathBuf], host: &str) -> Self {
        let mut found = Self::default();
        // A host comes from a parsed reference, but a name like `..` must not even be tried.
        if host.contains(['/', '\\']) || host.starts_with('.') {
            return found;
        }
        for folder in folders {
            let Ok(entries) = std::fs::read_dir(folder.join(host)) else {
                continue;
            };
            let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            files.sort();
            for file in files {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => found.authorities.push(file),
                    Some("cert") => {
                        let key = file.with_extension("key");
                        if key.is_file() {
                            found.clients.push((file, key));
                        }
                    }
                    _ => {}
                }
            }
        }
        found
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.authorities.is_empty() && self.clients.is_empty()
    }
}

/// Makes the TLS side of a client. Without `system_roots` and files it trusts nobody: for registries without TLS.
pub(crate) fn configure(
    ca_files: &[PathBuf],
    host: &HostFiles,
    system_roots: bool,
) -> Result<ClientConfig, StoreError> {
    let authorities = ca_files.iter().chain(&host.authorities);
    let client = host.clients.first();
    reseal_net::tls::configure(
        system_roots,
        authorities.map(PathBuf::as_path),
        client.map(|(chain, key)| (chain.as_path(), key.as_path())),
    )
    .map_err(|why| StoreError::Settings { why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certs_d_gives_authorities_and_whole_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("registry.example:5000");
        std::fs::create_dir(&host).unwrap();
        for name in [
            "ca.crt",
            "b.crt",
            "client.cert",
            "client.key",
            "alone.cert",
            "notes.txt",
        ] {
            std::fs::write(host.join(name), "x").unwrap();
        }
        let folders = [PathBuf::from("/nonexistent"), folder.path().to_owned()];
        let found = HostFiles::find(&folders, "registry.example:5000");
        assert_eq!(found.authorities, [host.join("b.crt"), host.join("ca.crt")]);
        assert_eq!(
            found.clients,
            [(host.join("client.cert"), host.join("client.key"))]
        );
        for other in [
            "registry.example",
            "..",
            "registry.example:5000/../registry.example:5000",
        ] {
            assert!(HostFiles::find(&folders, other).is_empty(), "{other}");
        }
    }

    #[test]
    fn a_bad_authority_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "not a certificate").unwrap();
        for path in [file, folder.path().join("missing.pem")] {
            let error =
                configure(std::slice::from_ref(&path), &HostFiles::default(), false).unwrap_err();
            assert!(
                error.to_string().contains(path.to_str().unwrap()),
                "{error}"
            );
        }
    }
}
