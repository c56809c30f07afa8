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
    patch_graph(plan, base, surroundings).map(|(graph, diff)| graph.definition(diff))
}

fn patch_graph(
    plan: &PlatformPlan,
    base: &Base,
    surroundings: &Surroundings,
) -> Option<(Graph, Out)> {
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
        dpkg::environment(Some(&surroundings.freshness)),
        surroundings.proxy.clone(),
        &scope,
    )?;
    let Src::From(diff) = graph.diff(Src::From(image), Src::From(root)) else {
        return None;
    };
    graph.describe(diff, &format!("[{}] patch layer", plan.platform));
    Some((graph, diff))
}

/// The graph that configures packages: `laid`, an image of one layer with unpacked packages, is laid over the base, and what
/// the image's own dpkg changes on top of both comes back.
pub fn configure(
    platform: &reseal_oci::Platform,
    base: &Base,
    laid: &Base,
    proxy: Option<Proxy>,
) -> Option<Definition> {
    configure_graph(platform, base, laid, proxy).map(|(graph, diff)| graph.definition(diff))
}

fn configure_graph(
    platform: &reseal_oci::Platform,
    base: &Base,
    laid: &Base,
    proxy: Option<Proxy>,
) -> Option<(Graph, Out)> {
    let name = platform.to_string();
    let llb = to_llb(platform);
    let mut graph = Graph::new();
    let image = source(&mut graph, &llb, base);
    graph.describe(image, &format!("[{name}] base image"));
    let laid = source(&mut graph, &llb, laid);
    graph.describe(laid, &format!("[{name}] unpacked packages"));
    let Src::From(merged) = graph.merge(&[Src::From(image), Src::From(laid)]) else {
        return None;
    };
    graph.describe(merged, &format!("[{name}] lay packages over the image"));
    let after = dpkg::configure(&mut graph, merged, &llb, &name, proxy)?;
    let Src::From(diff) = graph.diff(Src::From(merged), Src::From(after)) else {
        return None;
    };
    graph.describe(diff, &format!("[{name}] what configuring changed"));
    Some((graph, diff))
}

/// Returns the capabilities that a patch needs of the daemon, whatever the plan.
pub fn required_capabilities() -> BTreeSet<&'static str> {
    let plan = PlatformPlan {
        platform: any_platform(),
        source_digest: reseal_oci::Digest::of(b""),
        distribution: String::new(),
        mode: crate::model::Mode::All,
        packages: Vec::new(),
        held: Vec::new(),
        findings: Vec::new(),
    };
    patch_graph(&plan, &any_image(), &Surroundings::default())
        .map(|(graph, diff)| graph.required_caps(diff))
        .unwrap_or_default()
}

/// Returns the capabilities that configuring packages which were laid down needs of the daemon.
pub fn configure_capabilities() -> BTreeSet<&'static str> {
    let laid = Base::Session {
        reference: format!("local/any@{}", reseal_oci::Digest::of(b"")),
        session: "any".to_owned(),
        store: "any".to_owned(),
    };
    configure_graph(&any_platform(), &any_image(), &laid, None)
        .map(|(graph, diff)| graph.required_caps(diff))
        .unwrap_or_default()
}

fn any_platform() -> reseal_oci::Platform {
    reseal_oci::Platform {
        os: "linux".into(),
        architecture: "amd64".into(),
        variant: None,
        os_version: None,
        os_features: Vec::new(),
    }
}

fn any_image() -> Base {
    Base::Registry(format!("localhost/any@{}", reseal_oci::Digest::of(b"")))
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
