//! Which findings count.

use std::collections::BTreeSet;

use reseal_report::{Finding, Severity};

/// What the user wants patched, and what makes the run fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Severities that are patched.
    pub severities: BTreeSet<Severity>,
    /// A finding at or above this severity that stays unfixed shuts the gate; `None` leaves it open.
    pub gate: Option<Severity>,
    /// Findings without a fix do not count, not even at the gate.
    pub ignore_unfixed: bool,
    /// Only these vulnerability ids, compared without case; all when empty.
    pub ids: BTreeSet<String>,
    /// Only these binary or source packages; all when empty.
    pub packages: BTreeSet<String>,
}

impl Default for Policy {
    /// CRITICAL and HIGH are patched, CRITICAL is gated.
    fn default() -> Self {
        Self {
            severities: BTreeSet::from([Severity::High, Severity::Critical]),
            gate: Some(Severity::Critical),
            ignore_unfixed: false,
            ids: BTreeSet::new(),
            packages: BTreeSet::new(),
        }
    }
}

/// Why a finding is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Its severity is not asked for.
    Severity,
    /// Its id or package is not asked for.
    Filter,
    /// It has no fix, and such findings are ignored.
    Unfixed,
}

impl Policy {
    /// Returns why `finding` does not count, or `None` when it does. `source` is its source package, where known.
    pub fn leaves_out(&self, finding: &Finding, source: Option<&str>) -> Option<LeftOut> {
        if !self.ids.is_empty() && !self.ids.iter().any(|id| is_named(finding, id)) {
            return Some(LeftOut::Filter);
        }
        if !self.packages.is_empty()
            && !self.packages.contains(&finding.package)
            && !source.is_some_and(|name| self.packages.contains(name))
        {
            return Some(LeftOut::Filter);
        }
        // Before the severity: what only the gate asks for is left out too.
        if finding.fixed.is_empty() && self.ignore_unfixed {
            return Some(LeftOut::Unfixed);
        }
        (!self.severities.contains(&finding.severity)).then_some(LeftOut::Severity)
    }

    /// Whether a finding alone tells if its package is asked for: it names its source package, or no package is asked for by name.
    pub fn can_judge(&self, finding: &Finding) -> bool {
        self.packages.is_empty() || finding.source.is_some()
    }

    /// Returns the ids that are asked for and that none of the findings has: most often a slip.
    pub fn unknown_ids<'a>(&'a self, findings: &[&Finding]) -> impl Iterator<Item = &'a str> {
        self.ids
            .iter()
            .filter(|id| !findings.iter().any(|finding| is_named(finding, id)))
            .map(String::as_str)
    }

    /// Returns whether an unfixed finding of this severity shuts the gate.
    pub fn gates(&self, severity: Severity) -> bool {
        self.gate.is_some_and(|gate| severity >= gate)
    }
}

/// Whether a finding has this id, by the vulnerability's name or by a vendor's.
fn is_named(finding: &Finding, id: &str) -> bool {
    finding.id.eq_ignore_ascii_case(id)
        || finding
            .vendor_ids
            .iter()
            .any(|own| own.eq_ignore_ascii_case(id))
}
