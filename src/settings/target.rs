//! The value of `--to`.

use reseal_oci::{Location, Reference, Tag};

use crate::failure::Failure;

/// Reads the destination of a promotion, which names its tag: `latest` is never meant without being said.
pub(crate) fn tagged(text: &str) -> Result<Location, Failure> {
    let hint = "Write REPOSITORY:TAG or oci:PATH:TAG";
    let (place, tag) = read("the destination", text, hint)?;
    let tag = tag.ok_or_else(|| {
        Failure::usage(format!("the destination `{text}` names no tag")).hint(hint)
    })?;
    Ok(match place {
        Location::Registry(reference) => Location::Registry(Reference {
            tag: Some(tag),
            ..reference
        }),
        Location::Layout { path, digest, .. } => Location::Layout {
            path,
            tag: Some(tag),
            digest,
        },
    })
}

/// Reads a destination; a tag in it is handed back apart.
pub(super) fn parse(text: &str) -> Result<(Location, Option<Tag>), Failure> {
    read("`--to`", text, "Write `--to REPOSITORY` or `--to oci:PATH`")
}

fn read(what: &str, text: &str, hint: &str) -> Result<(Location, Option<Tag>), Failure> {
    let refuse = |message: String| Failure::usage(message).hint(hint);
    match text
        .parse()
        .map_err(|error| refuse(format!("{what}: {error}")))?
    {
        Location::Registry(Reference {
            digest: Some(_), ..
        })
        | Location::Layout {
            digest: Some(_), ..
        } => Err(refuse(format!(
            "{what} names a digest, which only the result can give"
        ))),
        Location::Registry(Reference {
            repository, tag, ..
        }) => {
            // Without a tag the reference means `latest`; a destination does not.
            let named = text
                .rsplit('/')
                .next()
                .is_some_and(|last| last.contains(':'));
            Ok((
                Location::Registry(Reference {
                    repository,
                    tag: None,
                    digest: None,
                }),
                tag.filter(|_| named),
            ))
        }
        Location::Layout { path, tag, .. } => Ok((
            Location::Layout {
                path,
                tag: None,
                digest: None,
            },
            tag,
        )),
    }
}
