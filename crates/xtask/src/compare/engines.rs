//! One image, patched by both engines and unpacked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use crate::shell::{command, output, root, say};

/// Runs reseal.
pub(super) struct Engines<'a> {
    /// The program.
    pub reseal: &'a str,
    /// The builder's address.
    pub builder: &'a str,
    /// The native engine's cache.
    pub cache: &'a Path,
}

/// What one engine made.
pub(super) struct Patched {
    /// The image by digest.
    pub image: String,
    /// What reseal says about it.
    pub result: Value,
    /// Why the native engine refuses the image when it does not take unknown scripts for inert.
    pub refused: Option<String>,
}

impl Patched {
    /// Returns the names and new versions of the packages that were changed.
    pub(super) fn packages(&self) -> Vec<(&Value, &Value)> {
        let packages = self.result["platforms"][0]["packages"].as_array();
        let pairs = packages.into_iter().flatten();
        pairs.map(|one| (&one["name"], &one["to"])).collect()
    }
}

impl Engines<'_> {
    /// Lets the image's package manager do it.
    pub(super) fn package_manager(&self, what: &[&str]) -> Result<Patched, String> {
        let flags = ["--engine", "buildkit", "--addr", self.builder];
        self.patch(&[what, &flags].concat())?
            .map_err(|value| value.to_string())
    }

    /// Lets the native engine do it; where it refuses the image for a script, that script is taken for inert.
    pub(super) fn native(&self, what: &[&str]) -> Result<Patched, String> {
        let cache = self.cache.display().to_string();
        let flags = ["--engine", "native", "--cache-dir", &cache];
        let refusal = match self.patch(&[what, &flags].concat())? {
            Ok(patched) => return Ok(patched),
            Err(refusal) => refusal,
        };
        let reason = refusal["message"].as_str().unwrap_or_default();
        let mut patched = self
            .patch(&[what, &flags, &["--assume-scripts-inert"]].concat())?
            .map_err(|value| value.to_string())?;
        patched.refused = Some(reason.to_owned());
        Ok(patched)
    }

    /// Patches an image without moving a tag. The inner error is what reseal says about its failure.
    fn patch(&self, args: &[&str]) -> Result<Result<Patched, Value>, String> {
        let mut run = command(self.reseal, ["patch", "--format", "json", "--quiet"]);
        let output = run
            .args(["--severity", "all", "--gate", "none"])
            .args(args)
            .env("DOCKER_CONFIG", "/nonexistent")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("could not run {}: {error}", self.reseal))?;
        let value: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("reseal did not write JSON: {error}"))?;
        if !output.status.success() {
            return Ok(Err(value));
        }
        if value["outcome"] != "patched" {
            return Err(format!("nothing was patched: {}", value["outcome"]));
        }
        let patched = &value["patched"];
        let (Some(name), Some(digest)) =
            (patched["reference"].as_str(), patched["digest"].as_str())
        else {
            return Err("the result does not name the patched image".to_owned());
        };
        let repository = name.split('@').next().unwrap_or(name);
        Ok(Ok(Patched {
            image: format!("{repository}@{digest}"),
            result: value,
            refused: None,
        }))
    }
}

/// Lays an image out as a file system, by a program that shares no code with reseal.
pub(super) fn unpack(image: &str, architecture: &str, folder: &Path) -> Result<PathBuf, String> {
    let program = root().join("integration/images/unpack.py");
    let url = format!("http://{image}");
    output(
        command("python3", [program.as_os_str()])
            .args([url.as_str(), architecture])
            .arg(folder),
    )?;
    Ok(folder.join("root"))
}

/// Removes what a comparison unpacked.
pub(super) fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        say(&format!("could not remove {}: {error}", folder.display()));
    }
}
