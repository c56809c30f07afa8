//! Package URLs: <https://github.com/package-url/purl-spec>.

use std::fmt::Write as _;

use reseal_oci::Digest;

use super::facts::Distribution;

/// Everything but letters, digits and `.-_~` is escaped; every reader undoes that.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    out
}

/// Returns the URL of an image. `architecture` is that of a platform's manifest.
pub(super) fn image(name: &str, digest: &Digest, architecture: Option<&str>) -> String {
    // Docker Hub under the name that scanners give it, which compare this text.
    let repository = match name.split_once('/') {
        Some(("docker.io", rest)) => format!("index.docker.io/{rest}"),
        _ => name.to_owned(),
    };
    let last = repository.rsplit('/').next().unwrap_or_default();
    let mut url = format!("pkg:oci/{}@{}?", escape(last), escape(digest.as_str()));
    if let Some(architecture) = architecture {
        write!(url, "arch={}&", escape(architecture)).expect("writing to a string cannot fail");
    }
    url + "repository_url=" + &escape(&repository)
}

/// Returns the URL of a package.
pub(super) fn package(
    distribution: &Distribution,
    name: &str,
    version: Option<&str>,
    architecture: Option<&str>,
    with_distribution: bool,
) -> String {
    let mut version = version;
    let mut qualifiers = Vec::new();
    if let Some(architecture) = architecture {
        qualifiers.push(format!("arch={}", escape(architecture)));
    }
    if with_distribution {
        let id = &distribution.id;
        let text = if distribution.version.is_empty() {
            id.clone()
        } else {
            format!("{id}-{}", distribution.version)
        };
        qualifiers.push(format!("distro={}", escape(&text)));
    }
    // The epoch of rpm is a qualifier; that of Debian is a part of the version.
    if distribution.package_type == "rpm"
        && let Some((epoch, rest)) = version.and_then(|version| version.split_once(':'))
    {
        qualifiers.push(format!("epoch={}", escape(epoch)));
        version = Some(rest);
    }
    let mut url = format!(
        "pkg:{}/{}/{}",
        distribution.package_type,
        escape(&distribution.id),
        escape(name)
    );
    if let Some(version) = version {
        url = url + "@" + &escape(version);
    }
    if !qualifiers.is_empty() {
        url = url + "?" + &qualifiers.join("&");
    }
    url
}

/// Returns the architecture of a platform: `arm64` of `linux/arm64/v8`.
pub(super) fn architecture(platform: &str) -> Option<&str> {
    platform.split('/').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_urls_that_scanners_read() {
        let of = |package_type: &str, id: &str, version: &str| Distribution {
            package_type: package_type.into(),
            id: id.into(),
            version: version.into(),
        };
        let debian = of("deb", "debian", "12");
        let fedora = of("rpm", "fedora", "40");
        for (url, expected) in [
            (
                package(
                    &debian,
                    "libstdc++6",
                    Some("1:12.2+x~1"),
                    Some("amd64"),
                    true,
                ),
                "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2%2Bx~1?arch=amd64&distro=debian-12",
            ),
            (
                package(&fedora, "vim", Some("2:9.1-1.fc40"), Some("x86_64"), true),
                "pkg:rpm/fedora/vim@9.1-1.fc40?arch=x86_64&distro=fedora-40&epoch=2",
            ),
            (
                package(&of("apk", "wolfi", ""), "openssl", None, None, true),
                "pkg:apk/wolfi/openssl?distro=wolfi",
            ),
            (package(&debian, "x", None, None, false), "pkg:deb/debian/x"),
        ] {
            assert_eq!(url, expected);
        }
    }

    #[test]
    fn images_have_urls_with_their_repository() {
        let digest = Digest::of(b"");
        let hex = digest.hex();
        assert_eq!(
            image("docker.io/library/nginx", &digest, Some("arm64")),
            format!(
                "pkg:oci/nginx@sha256%3A{hex}?arch=arm64&repository_url=index.docker.io%2Flibrary%2Fnginx"
            )
        );
        assert_eq!(
            image("localhost:5000/a", &digest, None),
            format!("pkg:oci/a@sha256%3A{hex}?repository_url=localhost%3A5000%2Fa")
        );
    }
}
