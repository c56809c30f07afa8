//! Stages 3 to 5 on builders: what a daemon makes of platforms, each builder all of its own in one solve on one session.

mod build;
mod classify;
mod configure;
mod look;
mod upgrade;

use std::{path::PathBuf, sync::Arc};

use reseal_pkg::dpkg::Database;
use reseal_plan::PlatformPlan;

use crate::{native::Ingredients, reports::Basis, source::SourcePlatform};

pub(crate) use build::Building;
pub(crate) use configure::configure;
pub(crate) use look::look;
pub(crate) use upgrade::upgrade;

/// A platform that failed and may: its position among the source's platforms, and the reason.
pub(crate) type Failed = (usize, String);

/// What the builder made of one platform.
pub(crate) struct Solved {
    /// Position among the source's platforms.
    pub place: usize,
    /// Its plan.
    pub plan: PlatformPlan,
    /// The package database before.
    pub before: Arc<Database>,
    /// Links such as `lib` → `usr/lib`.
    pub aliases: Vec<(String, String)>,
    /// The raw layer; `None` when nothing was to do.
    pub raw: Option<PathBuf>,
    /// What it was laid down from, where nothing ran.
    pub native: Option<Box<Ingredients>>,
}

/// One platform that a builder is given.
#[derive(Clone)]
pub(crate) struct Job {
    /// Position among the source's platforms.
    pub place: usize,
    /// The platform.
    pub platform: SourcePlatform,
    /// What it is patched by.
    pub basis: Basis,
}

fn proxy(proxy: &crate::settings::Proxy) -> reseal_plan::Proxy {
    reseal_plan::Proxy {
        http: proxy.http.clone(),
        https: proxy.https.clone(),
        ftp: String::new(),
        no: proxy.no_proxy.clone(),
        all: proxy.all.clone(),
    }
}
