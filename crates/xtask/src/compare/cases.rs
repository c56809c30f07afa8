//! What the engines are compared on.

use std::{fs, path::Path};

use crate::shell::{Servers, output};

/// One patch of one platform of one image.
pub(super) struct Case {
    /// The image, as the variables of `integration/up.sh` name it.
    pub image: &'static str,
    /// The platform's architecture.
    pub architecture: &'static str,
    /// The report to patch by, as those variables name it; everything is upgraded without.
    pub report: Option<&'static str>,
    /// What is changed in the image before.
    pub change: Option<Change>,
}

/// A change that dpkg has to respect, made by the image's own programs.
pub(super) struct Change {
    name: &'static str,
    /// A shell script.
    script: &'static str,
}

const fn case(
    image: &'static str,
    architecture: &'static str,
    report: Option<&'static str>,
) -> Case {
    Case {
        image,
        architecture,
        report,
        change: None,
    }
}

const fn changed(image: &'static str, name: &'static str, script: &'static str) -> Case {
    Case {
        image,
        architecture: "amd64",
        report: None,
        change: Some(Change { name, script }),
    }
}

/// Documentation is left out, as in the slim images.
const EXCLUDES: &str = "printf 'path-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\npath-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n' >/etc/dpkg/dpkg.cfg.d/slim \
    && find /usr/share/doc -type f ! -name copyright -delete && rm -rf /usr/share/man/* /usr/share/locale/*";
/// Configuration files that the user changed, and one that the user removed.
const CONFFILES: &str = "echo '# mine' >>/etc/ssl/openssl.cnf && echo '# mine' >>/etc/nginx/nginx.conf && echo '# mine' >>/etc/debian_version \
    && rm /etc/issue.net /etc/logrotate.d/apt";
/// A program that another takes the place of, one that only root may run, and a folder of another owner.
const DIVERSION: &str = "dpkg-divert --local --rename --divert /usr/bin/openssl.real --add /usr/bin/openssl && ln -s openssl.real /usr/bin/openssl \
    && dpkg-divert --local --no-rename --divert /usr/share/perl/cpan.real --add /usr/bin/cpan \
    && dpkg-statoverride --update --add root adm 0750 /usr/bin/c_rehash && dpkg-statoverride --update --add games games 2755 /usr/sbin/nginx";

/// Certificates that the administrator turned off, on and brought along, and new ones that are not trusted.
const CERTIFICATES: &str = "sed -i -e 's,^mozilla/ISRG_Root_X2,!&,' -e '/Actalis/d' /etc/ca-certificates.conf && printf '# mine\n\nown.crt\n' >>/etc/ca-certificates.conf \
    && mkdir -p /usr/local/share/ca-certificates/corp && cp /usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt '/usr/local/share/ca-certificates/corp/A copy (1).crt' \
    && openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj '/O=  Some   Org/CN=Own Root' -out /usr/local/share/ca-certificates/own.crt \
    && update-ca-certificates && ln -s nowhere /etc/ssl/certs/gone.pem && echo ca-certificates ca-certificates/trust_new_crts select no | debconf-set-selections";
/// An older version of the certificates, made of the newest: one has another name, and one is missing.
const OLDER_CERTIFICATES: &str = "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openssl && cd /tmp && apt-get download ca-certificates \
    && dpkg-deb -R ca-certificates_*.deb p && sed -i '/^Version:/s/$/~older/' p/DEBIAN/control && cd p/usr/share/ca-certificates/mozilla && mv ISRG_Root_X2.crt Former_Root.crt && rm ISRG_Root_X1.crt && cd /tmp \
    && sed -i -e 's/ISRG_Root_X2/Former_Root/' -e 's/mozilla.ISRG_Root_X1.crt, //' p/DEBIAN/config && sed -i '/ISRG_Root/d' p/DEBIAN/md5sums && dpkg-deb -b p older.deb && DEBIAN_FRONTEND=noninteractive dpkg -i older.deb \
    && cd / && rm -rf /tmp/* && apt-get clean && rm -rf /var/lib/apt/lists/*";

/// Installs packages as they were in the last point release, so that there are newer ones of them.
macro_rules! aged {
    ($packages:literal) => {
        concat!(
            "printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
            && cp /etc/apt/sources.list /tmp/sources && sed -i '1!d' /etc/apt/sources.list && apt-get update \
            && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ",
            $packages,
            " && mv /tmp/sources /etc/apt/sources.list && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d"
        )
    };
}

/// What images of programs and of their builds have.
const TOOLS: &str = aged!(
    "gnupg gpgv openssh-client libpq5 libmariadb3 rsync unzip zip jq less sudo wget procps libglib2.0-0 krb5-user \
    libxslt1.1 libxml2-utils libarchive13 libevent-2.1-7 libuv1 libssh-4 libsodium23 libnss3 libcups2 libx11-6 libxpm4 \
    libc6-dev linux-libc-dev libssl-dev libexpat1-dev libicu-dev locales util-linux mount bsdutils fdisk libsystemd0 \
    libudev1 python3-urllib3 python3-cryptography bind9-host dnsutils net-tools inetutils-ping libldap-common p7zip-full"
);
/// Servers, and languages that they are written in.
const SERVERS: &str = aged!(
    "apache2 php-cli php-fpm ruby redis-server memcached haproxy varnish mosquitto rsyslog dnsmasq \
    postgresql-client mariadb-client systemd dbus openssh-server exim4-daemon-light proftpd-core"
);
/// What reads and writes pictures, documents and films.
const MEDIA: &str = aged!(
    "imagemagick ghostscript poppler-utils libtiff-tools webp libheif1 libfreetype6 libgdk-pixbuf-2.0-0 librsvg2-2 \
    libgd3 libopenjp2-7 libaom3 libde265-0 liblcms2-2 python3-pil python3-lxml fontconfig libvpx7 libdav1d6 libmpg123-0 \
    gstreamer1.0-plugins-base ffmpeg default-jre-headless"
);

/// What images of programs in other languages have, and of those who look into them.
const PROGRAMS: &str = aged!(
    "ca-certificates curl wget openssl perl python3 git nginx nodejs vim busybox rsync unzip \
    postgresql-client php-cli"
);

/// What CI compares: both releases, both platforms, minimal and larger, by report and everything, and images of which dpkg has
/// to respect something.
const PROOF: [Case; 15] = [
    case("BOOKWORM_LARGER", "amd64", Some("BOOKWORM_LARGER_AMD64")),
    case("BOOKWORM_LARGER", "amd64", None),
    case("BULLSEYE_LARGER", "amd64", None),
    case("BULLSEYE_LARGER", "amd64", Some("BULLSEYE_LARGER_AMD64")),
    case("BOOKWORM", "amd64", None),
    case("BOOKWORM", "amd64", Some("BOOKWORM_AMD64")),
    case("BULLSEYE", "amd64", None),
    case("BULLSEYE", "amd64", Some("BULLSEYE_AMD64")),
    changed("BOOKWORM_LARGER", "path-exclude", EXCLUDES),
    changed("BOOKWORM_LARGER", "conffiles", CONFFILES),
    changed("BOOKWORM_LARGER", "diversion", DIVERSION),
    // The security archive of bullseye has no arm64 packages any more.
    case("BOOKWORM_MULTI", "arm64", Some("BOOKWORM_MULTI_ARM64")),
    case("BOOKWORM_MULTI", "arm64", None),
    changed("BOOKWORM_LARGER", "certificates", CERTIFICATES),
    changed("TRIXIE", "older", OLDER_CERTIFICATES),
];
/// What the table of maintainer scripts is widened by besides, and what takes long: more programs, and a larger root of a
/// foreign platform.
const WIDER: [Case; 7] = [
    changed("BOOKWORM", "programs", PROGRAMS),
    changed("BULLSEYE", "programs", PROGRAMS),
    changed("BOOKWORM", "tools", TOOLS),
    changed("BOOKWORM", "servers", SERVERS),
    changed("BOOKWORM", "media", MEDIA),
    // Made by `integration/up.sh bench`.
    case("BOOKWORM_LARGER_MULTI", "arm64", None),
    changed(
        "TRIXIE",
        "programs",
        aged!(
            "ca-certificates curl openssl perl python3 nginx git rsync unzip openssh-client postgresql-client redis-server"
        ),
    ),
];

/// Returns all cases, or those that CI compares.
pub(super) fn all(proof_alone: bool) -> impl Iterator<Item = &'static Case> {
    let wider: &[Case] = if proof_alone { &[] } else { &WIDER };
    PROOF.iter().chain(wider)
}

impl Case {
    /// Returns a name that also is one of a folder and a tag.
    pub(super) fn name(&self) -> String {
        let image = self.image.to_lowercase().replace('_', "-");
        let what = self.report.map_or("all", |_| "report");
        let change = self.change.as_ref().map_or("", |change| change.name);
        let dash = if change.is_empty() { "" } else { "-" };
        format!("{image}-{}-{what}{dash}{change}", self.architecture)
    }

    /// Returns the image's reference, changed as the case wants it.
    pub(super) fn prepare(&self, servers: &Servers, place: &Path) -> Result<String, String> {
        let image = servers.get(&format!("IMAGE_{}", self.image))?.to_owned();
        let Some(change) = &self.change else {
            return Ok(image);
        };
        let text = format!(
            "FROM {image}\nUSER root\nSHELL [\"/bin/sh\", \"-euc\"]\nRUN {}\n",
            change.script.replace('\n', "\\n")
        );
        fs::write(place.join("Dockerfile"), text)
            .map_err(|error| format!("{}: {error}", place.display()))?;
        let (repository, _) = image.rsplit_once(':').ok_or("the image has no tag")?;
        let made = format!("{repository}:{}", change.name);
        output(&mut servers.dockerfile("BUILDKIT_NEW", place, &made)?)?;
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let names: BTreeSet<String> = all(false).map(Case::name).collect();
        assert_eq!(names.len(), PROOF.len() + WIDER.len());
        assert!(names.contains("bookworm-larger-amd64-all-diversion"));
    }
}
