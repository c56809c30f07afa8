//! Debian's version order: a table, the laws of an order, and dpkg itself as the judge.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::{cmp::Ordering, process::Command};

use proptest::prelude::*;
use reseal_pkg::version::{compare_dpkg, validate_dpkg};

#[test]
fn versions_order_as_the_manual_says() {
    for (a, order, b) in [
        ("1.0", '=', "1.0-0"),
        ("2z", '=', "2z00"),
        ("1.0", '<', "1.-10"),
        ("0:1.0", '=', "1.0"),
        ("00:1", '=', "1"),
        (" 1.0\n", '=', "1.0"),
        ("1.0~rc1", '<', "1.0"),
        ("1.0", '<', "1.0+b1"),
        ("1.0~~", '<', "1.0~"),
        ("1.0~~a", '<', "1.0~"),
        ("1.2", '<', "1.10"),
        ("1.0a", '<', "1.0+"),
        ("1.0Z", '<', "1.0a"),
        ("9999", '<', "1:0"),
        ("1:2.38", '<', "2:1"),
        ("3.0.11-1~deb12u2", '<', "3.0.13-1~deb12u1"),
        ("2.36-9+deb12u9", '<', "2.36-9+deb12u10"),
        ("1.1.1n-0+deb11u3", '<', "1.1.1n-0+deb11u5"),
        ("2.41-5", '<', "2.41.5-0+deb13u1"),
        ("1:2.41-5", '>', "2.41.5-0+deb13u1"),
        ("1:4.16.0-2+really2.41-5", '>', "2.41.5-0+deb13u1"),
        ("1.0-1", '<', "1.0-1ubuntu1"),
        ("1.0-1ubuntu1", '<', "1.0-1ubuntu1.1"),
        ("1-1-1", '<', "1-2-0"),
        ("18446744073709551616", '>', "18446744073709551615"),
        ("99999999999999999999:1", '>', "2:1"),
        ("", '=', "0"),
        ("x:1", '>', "1"),
    ] {
        let expected = match order {
            '<' => Ordering::Less,
            '=' => Ordering::Equal,
            _ => Ordering::Greater,
        };
        assert_eq!(compare_dpkg(a, b), expected, "{a:?} {order} {b:?}");
        assert_eq!(
            compare_dpkg(b, a),
            expected.reverse(),
            "{b:?} against {a:?}"
        );
    }
}

#[test]
fn only_versions_of_the_grammar_are_valid() {
    for good in [
        "1",
        "1.0-1",
        "1:2.38.1-5+b1",
        "2024a-0+deb12u1",
        "1.0~rc1-1",
        "1:1:2-3",
        "1-2-3",
    ] {
        assert_eq!(validate_dpkg(good), Ok(()), "{good}");
    }
    let long = "1".repeat(513);
    for bad in [
        "",
        "a1",
        "1 2",
        "1\n",
        "1;x",
        "1/2",
        ":1",
        "x:1",
        "-1:1",
        "99999999999:1",
        "1-",
        "1:",
        "1=2",
        "1_2",
        "$(x)",
        "1\0",
        "é",
        "-1",
        &long,
    ] {
        assert!(validate_dpkg(bad).is_err(), "{bad:?}");
    }
}

/// Versions that make trouble: short, of few characters, so that many are nearly equal.
fn tricky() -> impl Strategy<Value = String> {
    "([0-2]:)?[0-2][01az+~.]{0,6}(-[01az+~.]{1,4})?"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_is_total_on_any_text(a in any::<String>(), b in any::<String>(), c in tricky()) {
        for (x, y) in [(&a, &b), (&a, &c), (&b, &c)] {
            prop_assert_eq!(compare_dpkg(x, y), compare_dpkg(y, x).reverse());
            prop_assert_eq!(compare_dpkg(x, x), Ordering::Equal);
            let _ = validate_dpkg(x);
        }
    }

    #[test]
    fn the_order_is_transitive(a in "[0:az~.+-]{0,5}", b in "[0:az~.+-]{0,5}", c in "[0:az~.+-]{0,5}") {
        let mut sorted = [&a, &b, &c];
        sorted.sort_by(|x, y| compare_dpkg(x, y));
        prop_assert!(compare_dpkg(sorted[0], sorted[2]).is_le(), "{sorted:?}");
    }
}

/// Asks dpkg; `None`: there is no dpkg here.
fn dpkg(a: &str, word: &str, b: &str) -> Option<bool> {
    let status = Command::new("dpkg")
        .args(["--compare-versions", a, word, b])
        .status();
    status.ok().map(|status| status.success())
}

#[test]
fn dpkg_orders_every_generated_pair_alike() {
    use proptest::{
        strategy::ValueTree,
        test_runner::{Config, TestRunner},
    };
    if dpkg("1", "lt", "2") != Some(true) {
        eprintln!("skipped: there is no dpkg here");
        return;
    }
    // A fixed seed: this is a comparison of two programs, not a search.
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let mut judged = 0;
    while judged < 600 {
        let mut one = || tricky().new_tree(&mut runner).expect("a pattern").current();
        let (a, b) = (one(), one());
        if validate_dpkg(&a).is_err() || validate_dpkg(&b).is_err() {
            continue;
        }
        let word = match compare_dpkg(&a, &b) {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        assert_eq!(dpkg(&a, word, &b), Some(true), "{a} {word} {b}");
        judged += 1;
    }
}
