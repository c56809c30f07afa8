//! Which builder runs which platform.

use reseal_oci::Platform;

/// What a builder can run, as its workers list it: the first platform is the machine's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Only for this platform.
    pub only: Option<Platform>,
    /// In the worker's order.
    pub platforms: Vec<Platform>,
}

/// A platform's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Index of the builder.
    pub builder: usize,
    /// Whether it runs under an emulator.
    pub emulated: bool,
}

/// Chooses a builder for `platform`: one that was named for it, else one whose own platform it is, else one that
/// lists it, and then runs it under an emulator. `None` when nobody can.
pub(crate) fn assign(platform: &Platform, offers: &[Offer]) -> Option<Place> {
    let native = |offer: &Offer| {
        offer
            .platforms
            .first()
            .is_some_and(|own| same_machine(own, platform))
    };
    let lists = |offer: &Offer| {
        offer
            .platforms
            .iter()
            .any(|listed| same_machine(listed, platform))
    };
    let free = |offer: &Offer| offer.only.is_none();
    let named = |offer: &Offer| {
        offer
            .only
            .as_ref()
            .is_some_and(|only| platform.matches(only))
    };
    let find = |wanted: &dyn Fn(&Offer) -> bool| offers.iter().position(wanted);
    let builder = find(&|offer| named(offer) && lists(offer))
        .or_else(|| find(&|offer| free(offer) && native(offer)))
        .or_else(|| find(&|offer| free(offer) && lists(offer)))?;
    Some(Place {
        builder,
        emulated: !native(&offers[builder]),
    })
}

/// A machine that runs arm64 runs arm64/v8, and one that lists amd64/v3 runs amd64.
fn same_machine(listed: &Platform, wanted: &Platform) -> bool {
    if listed.os != wanted.os || listed.architecture != wanted.architecture {
        return false;
    }
    // Only 32-bit arm has variants that machines of the same architecture cannot run.
    wanted.architecture != "arm" || wanted.variant.is_none() || listed.variant == wanted.variant
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().expect("a platform")
    }

    fn offer(only: Option<&str>, platforms: &[&str]) -> Offer {
        Offer {
            only: only.map(platform),
            platforms: platforms.iter().map(|text| platform(text)).collect(),
        }
    }

    #[track_caller]
    fn check(wanted: &str, offers: &[Offer], expected: Option<(usize, bool)>) {
        let place = assign(&platform(wanted), offers).map(|place| (place.builder, place.emulated));
        assert_eq!(place, expected, "{wanted}");
    }

    #[test]
    fn the_machines_own_platform_is_native_and_others_are_emulated() {
        let offers = [offer(
            None,
            &["linux/amd64", "linux/amd64/v2", "linux/arm64"],
        )];
        check("linux/amd64", &offers, Some((0, false)));
        check("linux/arm64/v8", &offers, Some((0, true)));
        check("linux/s390x", &offers, None);
    }

    #[test]
    fn a_native_builder_is_preferred_to_an_emulating_one() {
        let offers = [
            offer(None, &["linux/amd64", "linux/arm64"]),
            offer(None, &["linux/arm64"]),
        ];
        check("linux/arm64", &offers, Some((1, false)));
    }

    #[test]
    fn a_builder_named_for_a_platform_gets_it_and_no_other() {
        let offers = [
            offer(None, &["linux/amd64", "linux/arm64"]),
            offer(Some("linux/arm64"), &["linux/arm64", "linux/amd64"]),
        ];
        check("linux/arm64/v8", &offers, Some((1, false)));
        check("linux/amd64", &offers, Some((0, false)));
        check("linux/amd64", &offers[1..], None);
    }

    #[test]
    fn variants_of_32_bit_arm_are_different_machines() {
        let offers = [offer(None, &["linux/arm64", "linux/arm/v7"])];
        check("linux/arm/v7", &offers, Some((0, true)));
        check("linux/arm/v6", &offers, None);
    }
}
