//! `OpenPGP` signatures over repository indexes: who signed, and does the image trust them.
//!
//! The packets and the arithmetic are rPGP's; what a keyring, a usable key and an acceptable signature are is decided here,
//! as gpgv and apt decide it.

mod clear;
mod key;
mod keyring;
mod verify;

pub use clear::ClearSigned;
pub use keyring::{Encoding, Keyring};
pub use verify::{Signer, verify_clear, verify_detached};
