//! What reseal found when it read a pushed image back. `promote` lets nothing through without it.
//!
//! Predicate type [`super::predicate_type::VERIFICATION`]. Keys are stable, new ones may come; a reader looks at `passed`,
//! and at `subject.digest`, which must be the digest that it asked about.

use serde_json::{Map, Value, json};

use super::facts::Facts;

/// Returns the predicate.
pub fn verification(facts: &Facts) -> Value {
    let run = &facts.run;
    let platforms: Vec<Value> = facts
        .platforms
        .iter()
        .map(|platform| {
            json!({
                "platform": platform.platform,
                "digest": platform.digest.as_str(),
                "source_digest": platform.source.as_str(),
                "findings": platform.findings,
            })
        })
        .collect();
    let mut origin = Map::new();
    for (name, value) in [
        ("url", &run.url),
        ("repository", &run.repository),
        ("commit", &run.commit),
    ] {
        if let Some(value) = value {
            origin.insert(name.into(), json!(value));
        }
    }
    json!({
        "passed": facts.passed,
        "subject": facts.patched,
        "source": facts.source,
        "reports": facts.reports,
        "platforms": platforms,
        "preserved": facts.preserved,
        "counts": facts.counts,
        "tool": {"name": "reseal", "version": run.version},
        "builder": run.builder,
        "run": origin,
        "verified": run.finished,
    })
}
