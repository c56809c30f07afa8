//! The stanza that dpkg writes for a package, in its own order of fields.

use reseal_pkg::dpkg::Relations;

use super::conffiles::{self, Conffile};
use crate::{ArchiveError, Fields};

/// How dpkg treats a field.
#[derive(Clone, Copy)]
enum Kind {
    /// Written as it is.
    Text,
    /// Written when it is `yes`.
    Yes,
    /// Written unless it is `no`.
    NotNo,
    /// A word without regard to case.
    Word,
    /// A version: an epoch of zero is not written.
    Version,
    /// Relations, written in one form.
    Relations,
    /// Put in from what the database knows.
    Own,
    /// Only for lists of available packages.
    Dropped,
}

/// The fields that dpkg knows, in the order in which it writes them.
const ORDER: &[(&str, Kind)] = &[
    ("Package", Kind::Text),
    ("Essential", Kind::Yes),
    ("Protected", Kind::Yes),
    ("Status", Kind::Own),
    ("Priority", Kind::Word),
    ("Section", Kind::Text),
    ("Installed-Size", Kind::Text),
    ("Origin", Kind::Text),
    ("Maintainer", Kind::Text),
    ("Bugs", Kind::Text),
    ("Architecture", Kind::Text),
    ("Multi-Arch", Kind::NotNo),
    ("Source", Kind::Text),
    ("Version", Kind::Version),
    ("Config-Version", Kind::Own),
    ("Replaces", Kind::Relations),
    ("Provides", Kind::Relations),
    ("Depends", Kind::Relations),
    ("Pre-Depends", Kind::Relations),
    ("Recommends", Kind::Relations),
    ("Suggests", Kind::Relations),
    ("Breaks", Kind::Relations),
    ("Conflicts", Kind::Relations),
    ("Enhances", Kind::Relations),
    ("Conffiles", Kind::Own),
    ("Filename", Kind::Dropped),
    ("Size", Kind::Dropped),
    ("MD5sum", Kind::Dropped),
    ("MSDOS-Filename", Kind::Dropped),
    ("Description", Kind::Text),
    ("Triggers-Pending", Kind::Own),
    ("Triggers-Awaited", Kind::Own),
];

/// What a stanza says beside the package's own fields.
#[derive(Debug, Clone, Default)]
pub struct Standing<'a> {
    /// The three words of `Status`.
    pub status: &'a str,
    /// The stanza that was there: priority and section stay when the new version does not say any.
    pub before: Option<&'a Fields>,
    /// The version that was configured last, while another one is unpacked.
    pub config_version: Option<&'a str>,
    /// The configuration files.
    pub conffiles: &'a [Conffile],
    /// Triggers that wait for the package.
    pub pending: &'a [String],
}

/// Returns the stanza of a package, with the empty line that ends it.
pub fn write(control: &Fields, standing: &Standing<'_>) -> Result<Vec<u8>, ArchiveError> {
    let mut out = String::new();
    let architecture = control.get("Architecture").unwrap_or_default();
    for &(name, kind) in ORDER {
        let mut value = control.get(name).unwrap_or_default();
        if value.is_empty() && matches!(name, "Priority" | "Section") {
            let before = standing.before.and_then(|before| before.get(name));
            value = before.unwrap_or_default();
        }
        let value = match kind {
            Kind::Text => value.to_owned(),
            Kind::Yes if value.eq_ignore_ascii_case("yes") => "yes".to_owned(),
            Kind::NotNo if value.eq_ignore_ascii_case("no") => continue,
            Kind::NotNo | Kind::Word => value.to_ascii_lowercase(),
            Kind::Version => plain_version(name, value)?.to_owned(),
            Kind::Relations => relations(name, value, architecture)?,
            Kind::Yes | Kind::Dropped => continue,
            Kind::Own => match name {
                "Status" => standing.status.to_owned(),
                "Config-Version" => standing.config_version.unwrap_or_default().to_owned(),
                "Triggers-Pending" => standing.pending.join(" "),
                "Conffiles" => {
                    out.push_str(&conffiles::write(standing.conffiles));
                    continue;
                }
                _ => continue,
            },
        };
        if !value.is_empty() {
            push(&mut out, name, &value);
        }
    }
    // What dpkg does not know it keeps in the package's order, even without a value.
    for (name, value) in control.iter() {
        if !is_known(name) {
            push(&mut out, name, value);
        }
    }
    out.push('\n');
    Ok(out.into_bytes())
}

/// Returns a stanza with another value for `Conffiles`; everything else stays byte for byte. Only for stanzas that have the
/// field.
pub fn with_conffiles(stanza: &[u8], files: &[Conffile]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stanza.len());
    let mut within = false;
    for line in stanza.split_inclusive(|c| *c == b'\n') {
        if line.to_ascii_lowercase().starts_with(b"conffiles:") {
            within = true;
            out.extend(conffiles::write(files).into_bytes());
        } else if !within || !line.starts_with(b" ") {
            within = false;
            out.extend_from_slice(line);
        }
    }
    out
}

/// Returns a stanza whose package waits for triggers: with that state, and the triggers before the fields that dpkg does
/// not know.
pub fn with_pending(stanza: &[u8], pending: &[String]) -> Result<Vec<u8>, ArchiveError> {
    let control = Fields::parse(stanza)?;
    let status = control.get("Status").unwrap_or_default();
    let want = status.split(' ').next().unwrap_or("install");
    let conffiles = conffiles::parse(control.get("Conffiles").unwrap_or_default());
    write(
        &control,
        &Standing {
            status: &format!("{want} ok triggers-pending"),
            before: None,
            config_version: None,
            conffiles: &conffiles,
            pending,
        },
    )
}

fn push(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(": ");
    out.push_str(value);
    out.push('\n');
}

fn is_known(name: &str) -> bool {
    ORDER
        .iter()
        .any(|(known, _)| known.eq_ignore_ascii_case(name))
}

/// Returns a version without an epoch of zero, unless what follows needs one to be read. What has a space in it, or nothing on a
/// side of its first colon, is none, as for dpkg: without its epoch it would be read as another one.
fn plain_version<'a>(name: &str, version: &'a str) -> Result<&'a str, ArchiveError> {
    let sides = version.split_once(':');
    if version.contains(char::is_whitespace)
        || sides.is_some_and(|(epoch, rest)| epoch.is_empty() || rest.is_empty())
    {
        return Err(ArchiveError::malformed(format!(
            "its field `{name}` has `{version}`, which is no version"
        )));
    }
    Ok(match sides {
        Some((epoch, rest)) if epoch.bytes().all(|c| c == b'0') && !rest.contains(':') => rest,
        _ => version,
    })
}

/// Returns relations in the form in which dpkg writes them.
fn relations(name: &str, value: &str, architecture: &str) -> Result<String, ArchiveError> {
    let mut parsed = Relations::parse(value, architecture).map_err(|error| {
        ArchiveError::malformed(format!("its field `{name}` is not usable: {error}"))
    })?;
    for relation in parsed.0.iter_mut().flatten() {
        if let Some((_, version)) = &mut relation.version {
            *version = plain_version(name, version)?.to_owned();
        }
    }
    Ok(parsed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: &str = "Package: a\nVersion: 0:1.0-1\nX-Own: \nArchitecture: amd64\nPriority: Optional\n\
        Multi-Arch: no\nEssential: no\nDepends: b(>=0:1) |c:any,d ( << 2 )\nFilename: pool/a\nDescription: short\n \
        long\n .\nHomepage: https://a.example\nMaintainer: M <m@a.example>\n";

    fn text(standing: &Standing<'_>) -> String {
        let fields = Fields::parse(CONTROL.as_bytes()).unwrap();
        String::from_utf8(write(&fields, standing).unwrap()).unwrap()
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for control in [
            "Package: a\nArchitecture: all\nVersion: 0: 1\n",
            "Package: a\nArchitecture: all\nVersion: 1\n 2\n",
            "Package: a\nArchitecture: all\nVersion: :1\n",
            "Package: a\nArchitecture: all\nVersion: 0:\n",
            "Package: a\nArchitecture: all\nDepends: d (<< :)\n",
        ] {
            let fields = Fields::parse(control.as_bytes()).unwrap();
            assert!(write(&fields, &Standing::default()).is_err(), "{control:?}");
        }
    }

    #[test]
    fn fields_come_in_dpkg_order_and_form() {
        let conffiles = conffiles::parse(" /etc/a 00 obsolete");
        let before =
            Fields::parse(b"Package: a\nSection: past\nPriority: extra\nBugs: gone\n").unwrap();
        let standing = Standing {
            status: "install ok unpacked",
            before: Some(&before),
            config_version: Some("0.9"),
            conffiles: &conffiles,
            pending: &[],
        };
        assert_eq!(
            text(&standing),
            "Package: a\nStatus: install ok unpacked\nPriority: optional\nSection: past\nMaintainer: M <m@a.example>\n\
             Architecture: amd64\nVersion: 1.0-1\nConfig-Version: 0.9\n\
             Depends: b (>= 1) | c:any, d (<< 2)\nConffiles:\n /etc/a 00 obsolete\nDescription: short\n long\n .\n\
             X-Own: \nHomepage: https://a.example\n\n"
        );
    }

    #[test]
    fn conffiles_are_replaced_in_place() {
        let before = b"Package: a\nConffiles:\n /etc/a 00\n /etc/b 01\nDescription: x\n\n";
        let files = conffiles::parse(" /etc/a 00 obsolete");
        assert_eq!(
            with_conffiles(before, &files),
            b"Package: a\nConffiles:\n /etc/a 00 obsolete\nDescription: x\n\n"
        );
    }

    #[test]
    fn a_package_with_triggers_to_run_says_so_after_its_description() {
        let stanza = text(&Standing {
            status: "install ok installed",
            ..Standing::default()
        });
        let pending =
            with_pending(stanza.as_bytes(), &["ldconfig".into(), "/usr/a".into()]).unwrap();
        let pending = String::from_utf8(pending).unwrap();
        assert_eq!(
            pending,
            stanza
                .replace("ok installed", "ok triggers-pending")
                .replace("X-Own", "Triggers-Pending: ldconfig /usr/a\nX-Own")
        );
    }
}
