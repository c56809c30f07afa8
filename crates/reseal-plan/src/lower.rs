//! Plan → LLB. One exec a platform, and the difference that it makes.

use std::collections::BTreeSet;

use reseal_llb::{Definition, Graph, ImageOptions, Out, Platform, Proxy, Src};

use crate::{dpkg, model::PlatformPlan};

/// Where the daemon finds the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A registry: `host/repository@sha256:…`.
    Registry(String),
    /// The content store of the session: an OCI layout on the client.
    Session {
        /// `local/NAME@sha256:…`
        reference: String,
        /// Session id.
        session: String,
        /// Store name.
        store: String,
    },
}

/// What the exec gets besides the plan.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// A new value runs the exec again, the same value may answer from the daemon's cache.
    pub freshness: String,
    /// Proxies; neither cache key nor image see them.
    pub proxy: Option<Proxy>,
}

/// The graph of the base image alone: what facts are read from.
pub fn base(platform: &reseal_oci::Platform, base: &Base) -> Definition {
    let mut graph = Graph::new();
    let out = source(&mut graph, &to_llb(platform), base);
    graph.describe(out, &format!("[{platform}] base image"));
    graph.definition(out)
}

/// The graph of the patch: what the upgrade changes on top of the base. `None` when the plan is empty.
pub fn patch(plan: &PlatformPlan, base: &Base, surroundings: &Surroundings) -> Option<Definition> {
    if plan.is_empty() {
        return None;
    }
    let platform = to_llb(&plan.platform);
    let mut graph = Graph::new();
    let image = source(&mut graph, &platform, base);
    graph.describe(image, &format!("[{}] base image", plan.platform));
    let scope = format!(
        "{}/{}",
        plan.distribution.replace([' ', '/'], "-"),
        plan.platform.to_string().replace('/', "-")
    );
    let root = dpkg::upgrade(
        &mut graph,
        image,
        plan,
        &platform,
        dpkg::environment(&surroundings.freshness),
        surroundings.proxy.clone(),
        &scope,
    )?;
    let Src::From(diff) = graph.diff(Src::From(image), Src::From(root)) else {
        return None;
    };
    graph.describe(diff, &format!("[{}] patch layer", plan.platform));
    Some(graph.definition(diff))
}

/// Returns the capabilities that a patch needs of the daemon, whatever the plan.
pub fn required_capabilities() -> BTreeSet<&'static str> {
    let mut graph = Graph::new();
    let platform = Platform {
        os: "linux".into(),
        architecture: "amd64".into(),
        ..Platform::default()
    };
    let image = graph.image(
        "localhost/any@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        &platform,
        ImageOptions::default(),
    );
    let plan = PlatformPlan {
        platform: reseal_oci::Platform {
            os: "linux".into(),
            architecture: "amd64".into(),
            variant: None,
            os_version: None,
            os_features: Vec::new(),
        },
        source_digest: reseal_oci::Digest::of(b""),
        distribution: String::new(),
        mode: crate::model::Mode::All,
        packages: Vec::new(),
        held: Vec::new(),
        findings: Vec::new(),
    };
    let root = dpkg::upgrade(
        &mut graph,
        image,
        &plan,
        &platform,
        dpkg::environment(""),
        None,
        "",
    );
    match root.map(|root| graph.diff(Src::From(image), Src::From(root))) {
        Some(Src::From(diff)) => graph.required_caps(diff),
        _ => BTreeSet::new(),
    }
}

fn source(graph: &mut Graph, platform: &Platform, base: &Base) -> Out {
    match base {
        Base::Registry(reference) => graph.image(reference, platform, ImageOptions::default()),
        Base::Session {
            reference,
            session,
            store,
        } => graph.oci_layout(reference, session, store, platform),
    }
}

/// Returns a platform as LLB names it.
pub fn to_llb(platform: &reseal_oci::Platform) -> Platform {
    Platform {
        os: platform.os.clone(),
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone().unwrap_or_default(),
        os_version: platform.os_version.clone().unwrap_or_default(),
        os_features: platform.os_features.clone(),
    }
}
