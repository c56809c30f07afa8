//! The value of `--to`.

use reseal_oci::{Location, Reference, Tag};

use crate::failure::Failure;

/// Reads a destination; a tag in it is handed back apart.
pub(super) fn parse(text: &str) -> Result<(Location, Option<Tag>), Failure> {
    let refuse = |message: String| {
        Failure::usage(message).hint("Write `--to REPOSITORY` or `--to oci:PATH`")
    };
    match text
        .parse()
        .map_err(|error| refuse(format!("`--to`: {error}")))?
    {
        Location::Registry(Reference {
            digest: Some(_), ..
        })
        | Location::Layout {
            digest: Some(_), ..
        } => Err(refuse(
            "`--to` names a digest, which only the result can give".into(),
        )),
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
