//! The address grammar.

use reseal_buildkit::connect::{Address, AddressError, parse_addr_flag};

#[test]
fn every_scheme_is_understood_and_printed_as_it_was_written() {
    let table = [
        (
            "unix:///run/buildkit/buildkitd.sock",
            Address::Unix("/run/buildkit/buildkitd.sock".into()),
        ),
        (
            "tcp://10.0.0.7:1234",
            Address::Tcp {
                host: "10.0.0.7".into(),
                port: 1234,
            },
        ),
        (
            "tcp://[fd00::7]:8080",
            Address::Tcp {
                host: "fd00::7".into(),
                port: 8080,
            },
        ),
        (
            "docker-container://buildkitd",
            Address::DockerContainer {
                name: "buildkitd".into(),
                context: None,
            },
        ),
        (
            "docker-container://b_1?context=far.away",
            Address::DockerContainer {
                name: "b_1".into(),
                context: Some("far.away".into()),
            },
        ),
        (
            "podman-container://b",
            Address::PodmanContainer { name: "b".into() },
        ),
        (
            "nerdctl-container://b?namespace=k8s.io",
            Address::NerdctlContainer {
                name: "b".into(),
                namespace: Some("k8s.io".into()),
            },
        ),
        (
            "kube-pod://bk-0",
            Address::KubePod {
                pod: "bk-0".into(),
                context: None,
                namespace: None,
                container: None,
            },
        ),
        (
            "kube-pod://bk-0?context=arn:aws:eks:eu-1:12:cluster/x&namespace=ci&container=d",
            Address::KubePod {
                pod: "bk-0".into(),
                context: Some("arn:aws:eks:eu-1:12:cluster/x".into()),
                namespace: Some("ci".into()),
                container: Some("d".into()),
            },
        ),
        (
            "ssh://host",
            Address::Ssh {
                user: None,
                host: "host".into(),
                port: None,
                socket: None,
            },
        ),
        (
            "ssh://me@[::1]:2222/run/b.sock",
            Address::Ssh {
                user: Some("me".into()),
                host: "::1".into(),
                port: Some(2222),
                socket: Some("/run/b.sock".into()),
            },
        ),
        ("docker://", Address::Docker { host: None }),
        (
            "docker:///var/run/docker.sock",
            Address::Docker {
                host: Some("/var/run/docker.sock".into()),
            },
        ),
        (
            "docker://tcp://h:2376",
            Address::Docker {
                host: Some("tcp://h:2376".into()),
            },
        ),
        (
            "docker://ssh://me@h",
            Address::Docker {
                host: Some("ssh://me@h".into()),
            },
        ),
        (
            "docker://h:2375",
            Address::Docker {
                host: Some("h:2375".into()),
            },
        ),
        (
            "docker://colima",
            Address::Docker {
                host: Some("colima".into()),
            },
        ),
        ("buildx://", Address::Buildx { builder: None }),
        (
            "buildx://farm",
            Address::Buildx {
                builder: Some("farm".into()),
            },
        ),
    ];
    for (text, expected) in table {
        let parsed: Address = text.parse().unwrap();
        assert_eq!(parsed, expected, "{text}");
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn shorthand_is_completed() {
    let table = [
        ("tcp://host", "tcp://host:1234"),
        (
            "kube-pod://p?namespace=&container=c",
            "kube-pod://p?container=c",
        ),
        (
            "kube-pod://p?context=me%40far",
            "kube-pod://p?context=me@far",
        ),
        ("ssh://host/", "ssh://host"),
        ("podman-container://b/", "podman-container://b"),
    ];
    for (text, expected) in table {
        assert_eq!(
            text.parse::<Address>().unwrap().to_string(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let table = [
        ("", "empty BuildKit address"),
        ("  ", "empty BuildKit address"),
        ("/run/b.sock", "has no scheme"),
        ("host:1234", "has no scheme"),
        (
            "buildkit://x",
            "scheme `buildkit://` is not known; accepted are unix://, tcp://",
        ),
        ("http://x", "is not known"),
        ("unix://run/b.sock", "not an absolute path"),
        ("unix:///a\nb", "control characters"),
        ("tcp://", "not a host name"),
        ("tcp://host:0", "not a port"),
        ("tcp://host:99999", "not a port"),
        ("tcp://host:+1", "not a port"),
        ("tcp://a:b:c", "not a port"),
        ("tcp://[::1", "bracket is not closed"),
        ("tcp://[::1]x", "only a port"),
        ("tcp://host/path", "not a host name"),
        ("docker-container://", "not a container name"),
        ("docker-container://a?context=x&context=y", "given twice"),
        (
            "docker-container://a?host=x",
            "parameter `host` is not known",
        ),
        ("docker-container://a?context=%zz", "percent-encoded"),
        ("docker-container://a?context=%2", "percent-encoded"),
        (
            "podman-container://a?context=x",
            "parameter `context` is not known",
        ),
        ("kube-pod://Upper", "not a pod name"),
        ("ssh://", "not a host name"),
        ("ssh://host?x=y", "queries and fragments"),
        ("ssh://host#x", "queries and fragments"),
        ("docker://kube-pod://x", "behind it fit"),
        ("docker://a b", "not a context name"),
        ("buildx://a b", "not a builder name"),
    ];
    for (text, expected) in table {
        let message = text.parse::<Address>().unwrap_err().to_string();
        assert!(message.contains(expected), "{text:?}: {message}");
        assert!(!message.contains('\n'), "{text:?}: {message}");
    }
}

#[test]
fn no_part_can_be_taken_for_an_option_or_reach_a_remote_shell() {
    let table = [
        "docker-container://-v",
        "docker-container://--privileged",
        "docker-container://a?context=-H",
        "docker-container://a?context=%2Dx",
        "docker-container://a;id",
        "docker-container://a%20b",
        "podman-container://--help",
        "nerdctl-container://-n",
        "nerdctl-container://n?namespace=-x",
        "kube-pod://-it",
        "kube-pod://p?container=--",
        "kube-pod://p?context=--kubeconfig=/x",
        "kube-pod://p?namespace=a;b",
        "ssh://-oProxyCommand=id",
        "ssh://-oProxyCommand=id@host",
        "ssh://me@-oProxyCommand=id",
        "ssh://me@host/run/$(id)",
        "ssh://me@host/run/a;id",
        "ssh://me@host/run/a b",
        "ssh://me@host/run/`id`",
        "ssh://a$b@host",
        "docker://-x",
        "docker://ssh://-oProxyCommand=id",
        "docker://ssh://host/run/docker.sock",
        "buildx://--builder",
        "buildx://-x",
        "tcp://-host",
        "tcp://host\r\nx:1",
    ];
    for text in table {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

#[test]
fn a_password_is_refused_and_not_repeated() {
    let message = "ssh://me:hunter2@host"
        .parse::<Address>()
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("holds a password") && !message.contains("hunter2"),
        "{message}"
    );
}

#[test]
fn hints_show_what_was_meant() {
    let table = [
        ("/run/b.sock", "unix:///run/b.sock"),
        ("host:1234", "tcp://host:1234"),
        ("buildkit://x", "unix:///"),
        ("https://x", "tcp://HOST:PORT"),
        ("unix://run/b.sock", "three slashes"),
    ];
    for (text, expected) in table {
        let hint = text.parse::<Address>().unwrap_err().hint().unwrap();
        assert!(hint.contains(expected), "{text}: {hint}");
    }
}

#[test]
fn a_flag_may_name_the_platform_of_a_node() {
    let table = [
        ("unix:///b.sock", None, "unix:///b.sock"),
        (
            "linux/arm64=tcp://arm:1234",
            Some("linux/arm64"),
            "tcp://arm:1234",
        ),
        (
            "linux/arm/v7=docker-container://b?context=c",
            Some("linux/arm/v7"),
            "docker-container://b?context=c",
        ),
        (
            "docker-container://b?context=c",
            None,
            "docker-container://b?context=c",
        ),
        ("unix:///odd=name.sock", None, "unix:///odd=name.sock"),
    ];
    for (text, platform, address) in table {
        let (found, parsed) = parse_addr_flag(text).unwrap();
        assert_eq!(
            (found.as_deref(), parsed.to_string().as_str()),
            (platform, address)
        );
    }
    for text in [
        "arm64=tcp://h",
        "-x/y=tcp://h",
        "linux/arm64/v8/x=tcp://h",
        "=tcp://h",
        "linux/=tcp://h",
    ] {
        assert!(
            matches!(parse_addr_flag(text), Err(AddressError::Platform { .. })),
            "{text}"
        );
    }
    assert!(matches!(
        parse_addr_flag("linux/arm64="),
        Err(AddressError::Empty)
    ));
}
