//! Tags of results, and the templates they come from.

use std::path::{Component, Path, PathBuf};

use reseal_oci::{Digest, Location, Tag};

use crate::{environment::Env, failure::Failure};

/// Variables that name the run in the CI systems that have one.
const RUN_ID: &[&str] = &[
    "GITHUB_RUN_ID",
    "CI_PIPELINE_ID",
    "BUILD_BUILDID",
    "BUILDKITE_BUILD_NUMBER",
    "BUILD_ID",
];

/// Fills a template. Nothing unknown passes, and the outcome is a valid tag.
pub(super) fn fill(template: &str, source: &Location, env: &Env) -> Result<Tag, Failure> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((placeholder, behind)) = after.split_once("}}") else {
            return Err(Failure::usage(format!(
                "the tag `{template}` has a `{{{{` without its `}}}}`"
            )));
        };
        text.push_str(before);
        text.push_str(&value(placeholder.trim(), source, env)?);
        rest = behind;
    }
    text.push_str(rest);
    text.parse().map_err(|_| {
        let from = if text == template { String::new() } else { format!(", which `{template}` comes to,") };
        Failure::usage(format!("`{text}`{from} is not a valid tag"))
            .hint("A tag has up to 128 letters, digits, `_`, `.` and `-`, and starts with neither `.` nor `-`; a repository goes to `--to`")
    })
}

fn value(placeholder: &str, source: &Location, env: &Env) -> Result<String, Failure> {
    let (tag, digest) = parts(source);
    match placeholder {
        "tag" => tag.map(ToString::to_string).ok_or_else(|| {
            Failure::usage(format!(
                "`{{{{tag}}}}` needs the tag of the source, and `{source}` has none"
            ))
            .hint("Name the source with its tag, or write the tag out")
        }),
        "sha" => digest
            .map(|digest| digest.hex()[..12].to_owned())
            .ok_or_else(|| {
                Failure::usage(format!(
                    "`{{{{sha}}}}` needs the digest of the source, and `{source}` has none"
                ))
                .hint("Name the source as REPOSITORY@DIGEST")
            }),
        "run_id" => env.first(RUN_ID).map(ToOwned::to_owned).ok_or_else(|| {
            Failure::usage("`{{run_id}}` needs the number of a CI run, and there is none").hint(
                format!(
                    "One of these variables has to be set: {}",
                    RUN_ID.join(", ")
                ),
            )
        }),
        _ => match placeholder.strip_prefix("env:") {
            Some(name) => env.get(name).map(ToOwned::to_owned).ok_or_else(|| {
                Failure::usage(format!(
                    "`{{{{env:{name}}}}}` needs the variable {name}, which is not set"
                ))
            }),
            None => Err(Failure::usage(format!(
                "`{{{{{placeholder}}}}}` is not a placeholder of tags"
            ))
            .hint("Known are {{tag}}, {{sha}}, {{run_id}} and {{env:NAME}}")),
        },
    }
}

fn parts(location: &Location) -> (Option<&Tag>, Option<&Digest>) {
    match location {
        Location::Registry(reference) => (reference.tag.as_ref(), reference.digest.as_ref()),
        Location::Layout { tag, digest, .. } => (tag.as_ref(), digest.as_ref()),
    }
}

/// Returns whether `tag` at the destination is the source's own tag.
pub(crate) fn same_image(source: &Location, to: Option<&Location>, tag: &Tag) -> bool {
    let same_place = match (source, to) {
        (_, None) => true,
        (Location::Registry(from), Some(Location::Registry(to))) => {
            from.repository == to.repository
        }
        (Location::Layout { path: from, .. }, Some(Location::Layout { path: to, .. })) => {
            clean(from) == clean(to)
        }
        _ => false,
    };
    same_place && parts(source).0 == Some(tag)
}

/// `./in/` and `in` are the same folder.
fn clean(path: &Path) -> PathBuf {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .collect()
}
