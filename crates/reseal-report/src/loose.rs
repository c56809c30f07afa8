//! Reads JSON objects as Go programs do, since Go programs write and read these reports: keys match
//! in any case, `null` means "absent", unknown keys are passed over, of a repeated key the last counts.

use std::{fmt, marker::PhantomData};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// A struct that [`loose!`] made.
pub(crate) trait Loose: Default {
    /// The keys that are read.
    const KEYS: &'static [&'static str];

    /// Reads the value of a key of `KEYS` into its field.
    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Defines a struct whose fields all may be absent, and how it is read.
macro_rules! loose {
    ($($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty = $key:literal,)* })*) => { $(
        $(#[$meta])*
        #[derive(Default)]
        struct $name { $($field: $type,)* }

        impl $crate::loose::Loose for $name {
            const KEYS: &'static [&'static str] = &[$($key,)*];

            fn set<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                key: &str,
                map: &mut A,
            ) -> Result<(), A::Error> {
                match key {
                    $($key => self.$field = map.next_value::<Option<$type>>()?.unwrap_or_default(),)*
                    _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                }
                Ok(())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any($crate::loose::LooseVisitor::new())
            }
        }
    )* };
}
pub(crate) use loose;

/// Reads a [`Loose`] struct from an object or `null`.
pub(crate) struct LooseVisitor<T>(PhantomData<T>);

impl<T> LooseVisitor<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Loose> Visitor<'de> for LooseVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut out = T::default();
        while let Some(key) = map.next_key_seed(Key(T::KEYS))? {
            match key {
                Some(key) => out.set(key, &mut map)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(out)
    }
}

/// Finds a key among the known ones without keeping it.
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self
            .0
            .iter()
            .copied()
            .find(|known| known.eq_ignore_ascii_case(key)))
    }
}
