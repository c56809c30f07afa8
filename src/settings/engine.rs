//! Which engine patches, and what the native one works with.

use std::path::PathBuf;

use reseal_pipeline::{EngineChoice, NativeSettings, Scripts};

use crate::{
    args::{Engine, EngineArgs, PackageArgs},
    environment::Env,
    failure::Failure,
};

/// Most bytes that the cache may hold.
const CACHE_LIMIT: u64 = 4 << 30;

/// Decides which engine patches.
pub(crate) fn choice(args: &EngineArgs) -> EngineChoice {
    match args.engine {
        Engine::Auto => EngineChoice::Auto,
        Engine::Native => EngineChoice::Native,
        Engine::Buildkit => EngineChoice::Buildkit,
    }
}

/// Decides what becomes of packages with unknown scripts.
pub(crate) fn scripts(args: &EngineArgs) -> Scripts {
    if args.assume_scripts_inert {
        Scripts::Assume
    } else {
        Scripts::Refuse
    }
}

/// Decides where packages come from. A lock is read later: nothing here touches the disk.
pub(crate) fn native(args: &PackageArgs, env: &Env) -> Result<NativeSettings, Failure> {
    let mirrors = args
        .package_mirror
        .iter()
        .map(|text| {
            text.split_once('=')
                .filter(|(from, to)| from.contains("://") && to.contains("://"))
                .map(|(from, to)| (from.to_owned(), to.to_owned()))
                .ok_or_else(|| {
                    Failure::usage(format!("`--package-mirror` is `{text}`, not FROM=TO")).hint(
                        "Write two addresses, as in `http://deb.example/=https://mirror.example/`",
                    )
                })
        })
        .collect::<Result<_, _>>()?;
    Ok(NativeSettings {
        cache: cache_dir(args.cache_dir.clone(), env),
        cache_limit: CACHE_LIMIT,
        packages: args.packages.clone(),
        mirrors,
        ca: args.package_ca.clone(),
        auth: args.package_auth.clone(),
        lock: None,
        now: env.now,
        scripts: Scripts::default(),
    })
}

/// Decides where the cache is: as the XDG base directory specification has it, else below the folder for temporary files.
pub(crate) fn cache_dir(named: Option<PathBuf>, env: &Env) -> PathBuf {
    named.unwrap_or_else(|| {
        env.get("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| env.home().map(|home| home.join(".cache")))
            .unwrap_or_else(|| env.temp_dir())
            .join("reseal")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::env;

    #[test]
    fn the_cache_is_where_the_users_caches_are() {
        for (variables, wanted) in [
            (&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")][..], "/x/reseal"),
            (
                &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")],
                "/h/.cache/reseal",
            ),
            (&[("HOME", "/h")], "/h/.cache/reseal"),
            (&[("TMPDIR", "/t")], "/t/reseal"),
        ] {
            assert_eq!(cache_dir(None, &env(variables)), PathBuf::from(wanted));
        }
        assert_eq!(cache_dir(Some("/c".into()), &env(&[])), PathBuf::from("/c"));
    }

    #[test]
    fn a_mirror_is_two_addresses() {
        let args = |text: &str| PackageArgs {
            package_mirror: vec![text.to_owned()],
            ..PackageArgs::default()
        };
        let settings = native(&args("http://a/=https://b/x"), &env(&[])).unwrap();
        assert_eq!(
            settings.mirrors,
            [("http://a/".to_owned(), "https://b/x".to_owned())]
        );
        for wrong in ["http://a/", "a=b", "http://a/=b"] {
            assert!(native(&args(wrong), &env(&[])).is_err(), "{wrong}");
        }
    }
}
