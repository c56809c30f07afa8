//! Which engine patches which platform.
//!
//! `buildkit` runs the image's own package manager inside a builder; `native` lays the newer packages down here, without
//! running anything of the image. Both end in the same raw layer.

use reseal_oci::Platform;

use crate::assign::{Offer, Place, assign};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// The package manager for platforms that a builder runs itself, the native engine for all others.
    #[default]
    Auto,
    /// The native engine for every platform.
    Native,
    /// The package manager for every platform.
    Buildkit,
}

/// The engine of one platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// A builder runs the package manager.
    Buildkit(Place),
    /// Nothing runs.
    Native,
}

/// An engine, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The engine; `None` when no builder can run a platform that has to run on one.
    pub engine: Option<Engine>,
    /// One clause for the log.
    pub why: String,
    /// The builder that takes over should the native engine refuse a package.
    pub other: Option<Place>,
}

/// Chooses the engine of a platform; `offers` is `None` when there is no builder.
pub(crate) fn choose(
    choice: EngineChoice,
    platform: &Platform,
    offers: Option<&[Offer]>,
) -> Chosen {
    let place = offers.and_then(|offers| assign(platform, offers));
    let native = |why: &str| Chosen {
        engine: Some(Engine::Native),
        why: why.to_owned(),
        other: place.filter(|_| choice == EngineChoice::Auto),
    };
    match (choice, place) {
        (EngineChoice::Native, _) => native("asked for"),
        (EngineChoice::Buildkit, place) => Chosen {
            engine: place.map(Engine::Buildkit),
            why: "asked for".to_owned(),
            other: None,
        },
        (EngineChoice::Auto, Some(place)) if !place.emulated => Chosen {
            engine: Some(Engine::Buildkit(place)),
            why: "the builder runs this platform itself".to_owned(),
            other: None,
        },
        (EngineChoice::Auto, Some(_)) => native("the builder would emulate this platform"),
        (EngineChoice::Auto, None) if offers.is_none() => native("there is no builder"),
        (EngineChoice::Auto, None) => native("no builder runs this platform"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place {
        builder: 0,
        emulated: false,
    };

    fn chosen(choice: EngineChoice, platform: &str, builder: bool) -> Chosen {
        let offers = [Offer {
            only: None,
            platforms: ["linux/amd64", "linux/arm64"]
                .map(|text| text.parse().unwrap())
                .into(),
        }];
        choose(
            choice,
            &platform.parse().unwrap(),
            builder.then_some(&offers),
        )
    }

    #[test]
    fn the_package_manager_runs_where_nothing_has_to_be_emulated() {
        let here = chosen(EngineChoice::Auto, "linux/amd64", true);
        assert_eq!(
            (here.engine, here.other),
            (Some(Engine::Buildkit(HERE)), None)
        );
    }

    #[test]
    fn what_would_be_emulated_is_laid_down_and_falls_back_to_the_emulator() {
        let there = chosen(EngineChoice::Auto, "linux/arm64", true);
        assert_eq!(there.engine, Some(Engine::Native));
        assert_eq!(there.other.map(|place| place.emulated), Some(true));
    }

    #[test]
    fn without_a_builder_everything_is_laid_down() {
        for platform in ["linux/amd64", "linux/s390x"] {
            let chosen = chosen(EngineChoice::Auto, platform, false);
            assert_eq!((chosen.engine, chosen.other), (Some(Engine::Native), None));
            assert!(chosen.why.contains("no builder"));
        }
    }

    #[test]
    fn what_is_asked_for_has_no_other_way() {
        let native = chosen(EngineChoice::Native, "linux/amd64", true);
        assert_eq!((native.engine, native.other), (Some(Engine::Native), None));
        let nowhere = chosen(EngineChoice::Buildkit, "linux/s390x", true);
        assert_eq!(nowhere.engine, None);
    }
}
