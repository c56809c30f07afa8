//! `cargo xtask demo`: a real outdated image before and after.

use crate::shell::{Servers, TakeDown, cargo, command, root, run, say};

/// Sets everything up, shows what the report finds, patches the image and verifies the digest that was pushed.
pub(crate) fn run_all(args: &[String]) -> Result<(), String> {
    let keep = match args {
        [] => false,
        [flag] if flag == "--keep" => true,
        _ => return Err("usage: cargo xtask demo [--keep]".to_owned()),
    };
    run(&mut cargo(["build", "--locked", "--package", "reseal"]))?;
    let _down = TakeDown::unless(keep);
    let servers = Servers::up("demo")?;
    let image = servers.get("IMAGE_BULLSEYE")?;
    let report = servers.get("REPORT_BULLSEYE_AMD64")?;
    let builder = servers.get("BUILDKIT_NEW")?;
    let reseal = root().join("target/debug/reseal");
    let reseal = reseal.to_string_lossy();
    // The archive of this release has no fix for liblzma5 that its advisory asks for: the demo leaves it out by name.
    let packages = "gpgv,libgnutls30,libgssapi-krb5-2,libk5crypto3,libkrb5-3,libkrb5support0,libpam0g,libpam-modules,\
                    libpam-modules-bin,libpam-runtime,libssl1.1,libsystemd0,libudev1";
    say("\nBefore: what the report finds and what a patch would change");
    run(&mut command(
        &reseal,
        ["plan", image, "-r", report, "--package", packages],
    ))?;
    say("\nThe patch");
    run(command(
        &reseal,
        [
            "patch",
            image,
            "-r",
            report,
            "--package",
            packages,
            "-t",
            "{{tag}}-patched",
        ],
    )
    .env("BUILDKIT_HOST", builder))?;
    say("\nAfter: the package database in the pushed layers");
    run(&mut command(
        &reseal,
        [
            "verify",
            &format!("{image}-patched"),
            "-r",
            report,
            "--package",
            packages,
        ],
    ))
}
