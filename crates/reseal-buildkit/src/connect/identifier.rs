//! Grammars of the names that end up in the arguments of child processes.
//!
//! Nothing here goes through a local shell, so the danger is a value that a program takes for an option (a leading
//! `-`), and `ssh`, which hands its words to a shell on the other side.

/// Container names of docker, podman and nerdctl, Docker contexts, buildx builders and containerd namespaces.
pub(super) fn is_name(value: &str) -> bool {
    let mut characters = value.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && value.len() <= 255
        && characters.all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c))
}

/// Names of Kubernetes objects: DNS labels and subdomains.
pub(super) fn is_kubernetes_name(value: &str) -> bool {
    (1..=253).contains(&value.len())
        && !value.starts_with(['-', '.'])
        && value
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
}

/// Contexts of a kubeconfig, which cloud tools fill with ARNs and e-mail-like names.
pub(super) fn is_kubernetes_context(value: &str) -> bool {
    (1..=512).contains(&value.len())
        && !value.starts_with('-')
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._:@/+-".contains(c))
}

/// User names on the other side of an SSH connection.
pub(super) fn is_user(value: &str) -> bool {
    (1..=64).contains(&value.len())
        && !value.starts_with('-')
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Host names, addresses and aliases of an SSH configuration; IPv6 addresses come without their brackets.
pub(super) fn is_host(value: &str) -> bool {
    let plain = (1..=253).contains(&value.len())
        && !value.starts_with(['-', '.'])
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    plain || value.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Socket paths that may appear on a remote command line: no character that means anything to any shell.
pub(super) fn is_remote_path(value: &str) -> bool {
    value.starts_with('/')
        && value.len() <= 107
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._@:+-".contains(c))
}

/// `os/architecture[/variant]`.
pub(super) fn is_platform(value: &str) -> bool {
    let parts: Vec<&str> = value.split('/').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.len() <= 64
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        })
}
