//! The daemon: found, recent, able, and for which platforms.

use reseal_pipeline::{Builder, Builders as _, Class, Event, Events, PipelineError};
use reseal_plan::required_capabilities;

use super::{CONNECT, Check, PATIENCE, Status};
use crate::{daemons::Daemons, exit::Reason, failure::Failure, settings::BuilderSettings};

pub(super) async fn check(settings: BuilderSettings) -> Vec<Check> {
    let (events, mut stream) = Events::channel();
    let daemons = Daemons::new(settings, CONNECT, events);
    let checks = tokio::time::timeout(PATIENCE, connected(&daemons))
        .await
        .unwrap_or_else(|_| {
            let failure = Failure::new(
                Reason::Class(Class::Unreachable),
                "no answer within 4 seconds",
            );
            vec![Check::failed(
                "builder",
                failure.hint("Name the daemon with `--addr` or BUILDKIT_HOST"),
            )]
        });
    // A private daemon is asked to end; waiting for it would cost the time that `doctor` promises to keep.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(500), daemons.close()).await;
    let mut notes = Vec::new();
    // A search that found nothing lists what it tried by itself.
    if checks
        .iter()
        .all(|check| !matches!(check.status, Status::Failed(_)))
    {
        while let Ok(event) = stream.try_recv() {
            if let Event::Note(note) = event {
                notes.push(Check::passed("search", note));
            }
        }
    }
    notes.extend(checks);
    notes
}

async fn connected(daemons: &Daemons) -> Vec<Check> {
    let builders = match daemons.connect().await {
        Ok(builders) => builders,
        Err(error) => {
            let later = ["version", "capabilities", "platforms"]
                .map(|name| Check::skipped(name, "no daemon to ask"));
            return [vec![Check::failed("builder", error)], later.to_vec()].concat();
        }
    };
    let mut checks = Vec::new();
    for builder in &builders {
        checks.push(Check::passed(
            "builder",
            format!("{} ({})", builder.address, builder.why),
        ));
        checks.extend(asked(builder).await);
    }
    checks
}

async fn asked(builder: &Builder) -> [Check; 3] {
    let (version, capabilities, workers) = tokio::join!(
        builder.client.info(),
        builder.client.capabilities(),
        builder.client.workers()
    );
    let version = match version {
        Ok(Some(version)) => Check::passed("version", version),
        Ok(None) => Check::warned(
            "version",
            "not told, so older than 0.11",
            "Use BuildKit 0.12 or newer",
        ),
        Err(error) => Check::failed("version", PipelineError::Build(error)),
    };
    let capabilities = match capabilities {
        Ok(capabilities) => {
            let required = required_capabilities();
            let missing = capabilities.missing(&required);
            match missing.first() {
                None => Check::passed(
                    "capabilities",
                    format!("all {} that patches need", required.len()),
                ),
                Some(first) => {
                    let list: Vec<String> = missing
                        .iter()
                        .map(|error| format!("{} ({})", error.id, error.reason))
                        .collect();
                    let failure = Failure::new(
                        Reason::Class(Class::Capability),
                        format!("missing: {}", list.join(", ")),
                    );
                    Check::failed(
                        "capabilities",
                        match &first.hint {
                            Some(hint) => failure.hint(hint.clone()),
                            None => failure,
                        },
                    )
                }
            }
        }
        Err(error) => Check::failed("capabilities", PipelineError::Build(error)),
    };
    let platforms = match workers {
        Ok(workers) => platforms(workers.iter().map(|worker| worker.platforms.as_slice())),
        Err(error) => Check::failed("platforms", PipelineError::Build(error)),
    };
    [version, capabilities, platforms]
}

/// A worker lists its own platform first; the others run there too, or under an emulator, which it does not tell apart.
fn platforms<'a>(workers: impl Iterator<Item = &'a [String]>) -> Check {
    let (mut native, mut others): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for worker in workers {
        let Some((first, rest)) = worker.split_first() else {
            continue;
        };
        let processor = |platform: &str| platform.split('/').nth(1).unwrap_or_default().to_owned();
        native.push(first.clone());
        for platform in rest {
            // `linux/amd64/v3` is the same machine as `linux/amd64`, and a 64-bit x86 runs 32-bit code itself.
            let same = processor(platform) == processor(first)
                || (processor(first), processor(platform)) == ("amd64".into(), "386".into());
            if !same {
                others.push(platform.clone());
            }
        }
    }
    native.dedup();
    if native.is_empty() {
        let failure = Failure::new(Reason::Class(Class::Capability), "the daemon has no worker");
        return Check::failed("platforms", failure.hint("Look at the daemon's own log"));
    }
    let emulated = if others.is_empty() {
        String::new()
    } else {
        format!("; emulated {}", others.join(" "))
    };
    Check::passed(
        "platforms",
        format!("native {}{emulated}", native.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_platforms_are_told_from_emulated_ones() {
        let strings = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let one = strings(&[
            "linux/amd64",
            "linux/amd64/v2",
            "linux/386",
            "linux/arm64",
            "linux/riscv64",
        ]);
        let check = platforms([one.as_slice()].into_iter());
        assert_eq!(
            check.detail,
            "native linux/amd64; emulated linux/arm64 linux/riscv64"
        );
        assert_eq!(
            platforms([strings(&["linux/arm64"]).as_slice()].into_iter()).detail,
            "native linux/arm64"
        );
        assert!(matches!(
            platforms(std::iter::empty()).status,
            Status::Failed(_)
        ));
    }
}
