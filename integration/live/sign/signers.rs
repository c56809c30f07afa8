//! Who signs in the tests, and how everybody is told to trust them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, fs};

use reseal_registry::Secret;
use reseal_sign::key::{self, KeyReference};
use reseal_sign::oidc::{AUDIENCE, TokenSource};
use reseal_sign::service::{Http, HttpSettings};
use reseal_sign::{Identity, Session, SignError, SignSettings, SignatureFormat};

use super::judges::Trust;
use super::support::{Services, Site, now, site, unique};

/// The two files of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyPair {
    name: &'static str,
    pub(super) private: PathBuf,
    public: PathBuf,
}

impl KeyPair {
    pub(super) fn public(&self) -> &Path {
        &self.public
    }
}

/// Keys of every kind, in cosign's form.
pub(super) struct Keys {
    pub(super) p256: KeyPair,
    pub(super) rsa: KeyPair,
    pub(super) ed25519: KeyPair,
    pub(super) p384: KeyPair,
}

impl Keys {
    pub(super) fn make(site: &Site) -> Self {
        let folder = site.home().join(unique());
        fs::create_dir(&folder).expect("a folder");
        let import = |name: &'static str, options: &[&str]| {
            let output = Command::new("openssl")
                .arg("genpkey")
                .args(options)
                .output()
                .expect("openssl is there");
            assert!(output.status.success(), "no key {name}");
            let none = || Ok(Secret::new(""));
            let files = key::import_key(&output.stdout, &none, &Secret::new("")).expect("a key");
            Self::save(&folder, name, &files)
        };
        Self {
            p256: Self::save(
                &folder,
                "p256",
                &key::generate_key(&Secret::new("")).expect("a key"),
            ),
            rsa: import(
                "rsa",
                &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            ),
            ed25519: import("ed25519", &["-algorithm", "ED25519"]),
            p384: import(
                "p384",
                &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            ),
        }
    }

    /// A key that has signed nothing.
    pub(super) fn of_nobody(site: &Site) -> KeyPair {
        let key = key::generate_key(&Secret::new("")).expect("a key");
        let folder = site.home().join(unique());
        fs::create_dir(&folder).expect("a folder");
        Self::save(&folder, "nobody", &key)
    }

    fn save(folder: &Path, name: &'static str, files: &key::KeyFiles) -> KeyPair {
        let pair = KeyPair {
            name,
            private: folder.join(format!("{name}.key")),
            public: folder.join(format!("{name}.pub")),
        };
        fs::write(&pair.private, &files.private).expect("a written file");
        fs::write(&pair.public, &files.public).expect("a written file");
        pair
    }
}

/// Who signs.
#[derive(Debug, Clone)]
pub(super) enum Signatory {
    Key(KeyPair),
    Identity {
        kind: &'static str,
        site: &'static str,
    },
}

impl fmt::Display for Signatory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {}", key.name),
            Self::Identity { kind, .. } => write!(f, "identity {kind}"),
        }
    }
}

impl Signatory {
    pub(super) fn identity(site: &'static Site, kind: &'static str) -> Self {
        Self::Identity {
            kind,
            site: &site.oidc,
        }
    }

    pub(super) fn is_key(&self) -> bool {
        matches!(self, Self::Key(_))
    }

    /// How others are told to trust this signer.
    pub(super) fn trust(&self) -> Trust {
        match self {
            Self::Key(key) => Trust::Key(key.public.clone()),
            Self::Identity { kind, site } => Trust::Identity {
                // What Fulcio makes of the claims that the issuer gives each kind.
                identity: match *kind {
                    "email" => "alice@example.com".to_owned(),
                    "github" => {
                        "https://github.com/acme/app/.github/workflows/patch.yml@refs/heads/main"
                            .to_owned()
                    }
                    "gitlab" => {
                        "https://gitlab.example.com/acme/app//.gitlab-ci.yml@refs/heads/main"
                            .to_owned()
                    }
                    "kubernetes" => {
                        "https://kubernetes.io/namespaces/build/serviceaccounts/patcher".to_owned()
                    }
                    "buildkite" => "https://buildkite.com/acme/app".to_owned(),
                    "circleci" => "https://circleci.com/api/v2/projects/b2".to_owned(),
                    kind => format!("{site}/{kind}/robot"),
                },
                issuer: format!("{site}/{kind}"),
            },
        }
    }

    pub(super) fn session(&self, services: Services, format: SignatureFormat) -> Session {
        self.session_with(services, format, BTreeMap::new())
    }

    /// As [`Self::session`], of settings that need not fit together.
    pub(super) fn open(
        &self,
        services: Services,
        format: SignatureFormat,
    ) -> Result<Session, SignError> {
        self.open_with(services, format, BTreeMap::new())
    }

    pub(super) fn session_with(
        &self,
        services: Services,
        format: SignatureFormat,
        annotations: BTreeMap<String, String>,
    ) -> Session {
        self.open_with(services, format, annotations)
            .expect("settings that fit together")
    }

    fn open_with(
        &self,
        services: Services,
        format: SignatureFormat,
        annotations: BTreeMap<String, String>,
    ) -> Result<Session, SignError> {
        let site = site().expect("the tests have asked");
        let config = fs::read(site.signing_config(services)).expect("a readable file");
        let identity = match self {
            Self::Key(key) => {
                let none = || Ok(Secret::new(""));
                let reference = KeyReference::File(key.private.clone());
                Identity::Key(reference.open(&|_| None, &none).expect("a key"))
            }
            Self::Identity { kind: "github", .. } => Identity::Keyless {
                tokens: TokenSource::GitHub {
                    url: format!("{}/github/request?api-version=2.0", site.oidc)
                        .parse()
                        .expect("an address"),
                    bearer: Secret::new("request"),
                },
                audience: AUDIENCE.to_owned(),
            },
            Self::Identity { kind, .. } => Identity::Keyless {
                tokens: TokenSource::given(&site.token(kind)),
                audience: AUDIENCE.to_owned(),
            },
        };
        let settings = SignSettings {
            identity,
            services: reseal_sign::service::Services::from_signing_config(&config, now())
                .expect("a signing configuration"),
            tlog: services != Services::None,
            format,
            annotations,
        };
        let http = Http::new(HttpSettings::default()).expect("a client");
        Session::open(settings, http)
    }
}
