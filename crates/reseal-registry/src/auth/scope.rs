//! What access a request needs, in the words of the token protocol: `repository:shop/cart:pull,push`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A set of rights on resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    pub(crate) fn pull(path: &str) -> Self {
        Self::default().with(&format!("repository:{path}"), &["pull"])
    }

    pub(crate) fn push(path: &str) -> Self {
        Self::default().with(&format!("repository:{path}"), &["pull", "push"])
    }

    pub(crate) fn and(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.0 {
            self.0
                .entry(resource.clone())
                .or_default()
                .extend(actions.iter().cloned());
        }
        self
    }

    fn with(mut self, resource: &str, actions: &[&str]) -> Self {
        self.0
            .entry(resource.to_owned())
            .or_default()
            .extend(actions.iter().map(|&action| action.to_owned()));
        self
    }

    /// Reads scopes as they stand in a challenge: several are separated by white space.
    pub(crate) fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        texts
            .into_iter()
            .flat_map(str::split_whitespace)
            .fold(Self::default(), |all, text| {
                let (resource, actions) = text.rsplit_once(':').unwrap_or((text, ""));
                all.with(
                    resource,
                    &actions
                        .split(',')
                        .filter(|action| !action.is_empty())
                        .collect::<Vec<_>>(),
                )
            })
    }

    /// Tells whether whoever may do this may do `other`.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(resource, actions)| {
            self.0
                .get(resource)
                .is_some_and(|ours| actions.is_subset(ours))
        })
    }

    /// One string a resource, as the `scope` parameter wants it.
    pub(crate) fn strings(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(resource, actions)| {
                format!(
                    "{resource}:{}",
                    actions.iter().cloned().collect::<Vec<_>>().join(",")
                )
            })
            .collect()
    }

    /// The path of the first repository: what logins are looked up for.
    pub(crate) fn repository(&self) -> Option<&str> {
        self.0
            .keys()
            .find_map(|resource| resource.strip_prefix("repository:"))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.strings().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::Scopes;

    #[test]
    fn scopes_compare_by_rights_and_print_as_the_protocol_wants() {
        let (pull, push) = (Scopes::pull("a/b"), Scopes::push("a/b"));
        assert_eq!(push.to_string(), "repository:a/b:pull,push");
        assert!(push.covers(&pull) && !pull.covers(&push) && !push.covers(&Scopes::pull("a")));
        let both = push.clone().and(&Scopes::pull("c"));
        assert_eq!(
            both.strings(),
            ["repository:a/b:pull,push", "repository:c:pull"]
        );
        assert_eq!(
            Scopes::parse(["repository:c:pull repository:a/b:push,pull"]),
            both
        );
        assert_eq!(
            Scopes::parse(["registry:catalog:*"]).to_string(),
            "registry:catalog:*"
        );
        assert_eq!(
            Scopes::parse(["repository:host:5000/x:pull"]).repository(),
            Some("host:5000/x")
        );
    }
}
