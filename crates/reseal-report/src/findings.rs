//! What the readers share: collecting findings once each, and reading package URLs.

use std::collections::HashMap;

use crate::Finding;

/// What makes a finding the same as another: id, package, architecture, installed version.
type Key = (String, String, Option<String>, String);

/// Findings in their order, each once.
#[derive(Default)]
pub(crate) struct Unique {
    findings: Vec<Finding>,
    places: HashMap<Key, usize>,
}

impl Unique {
    /// Adds a finding, or what a repeated one says more: fixes, advisories, the worse severity.
    pub(crate) fn add(&mut self, finding: Finding) {
        let key = (
            finding.id.clone(),
            finding.package.clone(),
            finding.architecture.clone(),
            finding.installed.clone(),
        );
        // Findings without an id are not known to be the same one.
        let known = self.places.get(&key).filter(|_| !finding.id.is_empty());
        let Some(first) = known.and_then(|place| self.findings.get_mut(*place)) else {
            self.places.insert(key, self.findings.len());
            self.findings.push(finding);
            return;
        };
        extend(&mut first.fixed, finding.fixed);
        extend(&mut first.vendor_ids, finding.vendor_ids);
        first.severity = first.severity.max(finding.severity);
        first.status = first.status.take().or(finding.status);
        first.source = first.source.take().or(finding.source);
        first.title = first.title.take().or(finding.title);
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

fn extend(list: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if !list.contains(&text) {
            list.push(text);
        }
    }
}

/// Returns the `arch` of a package URL: `pkg:deb/debian/libc6@2.36?arch=amd64&distro=debian-12`.
pub(crate) fn purl_architecture(purl: &str) -> Option<String> {
    let (_, qualifiers) = purl.split_once('?')?;
    let qualifiers = qualifiers.split('#').next().unwrap_or_default();
    qualifiers
        .split('&')
        .find_map(|pair| pair.strip_prefix("arch="))
        .filter(|architecture| !architecture.is_empty())
        .map(ToOwned::to_owned)
}
