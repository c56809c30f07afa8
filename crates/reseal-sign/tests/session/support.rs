//! What all of these tests start from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use reseal_oci::Digest;
use reseal_registry::{Secret, Sleeper, Wait};
use reseal_sign::key::{FileKey, Signer};
use reseal_sign::oidc::TokenSource;
use reseal_sign::service::{Choice, Http, HttpSettings, Rekor, Services};
use reseal_sign::statement::Subject;
use reseal_sign::{Identity, Session, SignError, SignSettings, SignatureFormat};
use reseal_testkit::sigstore::{FakeSigstore, Options};
use serde_json::{Value, json};

/// 2025-06-15T12:00:00Z, when the fakes' certificates begin to count.
pub(crate) const NOW: i64 = 1_749_988_800;

/// A clock that tests move, and that writes down how long somebody would have waited.
pub(crate) struct Clock {
    now: AtomicI64,
    pub(crate) pauses: Mutex<Vec<Duration>>,
}

impl Clock {
    pub(crate) fn at(now: i64) -> Arc<Self> {
        Arc::new(Self {
            now: AtomicI64::new(now),
            pauses: Mutex::default(),
        })
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.pauses.lock().unwrap().clone()
    }
}

#[async_trait]
impl Sleeper for Clock {
    async fn sleep(&self, _why: Wait, duration: Duration) {
        self.pauses.lock().unwrap().push(duration);
    }

    fn now(&self) -> SystemTime {
        let now = u64::try_from(self.now.load(Ordering::SeqCst)).unwrap();
        SystemTime::UNIX_EPOCH + Duration::from_secs(now)
    }
}

pub(crate) fn http(clock: &Arc<Clock>) -> Http {
    Http::new(HttpSettings {
        sleeper: clock.clone(),
        ..HttpSettings::default()
    })
    .unwrap()
}

pub(crate) fn subject() -> Subject {
    Subject {
        name: "registry.example/shop/cart".into(),
        digest: Digest::of(b"image"),
    }
}

/// A token that nobody signed.
pub(crate) fn token(changes: &Value) -> String {
    let mut claims = json!({
        "iss": "https://token.example", "sub": "repo:acme/app", "aud": "sigstore", "iat": NOW, "exp": NOW + 600,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(json!({"alg": "RS256"}).to_string()),
        part(claims.to_string()),
        part("signature".into())
    )
}

/// Which services a test uses.
#[derive(Clone, Copy, Default)]
pub(crate) struct Uses {
    pub(crate) rekor1: bool,
    pub(crate) rekor2: bool,
    pub(crate) tsa: bool,
}

pub(crate) const REKOR1: Uses = Uses {
    rekor1: true,
    rekor2: false,
    tsa: false,
};
pub(crate) const REKOR1_TSA: Uses = Uses {
    tsa: true,
    ..REKOR1
};
pub(crate) const REKOR2_TSA: Uses = Uses {
    rekor1: false,
    rekor2: true,
    tsa: true,
};

pub(crate) fn url(fake: &FakeSigstore, service: &str) -> Url {
    Url::parse(&fake.url(service)).unwrap()
}

pub(crate) fn services(fake: &FakeSigstore, uses: Uses) -> Services {
    let mut logs = Vec::new();
    if uses.rekor2 {
        logs.push(Rekor::V2(url(fake, "rekor2")));
    } else if uses.rekor1 {
        logs.push(Rekor::V1(url(fake, "rekor")));
    }
    Services {
        fulcio: Some(url(fake, "fulcio")),
        rekor: Choice::all(logs),
        rekor_v1: uses.rekor1.then(|| url(fake, "rekor")),
        tsa: Choice::all(if uses.tsa {
            vec![url(fake, "tsa")]
        } else {
            Vec::new()
        }),
    }
}

pub(crate) fn key_settings(
    key: &Arc<FileKey>,
    services: Services,
    format: SignatureFormat,
) -> SignSettings {
    SignSettings {
        identity: Identity::Key(key.clone()),
        tlog: !services.rekor.is_empty() || services.rekor_v1.is_some(),
        services,
        format,
        annotations: BTreeMap::new(),
    }
}

pub(crate) fn keyless_settings(services: Services, text: &str) -> SignSettings {
    SignSettings {
        identity: Identity::Keyless {
            tokens: TokenSource::Given {
                token: Secret::new(text),
                place: "the test".into(),
            },
            audience: "sigstore".into(),
        },
        services,
        tlog: true,
        format: SignatureFormat::Both,
        annotations: BTreeMap::new(),
    }
}

/// A session without a key against fakes.
pub(crate) async fn keyless(options: Options, text: &str) -> (FakeSigstore, Arc<Clock>, Session) {
    let fake = FakeSigstore::start(options).await;
    let clock = Clock::at(NOW);
    let settings = keyless_settings(services(&fake, REKOR1), text);
    let session = Session::open(settings, http(&clock)).unwrap();
    (fake, clock, session)
}

/// A session with a key against fakes.
pub(crate) async fn keyed(
    uses: Uses,
    format: SignatureFormat,
) -> (FakeSigstore, Arc<Clock>, Session, Arc<FileKey>) {
    let fake = FakeSigstore::start(Options::default()).await;
    let clock = Clock::at(NOW);
    let key = Arc::new(FileKey::generate().unwrap());
    let settings = key_settings(&key, services(&fake, uses), format);
    let session = Session::open(settings, http(&clock)).unwrap();
    (fake, clock, session, key)
}

pub(crate) fn decode(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// Checks the signature of an envelope, and returns the statement in it.
pub(crate) fn opened(envelope: &Value, key: &dyn Signer) -> Value {
    let payload = decode(&envelope["payload"]);
    let signed = reseal_sign::dsse::pae("application/vnd.in-toto+json", &payload);
    let signature = decode(&envelope["signatures"][0]["sig"]);
    key.public_key().verify(&signed, &signature).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The message and the advice of an error.
pub(crate) fn words(error: &SignError) -> (String, String) {
    (error.to_string(), error.hint().unwrap_or_default())
}
