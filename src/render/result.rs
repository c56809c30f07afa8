//! The result of `patch` and `verify`: the pinned reference for pipes, and a summary for people.

use reseal_oci::{Location, PinnedRef};
use reseal_pipeline::{LayerResult, Outcome, Pinned, PlatformResult, RunResult};
use reseal_plan::Verdict;

use super::{bytes, plan, plural, table::table};
use crate::escape;

/// Entries of one list that are shown.
const LISTED: usize = 20;

/// Returns the one line of standard output: `repository@sha256:…`, or `oci:PATH@sha256:…`.
pub(crate) fn pinned(pinned: &Pinned) -> String {
    match pinned.reference.parse() {
        Ok(Location::Registry(reference)) => PinnedRef {
            repository: reference.repository,
            digest: pinned.digest.clone(),
        }
        .to_string(),
        Ok(Location::Layout { path, .. }) => Location::Layout {
            path,
            tag: None,
            digest: Some(pinned.digest.clone()),
        }
        .to_string(),
        // The pipeline writes references that parse; the digest is what counts.
        Err(_) => pinned.digest.to_string(),
    }
}

/// Returns the summary. Warnings that progress has shown already are not repeated; the result keeps them all.
pub(crate) fn summary(result: &RunResult, warnings: bool) -> String {
    let mut lines = vec![headline(result)];
    for platform in &result.platforms {
        self::platform(&mut lines, platform, result.outcome == Outcome::Verified);
    }
    plan::preserved(&mut lines, &result.preserved);
    if !result.dropped_attestations.is_empty() {
        lines.push(format!(
            "{} left out: they describe manifests that were patched",
            plural(result.dropped_attestations.len(), "attestation")
        ));
    }
    let counts = &result.counts;
    let mut sums = vec![
        format!("fixed {}", counts.fixed),
        format!("not fixed {}", counts.unfixed),
    ];
    for (label, count) in [
        ("no fix", counts.no_fix),
        ("left out", counts.excepted),
        ("new", counts.new),
    ] {
        if count > 0 {
            sums.push(format!("{label} {count}"));
        }
    }
    lines.push(format!(
        "Findings of all severities: {}; critical {} before, {} after",
        sums.join(", "),
        counts.critical,
        counts.residual_critical
    ));
    if warnings {
        lines.extend(
            result
                .warnings
                .iter()
                .map(|warning| format!("warning: {}", escape::line(warning))),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

fn headline(result: &RunResult) -> String {
    let source = escape::line(&result.source.reference);
    let patched = result
        .platforms
        .iter()
        .filter(|platform| platform.layer.is_some())
        .count();
    let tag = match &result.tag {
        Some(tag) => format!("; tag {} moved", escape::line(tag)),
        None => "; no tag moved".to_owned(),
    };
    match result.outcome {
        Outcome::Patched => format!("Patched {source} on {}{tag}", plural(patched, "platform")),
        Outcome::Unchanged => format!("Nothing to patch in {source}{tag}"),
        Outcome::Residual if patched == 0 => format!("Findings remain in {source}{tag}"),
        Outcome::Residual => format!(
            "Patched {source} on {}, but findings remain{tag}",
            plural(patched, "platform")
        ),
        Outcome::NoFix => format!("Findings in {source} have no fix{tag}"),
        Outcome::Unsigned if patched == 0 => format!("Could not sign {source}{tag}"),
        Outcome::Unsigned => format!(
            "Patched {source} on {}, but could not sign it{tag}",
            plural(patched, "platform")
        ),
        Outcome::Verified => {
            let held = result.platforms.iter().any(|one| !one.held.is_empty());
            let but = if held {
                ", but for packages on hold"
            } else {
                ""
            };
            format!("Verified {source}: every fix that was asked for is in{but}")
        }
    }
}

fn platform(lines: &mut Vec<String>, platform: &PlatformResult, verified: bool) {
    let emulated = if platform.emulated { ", emulated" } else { "" };
    lines.push(match &platform.layer {
        Some(LayerResult { size, .. }) => format!(
            "{}  {} -> {}, {} of patch{emulated}",
            platform.platform,
            short(&platform.source_digest),
            short(&platform.digest),
            bytes(*size)
        ),
        None if verified => format!("{}  {}", platform.platform, short(&platform.digest)),
        None => format!(
            "{}  {} unchanged",
            platform.platform,
            short(&platform.digest)
        ),
    });
    let rows: Vec<[String; 4]> = platform
        .packages
        .iter()
        .take(LISTED)
        .map(|package| {
            let arrow = "->".to_owned();
            let (from, to) = (
                package.from.clone().unwrap_or("new".into()),
                package.to.clone().unwrap_or("removed".into()),
            );
            [
                format!("{}:{}", package.name, package.architecture),
                from,
                arrow,
                to,
            ]
        })
        .collect();
    lines.extend(table("  ", &rows));
    plan::more(lines, "  ", platform.packages.len());
    let compared: usize = platform
        .packages
        .iter()
        .filter_map(|package| package.source.as_ref())
        .map(|source| source.files)
        .sum();
    if compared > 0 {
        lines.push(format!(
            "  {} in the layer, each as in its package",
            plural(compared, "file")
        ));
    }
    if !platform.configured.is_empty() {
        lines.push(escape::line(&format!(
            "  configured by the image's own dpkg: {}",
            platform.configured.join(" ")
        )));
    }
    let open: Vec<_> = platform
        .findings
        .iter()
        .filter(|finding| match finding.verdict {
            Verdict::NotFixed | Verdict::CannotTell => finding.planned || finding.gated,
            Verdict::NoFixAvailable => finding.gated,
            Verdict::Fixed | Verdict::Excepted | Verdict::Removed => false,
        })
        .collect();
    let rows: Vec<[String; 5]> = open
        .iter()
        .take(LISTED)
        .map(|result| {
            let finding = &result.finding;
            let now = result
                .now
                .clone()
                .unwrap_or_else(|| finding.installed.clone());
            let fix = finding
                .fixed
                .as_ref()
                .map_or_else(String::new, |fixed| format!("needs {fixed}"));
            [
                verdict(result.verdict).to_owned(),
                finding.severity.to_string(),
                finding.id.clone(),
                finding.package.clone(),
                format!("{now} {fix}"),
            ]
        })
        .collect();
    lines.extend(table("  ", &rows));
    plan::more(lines, "  ", open.len());
    let removed = platform
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Removed)
        .count();
    if removed > 0 {
        lines.push(format!(
            "  {} closed because the package is gone",
            plural(removed, "finding")
        ));
    }
    if !platform.held.is_empty() {
        lines.push(format!(
            "  on hold: {}",
            escape::line(&platform.held.join(" "))
        ));
    }
    if !platform.script_written.is_empty() {
        let shown: Vec<&str> = platform
            .script_written
            .iter()
            .take(LISTED)
            .map(String::as_str)
            .collect();
        // Where nothing of the image ran, reseal's own rules wrote what a script would have written.
        let nothing_ran = platform.engine == "native" && platform.configured.is_empty();
        let by = if nothing_ran {
            "in place of maintainer scripts"
        } else {
            "by maintainer scripts"
        };
        lines.push(format!(
            "  written {by}: {}",
            escape::line(&shown.join(" "))
        ));
        plan::more(lines, "  ", platform.script_written.len());
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Fixed => "fixed",
        Verdict::NotFixed => "not fixed",
        Verdict::NoFixAvailable => "no fix",
        Verdict::Excepted => "left out",
        Verdict::Removed => "removed",
        Verdict::CannotTell => "cannot tell",
    }
}

/// The first digits of a digest, enough to tell one from another by eye.
fn short(digest: &reseal_oci::Digest) -> &str {
    &digest.hex()[..12]
}

#[cfg(test)]
mod tests {
    use reseal_oci::Digest;
    use reseal_pipeline::PackageResult;
    use reseal_plan::{Counts, FindingKey, FindingResult};
    use reseal_report::Severity;

    use super::*;

    pub(crate) fn result(outcome: Outcome) -> RunResult {
        let finding = |id: &str, verdict, fixed: Option<&str>| FindingResult {
            finding: FindingKey {
                id: id.into(),
                package: "libssl3".into(),
                architecture: None,
                severity: Severity::Critical,
                installed: "3.0.11-1".into(),
                fixed: fixed.map(Into::into),
            },
            verdict,
            now: Some("3.0.13-1".into()),
            gated: true,
            planned: true,
        };
        RunResult {
            schema: reseal_pipeline::SCHEMA,
            outcome,
            source: Pinned {
                reference: "127.0.0.1:5000/shop/cart:1.4".into(),
                digest: Digest::of(b"source"),
            },
            patched: Pinned {
                reference: "127.0.0.1:5000/shop/cart:1.4-patched".into(),
                digest: Digest::of(b"patched"),
            },
            tag: Some("1.4-patched".into()),
            platforms: vec![PlatformResult {
                platform: "linux/arm64".parse().unwrap(),
                distribution: Some("debian 12".into()),
                source_digest: Digest::of(b"a"),
                digest: Digest::of(b"b"),
                layer: Some(LayerResult {
                    digest: Digest::of(b"l"),
                    diff_id: Digest::of(b"d"),
                    size: 1_400_000,
                }),
                packages: vec![PackageResult {
                    name: "libssl3".into(),
                    architecture: "arm64".into(),
                    from: Some("3.0.11-1".into()),
                    to: Some("3.0.13-1".into()),
                    source: None,
                }],
                findings: vec![
                    finding("CVE-1", Verdict::Fixed, Some("3.0.13-1")),
                    finding("CVE-2", Verdict::NotFixed, Some("3.0.14-1")),
                    finding("CVE-3", Verdict::NoFixAvailable, None),
                ],
                held: Vec::new(),
                script_written: vec!["etc/ssl/index".into()],
                engine: "buildkit",
                configured: Vec::new(),
                emulated: true,
            }],
            preserved: Vec::new(),
            dropped_attestations: vec![Digest::of(b"att")],
            counts: Counts {
                critical: 3,
                residual_critical: 2,
                fixed: 1,
                unfixed: 1,
                no_fix: 1,
                ..Counts::default()
            },
            warnings: Vec::new(),
            signatures: Vec::new(),
        }
    }

    #[test]
    fn standard_output_is_a_pinned_reference() {
        let digest = Digest::of(b"patched");
        for (reference, shown) in [
            (
                "127.0.0.1:5000/shop/cart:1.4",
                format!("127.0.0.1:5000/shop/cart@{digest}"),
            ),
            ("debian", format!("docker.io/library/debian@{digest}")),
            ("oci:out:1.4", format!("oci:out@{digest}")),
        ] {
            assert_eq!(
                pinned(&Pinned {
                    reference: reference.into(),
                    digest: digest.clone()
                }),
                shown
            );
        }
    }

    #[test]
    fn the_summary_shows_before_and_after() {
        let expected = format!(
            "Patched 127.0.0.1:5000/shop/cart:1.4 on 1 platform, but findings remain; tag 1.4-patched moved\n\
             linux/arm64  {} -> {}, 1.4 MB of patch, emulated\n\
             \x20 libssl3:arm64  3.0.11-1  ->  3.0.13-1\n\
             \x20 not fixed  CRITICAL  CVE-2  libssl3  3.0.13-1 needs 3.0.14-1\n\
             \x20 no fix     CRITICAL  CVE-3  libssl3  3.0.13-1\n\
             \x20 written by maintainer scripts: etc/ssl/index\n\
             1 attestation left out: they describe manifests that were patched\n\
             Findings of all severities: fixed 1, not fixed 1, no fix 1; critical 3 before, 2 after\n",
            &Digest::of(b"a").hex()[..12],
            &Digest::of(b"b").hex()[..12]
        );
        assert_eq!(summary(&result(Outcome::Residual), true), expected);
    }

    #[test]
    fn what_no_script_wrote_is_not_put_to_scripts() {
        let mut result = result(Outcome::Residual);
        result.platforms[0].engine = "native";
        let text = summary(&result, true);
        assert!(
            text.contains("written in place of maintainer scripts: etc/ssl/index"),
            "{text}"
        );
        result.platforms[0].configured = vec!["openssl".into()];
        let text = summary(&result, true);
        assert!(
            text.contains("written by maintainer scripts: etc/ssl/index"),
            "{text}"
        );
        assert!(
            text.contains("configured by the image's own dpkg: openssl"),
            "{text}"
        );
    }

    #[test]
    fn every_outcome_has_a_headline() {
        for (outcome, start) in [
            (
                Outcome::Patched,
                "Patched 127.0.0.1:5000/shop/cart:1.4 on 1 platform; tag 1.4-patched moved",
            ),
            (Outcome::Unchanged, "Nothing to patch in"),
            (
                Outcome::NoFix,
                "Findings in 127.0.0.1:5000/shop/cart:1.4 have no fix",
            ),
            (Outcome::Verified, "Verified 127.0.0.1:5000/shop/cart:1.4:"),
        ] {
            assert!(
                summary(&result(outcome), true).starts_with(start),
                "{outcome:?}"
            );
        }
    }
}
