//! What provenance says about the run: builder, page, repository and commit, as the CI system tells them.

use reseal_sign::statement::facts::{LOCAL_BUILDER, Run};

use crate::environment::Env;

/// Decides what provenance says about this run. Its end is filled in later.
pub(crate) fn origin(env: &Env) -> Run {
    let now = jiff::Timestamp::from_second(env.now)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string();
    let told = github(env)
        .or_else(|| gitlab(env))
        .or_else(|| buildkite(env))
        .or_else(|| circle(env))
        .or_else(|| azure(env))
        .or_else(|| jenkins(env))
        .unwrap_or_default();
    Run {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        builder: told.builder.unwrap_or_else(|| LOCAL_BUILDER.to_owned()),
        url: told.url,
        repository: told.repository,
        commit: told.commit,
        started: now.clone(),
        finished: now,
    }
}

#[derive(Default)]
struct Told {
    builder: Option<String>,
    url: Option<String>,
    repository: Option<String>,
    commit: Option<String>,
}

/// Returns an address without login, query and fragment: they may hold secrets, and this gets published.
fn address(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if !matches!(scheme, "https" | "http" | "ssh" | "git") {
        return None;
    }
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or_default();
    (!host.is_empty()).then(|| {
        format!("{scheme}://{host}/{path}")
            .trim_end_matches('/')
            .to_owned()
    })
}

/// Reads the variables of a system: the page, the repository and the commit.
fn read(env: &Env, builder: Option<String>, names: [&str; 3]) -> Told {
    Told {
        builder,
        url: env.get(names[0]).and_then(address),
        repository: env.get(names[1]).and_then(address),
        commit: env.get(names[2]).map(str::to_owned),
    }
}

fn github(env: &Env) -> Option<Told> {
    let repository = format!(
        "{}/{}",
        address(env.get("GITHUB_SERVER_URL")?)?,
        env.get("GITHUB_REPOSITORY")?
    );
    let url = env.get("GITHUB_RUN_ID").map(|run| {
        let attempt = env.get("GITHUB_RUN_ATTEMPT").unwrap_or("1");
        format!("{repository}/actions/runs/{run}/attempts/{attempt}")
    });
    let runner = env.get("RUNNER_ENVIRONMENT").unwrap_or("self-hosted");
    Some(Told {
        builder: Some(format!("https://github.com/actions/runner/{runner}")),
        url,
        repository: Some(repository),
        commit: env.get("GITHUB_SHA").map(str::to_owned),
    })
}

fn gitlab(env: &Env) -> Option<Told> {
    let project = address(env.get("CI_PROJECT_URL")?)?;
    let runner = env
        .get("CI_RUNNER_ID")
        .map(|id| format!("{project}/-/runners/{id}"));
    Some(read(
        env,
        runner,
        ["CI_JOB_URL", "CI_PROJECT_URL", "CI_COMMIT_SHA"],
    ))
}

fn buildkite(env: &Env) -> Option<Told> {
    env.get("BUILDKITE_BUILD_URL")?;
    let names = ["BUILDKITE_BUILD_URL", "BUILDKITE_REPO", "BUILDKITE_COMMIT"];
    Some(read(env, Some("https://buildkite.com".to_owned()), names))
}

fn circle(env: &Env) -> Option<Told> {
    env.get("CIRCLE_BUILD_URL")?;
    let names = ["CIRCLE_BUILD_URL", "CIRCLE_REPOSITORY_URL", "CIRCLE_SHA1"];
    Some(read(env, Some("https://circleci.com".to_owned()), names))
}

fn azure(env: &Env) -> Option<Told> {
    let server = address(env.get("SYSTEM_COLLECTIONURI")?)?;
    let run = env
        .get("SYSTEM_TEAMPROJECT")
        .zip(env.get("BUILD_BUILDID"))
        .map(|(project, id)| format!("{server}/{project}/_build/results/{id}"));
    Some(Told {
        url: run,
        ..read(
            env,
            Some(server),
            ["", "BUILD_REPOSITORY_URI", "BUILD_SOURCEVERSION"],
        )
    })
}

fn jenkins(env: &Env) -> Option<Told> {
    let server = address(env.get("JENKINS_URL")?)?;
    Some(read(
        env,
        Some(server),
        ["BUILD_URL", "GIT_URL", "GIT_COMMIT"],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::env;

    #[test]
    fn every_system_names_its_run() {
        for (variables, wanted) in [
            (
                &[
                    ("GITHUB_SERVER_URL", "https://github.com"),
                    ("GITHUB_REPOSITORY", "acme/app"),
                    ("GITHUB_RUN_ID", "7"),
                    ("GITHUB_SHA", "abc"),
                    ("RUNNER_ENVIRONMENT", "github-hosted"),
                ][..],
                [
                    "https://github.com/actions/runner/github-hosted",
                    "https://github.com/acme/app/actions/runs/7/attempts/1",
                    "https://github.com/acme/app",
                    "abc",
                ],
            ),
            (
                &[
                    ("CI_PROJECT_URL", "https://gitlab.example/acme/app"),
                    ("CI_JOB_URL", "https://gitlab.example/acme/app/-/jobs/9"),
                    ("CI_RUNNER_ID", "3"),
                    ("CI_COMMIT_SHA", "abc"),
                ],
                [
                    "https://gitlab.example/acme/app/-/runners/3",
                    "https://gitlab.example/acme/app/-/jobs/9",
                    "https://gitlab.example/acme/app",
                    "abc",
                ],
            ),
            (
                &[
                    ("JENKINS_URL", "https://ci.example/"),
                    ("BUILD_URL", "https://ci.example/job/a/7/"),
                    ("GIT_URL", "https://bot:hunter2@git.example/a.git?token=x"),
                    ("GIT_COMMIT", "abc"),
                ],
                [
                    "https://ci.example",
                    "https://ci.example/job/a/7",
                    "https://git.example/a.git",
                    "abc",
                ],
            ),
        ] {
            let run = origin(&env(variables));
            let found = [
                run.builder,
                run.url.unwrap(),
                run.repository.unwrap(),
                run.commit.unwrap(),
            ];
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn a_run_elsewhere_says_no_more_than_when() {
        let run = origin(&env(&[]));
        assert_eq!(run.builder, LOCAL_BUILDER);
        assert_eq!((run.url, run.repository, run.commit), (None, None, None));
        assert_eq!(run.started, "2023-11-14T22:13:20Z");
    }

    #[test]
    fn logins_and_queries_never_get_published() {
        for (text, wanted) in [
            (
                "https://user:pass@h.example/a?t=s#f",
                Some("https://h.example/a"),
            ),
            ("ssh://git@h.example/a", Some("ssh://h.example/a")),
            ("git@h.example:a/b", None),
            ("file:///home/me/a", None),
            ("https://user:pass@", None),
        ] {
            assert_eq!(address(text).as_deref(), wanted, "{text}");
        }
    }
}
