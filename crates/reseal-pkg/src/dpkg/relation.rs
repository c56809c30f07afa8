//! Relations between packages (Debian Policy 7.1): `Depends`, `Breaks`, `Provides` and their like.

use std::{cmp::Ordering, fmt};

use crate::{PkgError, version::compare_dpkg};

/// How a version has to compare with the one that a relation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`, and the obsolete `<`
    EarlierEqual,
    /// `=`
    Equal,
    /// `>=`, and the obsolete `>`
    LaterEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// Tells whether `version` is on the right side of `limit`, in dpkg's order.
    pub fn holds(self, version: &str, limit: &str) -> bool {
        let order = compare_dpkg(version, limit);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierEqual => "<=",
            Self::Equal => "=",
            Self::LaterEqual => ">=",
            Self::Later => ">>",
        }
    }
}

/// One package that a relation names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Relation {
    /// The package's name, or that of a virtual one.
    pub name: String,
    /// What follows a colon after the name: `any`, or an architecture.
    pub qualifier: Option<String>,
    /// The versions that it means; all without.
    pub version: Option<(Operator, String)>,
}

impl Relation {
    /// Tells whether a version is one that the relation means; the name is not looked at.
    pub fn admits(&self, version: &str) -> bool {
        self.version
            .as_ref()
            .is_none_or(|(operator, limit)| operator.holds(version, limit))
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = &self.version {
            write!(f, " ({} {version})", operator.sign())?;
        }
        Ok(())
    }
}

/// What one field says: all of the outer list, of each inner one any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Relations(pub Vec<Vec<Relation>>);

impl Relations {
    /// Reads a field's value, continued lines included.
    ///
    /// What is restricted to other architectures than `architecture` (`[arm64]`, `[!amd64]`,
    /// `[linux-any]`) is left out, and so is what is only for a build profile (`<!nocheck>` stays, no
    /// profile is on). Empty places between commas are passed over, as apt and dpkg do.
    pub fn parse(text: &str, architecture: &str) -> Result<Self, PkgError> {
        let mut all = Vec::new();
        for group in text.split(',') {
            if group.trim_ascii().is_empty() {
                continue;
            }
            let mut any = Vec::new();
            for one in group.split('|') {
                any.extend(relation(one.trim_ascii(), architecture)?);
            }
            if !any.is_empty() {
                all.push(any);
            }
        }
        Ok(Self(all))
    }

    /// Tells whether the field says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns every relation, whatever group it is in.
    pub fn each(&self) -> impl Iterator<Item = &Relation> {
        self.0.iter().flatten()
    }
}

impl fmt::Display for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, group) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            for (j, one) in group.iter().enumerate() {
                if j > 0 {
                    f.write_str(" | ")?;
                }
                write!(f, "{one}")?;
            }
        }
        Ok(())
    }
}

/// Reads one alternative; `None` if it is not for this architecture or profile.
fn relation(text: &str, architecture: &str) -> Result<Option<Relation>, PkgError> {
    let fail = |why| {
        Err(PkgError::InvalidRelation {
            relation: text.to_owned(),
            why,
        })
    };
    let end = text
        .find(|c: char| c.is_ascii_whitespace() || "([<".contains(c))
        .unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let (name, qualifier) = match name.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (name, None),
    };
    if !is_name(name) {
        return fail("its name is no package name");
    }
    if qualifier.is_some_and(|word| !is_word(word)) {
        return fail("what follows the colon is no architecture");
    }
    let (mut version, mut meant) = (None, true);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(inner) = rest.strip_prefix('(') {
            let Some((inside, after)) = inner.split_once(')') else {
                return fail("a bracket is not closed");
            };
            if version.is_some() {
                return fail("it has two versions");
            }
            let Some(found) = limit(inside) else {
                return fail("its version is not `OPERATOR VERSION`");
            };
            (version, rest) = (Some(found), after);
        } else if let Some(inner) = rest.strip_prefix('[') {
            let Some((inside, after)) = inner.split_once(']') else {
                return fail("a bracket is not closed");
            };
            meant &= for_architecture(inside, architecture);
            rest = after;
        } else if rest.starts_with('<') {
            // One list after the other: each holds if all of its words do, one has to hold.
            let mut holds = false;
            while let Some(inner) = rest.trim_ascii_start().strip_prefix('<') {
                let Some((inside, after)) = inner.split_once('>') else {
                    return fail("a bracket is not closed");
                };
                holds |= inside
                    .split_ascii_whitespace()
                    .all(|word| word.starts_with('!'));
                rest = after;
            }
            meant &= holds;
        } else if rest.is_empty() {
            break;
        } else {
            return fail("something follows that is no version or restriction");
        }
    }
    Ok(meant.then(|| Relation {
        name: name.to_owned(),
        qualifier: qualifier.map(str::to_owned),
        version,
    }))
}

/// Reads what stands between the brackets of a version.
fn limit(text: &str) -> Option<(Operator, String)> {
    let text = text.trim_ascii();
    let end = text
        .find(|c: char| !"<=>".contains(c))
        .unwrap_or(text.len());
    let operator = match &text[..end] {
        "<<" => Operator::Earlier,
        "<=" | "<" => Operator::EarlierEqual,
        // apt reads a missing operator as equality.
        "=" | "" => Operator::Equal,
        ">=" | ">" => Operator::LaterEqual,
        ">>" => Operator::Later,
        _ => return None,
    };
    let version = text[end..].trim_ascii();
    let plain = |c: u8| c.is_ascii_graphic() && !b"()<>=|,[]".contains(&c);
    (!version.is_empty() && version.bytes().all(plain)).then(|| (operator, version.to_owned()))
}

/// Tells whether a restriction list means an architecture: one that is named, or none that is
/// excluded.
fn for_architecture(list: &str, architecture: &str) -> bool {
    let (mut named, mut excluded, mut only_exclusions) = (false, false, true);
    for word in list.split_ascii_whitespace() {
        if let Some(word) = word.strip_prefix('!') {
            excluded |= matches_architecture(word, architecture);
        } else {
            only_exclusions = false;
            named |= matches_architecture(word, architecture);
        }
    }
    !excluded && (named || only_exclusions)
}

/// Matches an architecture against a name or wildcard (`any`, `linux-any`, `any-amd64`).
///
/// Images hold Linux ports only, whose names are the bare processor's.
fn matches_architecture(pattern: &str, architecture: &str) -> bool {
    match pattern.split_once('-') {
        None => pattern == "any" || pattern == architecture,
        Some((system, processor)) => {
            pattern == architecture
                || (matches!(system, "any" | "linux")
                    && (processor == "any" || processor == architecture))
        }
    }
}

/// Tells whether a text can name a package here. Wider than Policy's grammar (apt takes upper-case
/// letters, underscores and single letters too), still without anything that a relation is split by.
fn is_name(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"+.-_~".contains(&c);
    text.as_bytes()
        .first()
        .is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(plain)
}

fn is_word(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Relations::parse(text, "amd64").map_or_else(|e| format!("error: {e}"), |r| r.to_string())
    }

    #[test]
    fn relations_come_back_in_one_spelling() {
        for (text, expected) in [
            ("libc6 (>= 2.36), zlib1g", "libc6 (>= 2.36), zlib1g"),
            ("libc6(>=2.36),zlib1g", "libc6 (>= 2.36), zlib1g"),
            (
                "debconf (>= 0.5) | debconf-2.0",
                "debconf (>= 0.5) | debconf-2.0",
            ),
            ("python3:any (<< 3.12)", "python3:any (<< 3.12)"),
            ("\n a,\n b (= 1:2-3),\n", "a, b (= 1:2-3)"),
            ("a (< 1), b (> 2)", "a (<= 1), b (>= 2)"),
            ("a (1)", "a (= 1)"),
            ("a [amd64], b [arm64]", "a"),
            ("a [!arm64 !i386], b [!amd64]", "a"),
            ("a [linux-any] | b [any-arm64]", "a"),
            ("a <!nocheck>, b <stage1>, c <stage1> <!x>", "a, c"),
            ("a (>= 1) [amd64] <!x>", "a (>= 1)"),
            ("", ""),
            (" , ", ""),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_relation_is_named() {
        for (text, why) in [
            ("a | ", "its name is no package name"),
            ("a (>= 1", "a bracket is not closed"),
            ("a (>= 1) (<< 2)", "it has two versions"),
            ("a (=> 1)", "its version is not `OPERATOR VERSION`"),
            ("a (>= )", "its version is not `OPERATOR VERSION`"),
            ("a b", "something follows that is no version or restriction"),
            ("a:", "what follows the colon is no architecture"),
            ("(>= 1)", "its name is no package name"),
            ("../x", "its name is no package name"),
            ("${shlibs:Depends}", "its name is no package name"),
        ] {
            let found = shown(text);
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    #[test]
    fn operators_hold_in_the_order_of_dpkg() {
        for (version, relation, holds) in [
            ("1.0~rc1", "x (<< 1.0)", true),
            ("1.0", "x (<< 1.0)", false),
            ("1.0-0", "x (= 1.0)", true),
            ("1:0.5", "x (>> 9)", true),
            ("2", "x (>= 2)", true),
            ("2", "x (<= 1.9)", false),
            ("2", "x", true),
        ] {
            let parsed = Relations::parse(relation, "amd64").unwrap();
            assert_eq!(
                parsed.0[0][0].admits(version),
                holds,
                "{version} {relation}"
            );
        }
    }
}
