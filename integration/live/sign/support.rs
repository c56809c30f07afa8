//! The private Sigstore, its registries, small images in them, and our side of each test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use reseal_oci::{Descriptor, Digest, ImageManifest, RawManifest, Repository};
use reseal_registry::{
    BlobSource, Credential, CredentialStore, Registries, RegistrySettings, Secret, Store, Target,
    copy_blob,
};
use reseal_sign::key::PublicKey;
use reseal_sign::statement::Subject;
use reseal_sign::store::{self, Suffix};
use reseal_sign::verify::{self, Log, Match, Origin, Timestamps, TrustedRoot, VerifyPolicy, Who};
use reseal_sign::{Session, Signed};
use serde_json::{Value, json};

use super::judges::{Proofs, Trust};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Which services a signature is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Services {
    None,
    Rekor1,
    Rekor1Tsa,
    /// With timestamps: its entries have no time.
    Rekor2,
}

/// Where everything is.
pub(super) struct Site {
    pub(super) oidc: String,
    pub(super) fulcio: String,
    pub(super) rekor: String,
    pub(super) tsa: String,
    pub(super) trusted_root: PathBuf,
    pub(super) trusted_root_empty: PathBuf,
    pub(super) fulcio_chain: PathBuf,
    pub(super) ct_key: PathBuf,
    pub(super) rekor_key: PathBuf,
    pub(super) cosign_old: PathBuf,
    pub(super) cosign_new: PathBuf,
    pub(super) sigstore_python: PathBuf,
    signing_configs: BTreeMap<&'static str, PathBuf>,
    registries: Vec<Place>,
    home: tempfile::TempDir,
}

/// Reads the environment; `None` if no server was started.
pub(super) fn site() -> Option<&'static Site> {
    static SITE: LazyLock<Option<Site>> = LazyLock::new(Site::from_environment);
    SITE.as_ref()
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn variable(name: &str) -> Option<String> {
    let value = std::env::var(format!("RESEAL_IT_{name}")).ok();
    if value.is_none() {
        eprintln!("skipped: RESEAL_IT_{name} is not set");
    }
    value
}

impl Site {
    fn from_environment() -> Option<Self> {
        let file = |name: &str| Some(PathBuf::from(variable(name)?));
        let site = Self {
            oidc: variable("SIGSTACK_OIDC")?,
            fulcio: variable("SIGSTACK_FULCIO")?,
            rekor: variable("SIGSTACK_REKOR")?,
            tsa: variable("TSA")?,
            trusted_root: file("TRUSTED_ROOT")?,
            trusted_root_empty: file("TRUSTED_ROOT_EMPTY")?,
            fulcio_chain: file("FULCIO_CHAIN")?,
            ct_key: file("CT_KEY")?,
            rekor_key: file("REKOR_KEY")?,
            cosign_old: file("COSIGN_OLD")?,
            cosign_new: file("COSIGN_NEW")?,
            sigstore_python: file("SIGSTORE_PYTHON")?,
            signing_configs: ["NONE", "REKOR1", "REKOR1_TSA", "REKOR2"]
                .into_iter()
                .map(|name| Some((name, file(&format!("SIGNING_CONFIG_{name}"))?)))
                .collect::<Option<_>>()?,
            registries: vec![
                Place::open("with referrers", variable("REGISTRY")?, None),
                Place::open("without referrers", variable("REGISTRY_PLAIN")?, None),
                Place::guarded("first login", "REGISTRY_AUTH")?,
                Place::guarded("second login", "REGISTRY_AUTH2")?,
            ],
            // Nothing drops a static: the folder goes with the servers'.
            home: tempfile::tempdir_in(variable("RUN")?).expect("a folder"),
        };
        // cosign finds its logins where Docker keeps them.
        let auths: serde_json::Map<_, _> = site
            .registries
            .iter()
            .filter_map(|place| {
                let (user, password) = place.login.as_ref()?;
                Some((
                    place.host.clone(),
                    json!({"username": user, "password": password}),
                ))
            })
            .collect();
        let file = site.home.path().join("config.json");
        fs::write(file, json!({"auths": auths}).to_string()).expect("a written file");
        Some(site)
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn signing_config(&self, services: Services) -> PathBuf {
        let name = match services {
            Services::None => "NONE",
            Services::Rekor1 => "REKOR1",
            Services::Rekor1Tsa => "REKOR1_TSA",
            Services::Rekor2 => "REKOR2",
        };
        self.signing_configs[name].clone()
    }

    /// A fresh token of an identity of this kind.
    pub(super) fn token(&self, kind: &str) -> String {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--request", "POST"])
            .args(["--noproxy", "*"])
            .arg(format!("{}/{kind}/mint", self.oidc))
            .output()
            .expect("curl is there");
        assert!(output.status.success(), "no token for {kind}");
        String::from_utf8(output.stdout).expect("a token is ASCII")
    }
}

/// A registry.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) name: &'static str,
    host: String,
    login: Option<(String, String)>,
}

/// The registries that everybody may use: one with and one without the referrers API.
pub(super) fn places(site: &Site) -> Vec<Place> {
    site.registries[..2].to_vec()
}

impl Place {
    fn open(name: &'static str, host: String, login: Option<(String, String)>) -> Self {
        Self { name, host, login }
    }

    fn guarded(name: &'static str, prefix: &str) -> Option<Self> {
        let login = (
            variable(&format!("{prefix}_USER"))?,
            variable(&format!("{prefix}_PASSWORD"))?,
        );
        Some(Self::open(name, variable(prefix)?, Some(login)))
    }

    pub(super) fn first_login(site: &Site) -> Self {
        site.registries[2].clone()
    }

    pub(super) fn second_login(site: &Site) -> Self {
        site.registries[3].clone()
    }

    fn store(&self, repository: &Repository) -> Arc<dyn Store> {
        let mut credentials =
            CredentialStore::from_environment(&BTreeMap::new(), None).expect("nothing to read");
        if let Some((user, password)) = &self.login {
            let credential = Credential {
                username: user.clone(),
                secret: Secret::new(password.as_str()),
                identity_token: false,
                registry_token: false,
                source: "the test".to_owned(),
            };
            credentials.insert(&self.host, credential);
        }
        let registries =
            Registries::new(RegistrySettings::new(Arc::new(credentials))).expect("usable settings");
        registries.open(repository)
    }
}

/// An index with one child, in a repository of its own.
pub(super) struct Image {
    name: String,
    store: Arc<dyn Store>,
    pub(super) index: Descriptor,
    pub(super) child: Descriptor,
}

impl Image {
    pub(super) async fn push(place: &Place) -> Self {
        let unique = unique();
        let name = format!("{}/sign/{unique}", place.host);
        let store = place.store(&name.parse().expect("a valid name"));
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {"unique": unique}},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&[0; 1024])]},
        });
        let config = put_blob(&*store, CONFIG, config.to_string().into_bytes()).await;
        let layer = put_blob(&*store, LAYER, vec![0; 1024]).await;
        let child =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let child = put_manifest(&*store, MANIFEST, &child).await;
        let mut entry = serde_json::to_value(&child).expect("a descriptor is JSON");
        entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        let index = put_manifest(&*store, INDEX, &index).await;
        Self {
            name,
            store,
            index,
            child,
        }
    }

    /// An image that is there already; of its manifests only the index is known.
    pub(super) async fn found(site: &Site, name: &str, digest: &str) -> Self {
        let store = site.registries[0].store(&name.parse().expect("a valid name"));
        let digest: Digest = digest.parse().expect("a digest");
        let index = store.resolve(&Target::Digest(digest)).await;
        let index = index.expect("an answer").expect("it is there");
        Self {
            name: name.to_owned(),
            store,
            child: index.clone(),
            index,
        }
    }

    pub(super) fn reference(&self, subject: &Descriptor) -> String {
        format!("{}@{}", self.name, subject.digest)
    }

    fn subject(&self, subject: &Descriptor) -> Subject {
        Subject {
            name: self.name.clone(),
            digest: subject.digest.clone(),
        }
    }

    /// Copies the image alone, without what belongs to it.
    pub(super) async fn copy_to(&self, place: &Place) -> Self {
        let name = format!("{}/sign/{}", place.host, unique());
        let store = place.store(&name.parse().expect("a valid name"));
        let by_digest = |descriptor: &Descriptor| Target::Digest(descriptor.digest.clone());
        for descriptor in [&self.child, &self.index] {
            let raw = self
                .store
                .manifest(&by_digest(descriptor))
                .await
                .expect("what was pushed is there");
            if raw.media_type == MANIFEST {
                let manifest = ImageManifest::parse(&raw).expect("an image");
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    let source = &*self.store;
                    copy_blob(source, &*store, blob).await.expect("a copy");
                }
            }
            store
                .put_manifest(&raw, &by_digest(descriptor))
                .await
                .expect("the manifest is taken");
        }
        Self {
            name,
            store,
            index: self.index.clone(),
            child: self.child.clone(),
        }
    }
}

async fn put_blob(store: &dyn Store, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
    let source = BlobSource::Bytes(bytes.into());
    store
        .put_blob(&descriptor, &source)
        .await
        .expect("the blob is taken");
    descriptor
}

async fn put_manifest(store: &dyn Store, media_type: &str, manifest: &Value) -> Descriptor {
    let raw = RawManifest::new(media_type, manifest.to_string().into_bytes());
    let target = Target::Digest(raw.digest.clone());
    store
        .put_manifest(&raw, &target)
        .await
        .expect("the manifest is taken");
    raw.descriptor()
}

/// A part of a name that no other run has used.
pub(super) fn unique() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("{:016x}", RandomState::new().hash_one(0))
}

/// Signs and stores what came of it; returns the bundle.
pub(super) async fn sign(
    image: &Image,
    subject: &Descriptor,
    session: &Session,
) -> Option<Vec<u8>> {
    let signed = session
        .sign_image(&image.subject(subject))
        .await
        .expect("a signature");
    keep(image, subject, Suffix::Signature, signed).await
}

/// Attests and stores what came of it.
pub(super) async fn attest(
    image: &Image,
    subject: &Descriptor,
    session: &Session,
    predicate_type: &str,
    predicate: &Value,
) {
    let signed = session
        .attest(&image.subject(subject), predicate_type, predicate)
        .await
        .expect("an attestation");
    keep(image, subject, Suffix::Attestation, signed).await;
}

async fn keep(
    image: &Image,
    subject: &Descriptor,
    suffix: Suffix,
    signed: Signed,
) -> Option<Vec<u8>> {
    if let Some(entry) = &signed.legacy {
        store::append_legacy(&*image.store, &subject.digest, suffix, entry)
            .await
            .expect("the tag is written");
    }
    if let Some(entry) = &signed.bundle {
        store::attach_bundle(&*image.store, subject, entry)
            .await
            .expect("the bundle is attached");
    }
    signed.bundle.map(|entry| entry.bundle)
}

pub(super) async fn copy_artifacts(from: &Image, to: &Image, subject: &Descriptor) -> Vec<String> {
    store::copy_artifacts(&*from.store, &*to.store, &subject.digest)
        .await
        .expect("a copy")
        .into_iter()
        .map(|copied| format!("{}: {:?}", copied.what, copied.outcome))
        .collect()
}

fn policy(trust: &Trust, proofs: Proofs) -> VerifyPolicy {
    let site = site().expect("the tests have asked");
    let who = match trust {
        Trust::Key(file) => Who::Key(
            PublicKey::from_pem(&fs::read(file).expect("a readable file")).expect("a public key"),
        ),
        Trust::Identity { identity, issuer } => Who::Identity {
            identity: Match::exact(identity).expect("an identity"),
            issuer: Match::exact(issuer).expect("an issuer"),
            claims: Vec::new(),
        },
    };
    let root = fs::read(&site.trusted_root).expect("a readable file");
    let root = TrustedRoot::parse(&root).expect("a trusted root");
    VerifyPolicy {
        log: if proofs.log { Log::Required } else { Log::Off },
        timestamps: if proofs.time {
            Timestamps::Required
        } else {
            Timestamps::WhenPresent
        },
        ..VerifyPolicy::new(who, Some(root))
    }
}

/// Returns where each signature that is accepted is kept.
pub(super) async fn verify_signature(
    case: &str,
    image: &Image,
    subject: &Descriptor,
    trust: &Trust,
    proofs: Proofs,
) -> Vec<Origin> {
    let collected = store::collect(&*image.store, &subject.digest)
        .await
        .expect("a list");
    let policy = policy(trust, proofs);
    match verify::verify_signature(&collected, &subject.digest, &policy, now()) {
        Ok(found) => found.into_iter().map(|one| one.origin).collect(),
        Err(error) => panic!("reseal, {case}: {error}"),
    }
}

pub(super) async fn refuses_signature(
    case: &str,
    image: &Image,
    subject: &Descriptor,
    trust: &Trust,
    proofs: Proofs,
) {
    let collected = store::collect(&*image.store, &subject.digest)
        .await
        .expect("a list");
    let verdict =
        verify::verify_signature(&collected, &subject.digest, &policy(trust, proofs), now());
    assert!(verdict.is_err(), "reseal accepts, {case}: {verdict:?}");
}

/// Returns the predicate.
pub(super) async fn verify_attestation(
    case: &str,
    image: &Image,
    subject: &Descriptor,
    predicate_type: &str,
    trust: &Trust,
    proofs: Proofs,
) -> Value {
    let collected = store::collect(&*image.store, &subject.digest)
        .await
        .expect("a list");
    let policy = policy(trust, proofs);
    match verify::verify_attestation(&collected, &subject.digest, predicate_type, &policy, now()) {
        Ok(found) => found[0].predicate.clone(),
        Err(error) => panic!("reseal, {case}: {error}"),
    }
}

pub(super) fn now() -> i64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970");
    i64::try_from(elapsed.as_secs()).expect("a clock before the end of time")
}
