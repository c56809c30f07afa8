use super::*;
use crate::error::Class;

fn read(name: &str, text: &str) -> Result<Vec<Source>, RepoError> {
    let files = BTreeMap::from([(format!("etc/apt/{name}"), text.as_bytes().to_vec())]);
    read_sources_for(&files, "amd64", &["i386".to_owned()]).map(|sources| sources.entries)
}

fn show(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .map(|s| {
            format!(
                "{} {} {:?}",
                s.release_url(),
                s.components.join(","),
                s.architectures
            )
        })
        .collect()
}

#[test]
fn one_line_sources_are_read() {
    let text = r"
# deb http://commented.example/ x main
deb http://deb.example/debian bookworm main contrib main # more
deb-src http://deb.example/debian bookworm main
deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/x.gpg check-valid-until=no by-hash=force] https://x.example:8443/apt/ stable main
deb [ arch-=i386 trusted=yes ] http://flat.example/repo ./
deb [arch=arm64] http://arm.example/ x main
deb http://flat.example/$(ARCH) sub/path/
";
    let sources = read("sources.list", text).unwrap();
    assert_eq!(
        show(&sources),
        [
            r#"http://deb.example/debian/dists/bookworm/ main,contrib ["amd64", "i386"]"#,
            r#"https://x.example:8443/apt/dists/stable/ main ["amd64"]"#,
            r#"http://flat.example/repo/  ["amd64"]"#,
            r#"http://flat.example/amd64/sub/path/  ["amd64", "i386"]"#,
        ]
    );
    assert_eq!(sources[0].signed_by, SignedBy::Trusted);
    assert_eq!(sources[0].place, "etc/apt/sources.list:3");
    assert_eq!(sources[1].check_valid_until, Some(false));
    assert_eq!(sources[1].by_hash, Some(true));
    assert_eq!(sources[1].site(), "x.example");
    assert_eq!(sources[2].trusted, Some(true));
}

#[test]
fn paragraphs_are_read_with_keyrings_fingerprints_and_keys_inside() {
    let text = "# a comment\nTypes: deb deb-src\nURIs: http://a.example/ http://b.example/debian\nSuites: x x-updates\nComponents: main\n\
        Signed-By: /usr/share/keyrings/a.gpg, 0123456789abcdef0123456789abcdef01234567!\n\n\
        Types: deb\nURIs: http://off.example/\nSuites: x\nComponents: main\nEnabled: no\n\n\
        types: deb\nuris: http://c.example/\nsuites: y/\narchitectures: i386\nX-Other: z\n\
        Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abcd\n -----END PGP PUBLIC KEY BLOCK-----\n";
    let sources = read("sources.list.d/debian.sources", text).unwrap();
    assert_eq!(
        show(&sources),
        [
            r#"http://a.example/dists/x/ main ["amd64", "i386"]"#,
            r#"http://a.example/dists/x-updates/ main ["amd64", "i386"]"#,
            r#"http://b.example/debian/dists/x/ main ["amd64", "i386"]"#,
            r#"http://b.example/debian/dists/x-updates/ main ["amd64", "i386"]"#,
            r#"http://c.example/y/  ["i386"]"#,
        ]
    );
    assert_eq!(
        sources[0].signed_by,
        SignedBy::Named {
            keyrings: vec!["/usr/share/keyrings/a.gpg".into()],
            fingerprints: vec!["0123456789ABCDEF0123456789ABCDEF01234567!".into()],
        }
    );
    assert_eq!(
        sources[4].signed_by,
        SignedBy::Embedded(
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabcd\n-----END PGP PUBLIC KEY BLOCK-----"
                .into()
        )
    );
}

#[test]
fn a_login_in_an_address_is_taken_out_of_it() {
    let sources = read(
        "sources.list",
        "deb https://me:p%40ss@x.example/apt s main\n",
    )
    .unwrap();
    assert_eq!(sources[0].uri, "https://x.example/apt/");
    let login = sources[0].login.as_ref().unwrap();
    assert_eq!(
        (login.name.as_str(), login.password.expose()),
        ("me", "p@ss")
    );
    assert_eq!(
        (login.host.as_str(), login.path.as_str()),
        ("x.example", "/apt/")
    );
    assert!(!format!("{:?}", sources[0]).contains("p@ss"));
}

#[test]
fn what_only_apt_can_use_is_refused_by_name_and_what_nobody_can_as_malformed() {
    for (line, class, expected) in [
        (
            "deb cdrom:[Debian]/ x main",
            Class::Unsupported,
            "`cdrom:` in etc/apt/sources.list:1",
        ),
        (
            "deb mirror+http://x.example/list x main",
            Class::Unsupported,
            "`mirror+http:`",
        ),
        ("deb file:/srv/repo x main", Class::Unsupported, "`file:`"),
        (
            "deb [snapshot=20260101T000000Z] http://x.example/ x main",
            Class::Unsupported,
            "`snapshot`",
        ),
        (
            "deb [target=Contents-deb] http://x.example/ x main",
            Class::Unsupported,
            "`targets`",
        ),
        ("deb http://x.example/ x", Class::Usage, "needs components"),
        (
            "deb http://x.example/ x/ main",
            Class::Usage,
            "needs components",
        ),
        (
            "deb http://x.example/ ../x main",
            Class::Usage,
            "usable suite",
        ),
        ("deb http://x.example/", Class::Usage, "suite is missing"),
        ("deb", Class::Usage, "an address and a suite"),
        ("rpm http://x.example/ x main", Class::Usage, "`deb`"),
        (
            "deb [arch=amd64 http://x.example/ x main",
            Class::Usage,
            "`[` is not closed",
        ),
        (
            "deb [trusted] http://x.example/ x main",
            Class::Usage,
            "`name=value`",
        ),
        (
            "deb [trusted=maybe] http://x.example/ x main",
            Class::Usage,
            "neither yes nor no",
        ),
        (
            "deb [signed-by=keys.gpg] http://x.example/ x main",
            Class::Usage,
            "absolute path",
        ),
        (
            "deb [valid-until-max=-1] http://x.example/ x main",
            Class::Usage,
            "number of seconds",
        ),
        ("deb http:// x main", Class::Usage, "cannot be read"),
        ("deb x.example x main", Class::Usage, "no scheme"),
    ] {
        let error = read("sources.list", line).unwrap_err();
        assert_eq!(error.class(), class, "{line}: {error}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
    for text in [
        "Types: deb\nSuites: x\n",
        "URIs: x\n",
        " x\n",
        "Types deb\n",
        "Types: \u{fffd}\n",
    ] {
        let error = read("sources.list.d/x.sources", text).unwrap_err();
        assert_eq!(error.class(), Class::Usage, "{text}: {error}");
    }
}

#[test]
fn one_release_has_one_answer_to_who_signs() {
    let text = "deb [signed-by=/a.gpg] http://x.example/ x main\ndeb http://x.example/ x contrib\n";
    let error = read("sources.list", text).unwrap_err().to_string();
    assert!(error.contains("`Signed-By` differs"), "{error}");
    let text = "deb http://x.example x main\ndeb http://x.example/ x contrib\n";
    assert_eq!(read("sources.list", text).unwrap().len(), 2);
}

#[test]
fn files_that_apt_ignores_are_ignored() {
    for name in [
        "sources.list.d/x.save",
        "sources.list.d/.x.list",
        "sources.list.d/x",
        "other.list",
    ] {
        assert_eq!(read(name, "rubbish").unwrap(), [], "{name}");
    }
}
