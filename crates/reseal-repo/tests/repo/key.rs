//! Certificates in every state, and signatures by them.

use pgp::composed::{
    ArmorOptions, DetachedSignature, KeyType, SignedKeyDetails, SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature,
    SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    Duration, KeyDetails, KeyVersion, PacketHeaderVersion, Password, SignedUser, SigningKey, Tag,
    Timestamp,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// When all tests take place.
pub(crate) const NOW: i64 = 1_800_000_000;
const CREATED: u32 = 1_700_000_000;

/// What is out of the ordinary about a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oddity {
    None,
    Expired,
    Revoked,
    NotForSigning,
    /// Signatures are made by a subkey.
    Subkey,
    SubkeyRevoked,
    SubkeyExpired,
    /// The subkey never agreed.
    SubkeyStolen,
    /// Its self-signature is by somebody else.
    Unsigned,
}

enum Secret {
    Primary(SecretKey),
    Subkey(SecretSubkey),
}

pub(crate) struct Key {
    pub(crate) certificate: SignedPublicKey,
    secret: Secret,
}

fn packets(extra: Vec<SubpacketData>, signer: &impl KeyDetails, at: u32) -> Vec<Subpacket> {
    let mut all = vec![
        SubpacketData::SignatureCreationTime(Timestamp::from_secs(at)),
        SubpacketData::IssuerFingerprint(signer.fingerprint()),
    ];
    all.extend(extra);
    all.into_iter()
        .map(|data| Subpacket::regular(data).unwrap())
        .collect()
}

fn config(
    kind: SignatureType,
    signer: &impl KeyDetails,
    extra: Vec<SubpacketData>,
) -> SignatureConfig {
    let mut config = SignatureConfig::v4(kind, signer.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = packets(extra, signer, CREATED);
    config
}

fn flags(sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(sign);
    SubpacketData::KeyFlags(flags)
}

fn inner(seed: u64, kind: &KeyType) -> (PubKeyInner, pgp::types::SecretParams) {
    let (public, secret) = kind.generate(StdRng::seed_from_u64(seed)).unwrap();
    let created = Timestamp::from_secs(CREATED);
    let inner = PubKeyInner::new(KeyVersion::V4, kind.to_alg(), created, None, public).unwrap();
    (inner, secret)
}

impl Key {
    pub(crate) fn new(seed: u64, oddity: Oddity) -> Self {
        Self::of(&KeyType::Ed25519Legacy, seed, oddity)
    }

    pub(crate) fn of(kind: &KeyType, seed: u64, oddity: Oddity) -> Self {
        let (public, secret) = inner(seed, kind);
        let public = PublicKey::from_inner(public).unwrap();
        let primary = SecretKey::new(public.clone(), secret).unwrap();
        let none = Password::empty();
        let id = UserId::from_str(PacketHeaderVersion::New, "Archive").unwrap();
        let mut extra = vec![flags(oddity != Oddity::NotForSigning)];
        if oddity == Oddity::Expired {
            extra.push(SubpacketData::KeyExpirationTime(Duration::from_secs(1000)));
        }
        let mut own = config(SignatureType::CertPositive, &primary, extra)
            .sign_certification(&primary, &public, &none, Tag::UserId, &id)
            .unwrap();
        if oddity == Oddity::Unsigned {
            let other = Key::new(seed + 1000, Oddity::None);
            own = other.certificate.details.users[0].signatures[0].clone();
        }
        let mut revocations = Vec::new();
        if oddity == Oddity::Revoked {
            let config = config(SignatureType::KeyRevocation, &primary, vec![]);
            revocations.push(config.sign_key(&primary, &none, &public).unwrap());
        }
        let details = SignedKeyDetails::new(
            revocations,
            vec![],
            vec![SignedUser::new(id, vec![own])],
            vec![],
        );
        let mut subkeys = Vec::new();
        let mut signer = None;
        if matches!(
            oddity,
            Oddity::Subkey | Oddity::SubkeyRevoked | Oddity::SubkeyExpired | Oddity::SubkeyStolen
        ) {
            let (subkey, secret) = subkey(seed + 500, &primary, &public, oddity);
            subkeys.push(subkey);
            signer = Some(Secret::Subkey(secret));
        }
        Self {
            certificate: SignedPublicKey::new(public, details, subkeys),
            secret: signer.unwrap_or(Secret::Primary(primary)),
        }
    }

    pub(crate) fn binary(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.certificate.to_writer(&mut out).unwrap();
        out
    }

    pub(crate) fn armored(&self) -> String {
        self.certificate
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }

    pub(crate) fn fingerprint(&self) -> String {
        format!("{:X}", self.certificate.fingerprint())
    }

    fn sign(&self, kind: SignatureType, hash: HashAlgorithm, data: &[u8]) -> Signature {
        fn with(
            key: &impl SigningKey,
            kind: SignatureType,
            hash: HashAlgorithm,
            data: &[u8],
        ) -> Signature {
            let mut config = SignatureConfig::v4(kind, key.algorithm(), hash);
            config.hashed_subpackets = packets(vec![], key, CREATED + 10);
            config.sign(key, &Password::empty(), data).unwrap()
        }
        match &self.secret {
            Secret::Primary(key) => with(key, kind, hash, data),
            Secret::Subkey(key) => with(key, kind, hash, data),
        }
    }

    /// Clear-signs a text.
    pub(crate) fn clear_sign(&self, text: &str, hash: HashAlgorithm) -> String {
        clear_signed(
            text,
            &[self.sign(
                SignatureType::Text,
                hash,
                text.trim_end_matches('\n').as_bytes(),
            )],
        )
    }

    pub(crate) fn text_signature(&self, text: &str) -> Signature {
        let text = text.trim_end_matches('\n').as_bytes();
        self.sign(SignatureType::Text, HashAlgorithm::Sha256, text)
    }

    /// Signs a file apart from it.
    pub(crate) fn detached(&self, data: &[u8]) -> String {
        let signature = self.sign(SignatureType::Binary, HashAlgorithm::Sha512, data);
        DetachedSignature::new(signature)
            .to_armored_string(ArmorOptions::default())
            .unwrap()
    }
}

fn subkey(
    seed: u64,
    primary: &SecretKey,
    public: &PublicKey,
    oddity: Oddity,
) -> (SignedPublicSubKey, SecretSubkey) {
    let none = Password::empty();
    let (details, secret) = inner(seed, &KeyType::Ed25519Legacy);
    let subkey = PublicSubkey::from_inner(details).unwrap();
    let secret = SecretSubkey::new(subkey.clone(), secret).unwrap();
    let mut extra = vec![flags(true)];
    if oddity != Oddity::SubkeyStolen {
        let back = config(SignatureType::KeyBinding, &secret, vec![])
            .sign_primary_key_binding(&secret, &subkey, &none, public)
            .unwrap();
        extra.push(SubpacketData::EmbeddedSignature(Box::new(back)));
    }
    if oddity == Oddity::SubkeyExpired {
        extra.push(SubpacketData::KeyExpirationTime(Duration::from_secs(1000)));
    }
    let bind = |kind, extra| {
        config(kind, primary, extra)
            .sign_subkey_binding(primary, public, &none, &subkey)
            .unwrap()
    };
    let mut signatures = vec![bind(SignatureType::SubkeyBinding, extra)];
    if oddity == Oddity::SubkeyRevoked {
        signatures.push(bind(SignatureType::SubkeyRevocation, vec![]));
    }
    (SignedPublicSubKey::new(subkey, signatures), secret)
}

/// Puts text and signatures together.
pub(crate) fn clear_signed(text: &str, signatures: &[Signature]) -> String {
    let mut out = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n".to_owned();
    for line in text.trim_end_matches('\n').split('\n') {
        if line.starts_with('-') {
            out.push_str("- ");
        }
        out.push_str(line);
        out.push('\n');
    }
    let mut bytes = Vec::new();
    for signature in signatures {
        pgp::packet::PacketTrait::to_writer_with_header(signature, &mut bytes).unwrap();
    }
    let mut armor = Vec::new();
    pgp::armor::write(
        &Raw(bytes),
        pgp::armor::BlockType::Signature,
        &mut armor,
        None,
        true,
    )
    .unwrap();
    out.push_str(&String::from_utf8(armor).unwrap());
    out
}

struct Raw(Vec<u8>);

impl pgp::ser::Serialize for Raw {
    fn to_writer<W: std::io::Write>(&self, writer: &mut W) -> pgp::errors::Result<()> {
        writer.write_all(&self.0)?;
        Ok(())
    }

    fn write_len(&self) -> usize {
        self.0.len()
    }
}
