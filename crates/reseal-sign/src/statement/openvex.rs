//! `OpenVEX`, version 0.2.0: for every finding, whether the patched image is still affected.
//! <https://github.com/openvex/spec>

use std::collections::{BTreeMap, BTreeSet};

use reseal_oci::Digest;
use serde_json::{Map, Value, json};

use super::facts::{Facts, Finding, Platform, Verdict};
use super::purl;

const CONTEXT: &str = "https://openvex.dev/ns/v0.2.0";

/// What one statement says. Findings that are told alike are told once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    id: String,
    status: &'static str,
    justification: Option<&'static str>,
    action: Option<String>,
}

/// Returns the document. `author` is a person, a team or a URI.
pub fn openvex(facts: &Facts, author: &str) -> Value {
    let statements = statements(facts);
    let timestamp = &facts.run.finished;
    let seed = json!([facts.patched, author, timestamp, statements]).to_string();
    let id = Digest::of(seed.as_bytes());
    json!({
        "@context": CONTEXT,
        "@id": format!("https://reseal.dev/vex/{}", id.hex()),
        "author": author,
        "timestamp": timestamp,
        "version": 1,
        "tooling": format!("reseal/{}", facts.run.version),
        "statements": statements,
    })
}

fn statements(facts: &Facts) -> Vec<Value> {
    // What is told, of which products, with which packages in them.
    let mut all: BTreeMap<Told, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    let whole = purl::image(&facts.patched.name, &facts.patched.digest, None);
    for platform in &facts.platforms {
        let product = if platform.digest == facts.patched.digest {
            whole.clone()
        } else {
            purl::image(
                &facts.patched.name,
                &platform.digest,
                purl::architecture(&platform.platform),
            )
        };
        for finding in &platform.findings {
            let component = component(platform, finding);
            let products = all.entry(told(finding)).or_default();
            products
                .entry(product.clone())
                .or_default()
                .insert(component.clone());
            if holds_for_all(facts, finding) {
                products.entry(whole.clone()).or_default().insert(component);
            }
        }
    }
    all.into_iter()
        .map(|(told, products)| statement(told, products))
        .collect()
}

/// Tells whether the same may be said of the whole image. What is good must hold for every platform that there is: one that
/// was passed through, or whose report did not come along, may be affected. What is bad needs to hold where it was found.
fn holds_for_all(facts: &Facts, finding: &Finding) -> bool {
    let status = told(finding).status;
    let good = matches!(status, "fixed" | "not_affected");
    let has = |platform: &Platform| {
        let same = |other: &&Finding| other.id == finding.id && other.package == finding.package;
        let mut found = platform.findings.iter().filter(same).peekable();
        (!good || found.peek().is_some()) && found.all(|other| told(other).status == status)
    };
    (!good || facts.preserved.is_empty()) && facts.platforms.iter().all(has)
}

fn told(finding: &Finding) -> Told {
    let package = &finding.package;
    let (status, justification, action) = match finding.verdict {
        Verdict::Fixed => ("fixed", None, None),
        Verdict::Removed => ("not_affected", Some("component_not_present"), None),
        Verdict::NotFixed => {
            let action = match &finding.fixed {
                Some(fixed) => format!("upgrade {package} to {fixed}"),
                None => format!("upgrade {package}"),
            };
            ("affected", None, Some(action))
        }
        Verdict::NoFixAvailable => (
            "affected",
            None,
            Some(format!("the distribution has no fix for {package} yet")),
        ),
        Verdict::Excepted => {
            let reason = finding.reason.as_deref().unwrap_or("left out on purpose");
            ("affected", None, Some(format!("{package}: {reason}")))
        }
        Verdict::CannotTell => ("under_investigation", None, None),
    };
    Told {
        id: finding.id.clone(),
        status,
        justification,
        action,
    }
}

/// The package as it is now, where the patch brought it; versions of findings are those of source packages.
fn component(platform: &Platform, finding: &Finding) -> String {
    let version = platform
        .packages
        .iter()
        .find(|package| {
            package.name == finding.package
                && finding
                    .architecture
                    .as_ref()
                    .is_none_or(|of| *of == package.architecture)
        })
        .and_then(|package| package.to.as_deref());
    // Without the distribution: scanners name its point releases, and compare all that is there.
    purl::package(
        &platform.distribution,
        &finding.package,
        version,
        finding.architecture.as_deref(),
        false,
    )
}

fn statement(told: Told, products: BTreeMap<String, BTreeSet<String>>) -> Value {
    let products: Vec<Value> = products
        .into_iter()
        .map(|(product, components)| {
            let components: Vec<Value> = components
                .into_iter()
                .map(|component| json!({"@id": component}))
                .collect();
            json!({"@id": product, "subcomponents": components})
        })
        .collect();
    let mut statement = Map::new();
    statement.insert("vulnerability".into(), json!({"name": told.id}));
    statement.insert("products".into(), json!(products));
    statement.insert("status".into(), json!(told.status));
    if let Some(justification) = told.justification {
        statement.insert("justification".into(), json!(justification));
    }
    if let Some(action) = told.action {
        statement.insert("action_statement".into(), json!(action));
    }
    Value::Object(statement)
}
