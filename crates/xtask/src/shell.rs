//! Running other programs: what a chore mostly does.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// Returns the root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies two folders below the root")
        .to_owned()
}

/// Writes a line about what is going on to standard error.
pub(crate) fn say(line: &str) {
    #[expect(
        clippy::print_stderr,
        reason = "a developer's tool talks to its terminal"
    )]
    {
        eprintln!("{line}");
    }
}

/// Returns `program` with `args`, to be run in the root of the checkout.
pub(crate) fn command<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Returns a `cargo` command of the toolchain that runs this program.
///
/// What cargo says about this program is not passed on: to `ring` it would be a reason to be built again, with all above
/// it, each time that cargo is called from here and by hand in turn.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = command(&cargo, args);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command with this program's own standard streams; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let shown = show(command);
    say(&format!("$ {shown}"));
    let status = command
        .status()
        .map_err(|error| format!("could not run `{shown}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{shown}` failed: {status}"))
    }
}

/// Runs a command and returns what it wrote to standard output; anything but success is an error.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("could not run `{shown}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{shown}` failed: {}", output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("`{shown}` wrote something that is not text"))
}

/// Runs a `cargo` command that builds reseal, and returns the program's path.
pub(crate) fn built(build: &mut Command) -> Result<String, String> {
    // The folder of the result depends on the user's configuration, so cargo is asked.
    build.args(["--message-format", "json-render-diagnostics"]);
    output(build)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "reseal")
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .ok_or_else(|| "cargo built no program called reseal".to_owned())
}

/// Runs a program of the workspace that is not part of the product.
pub(crate) fn helper<S: AsRef<OsStr>>(
    package: &str,
    args: impl IntoIterator<Item = S>,
) -> Result<(), String> {
    run(cargo(["run", "--quiet", "--locked", "--package", package, "--"]).args(args))
}

fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The addresses of running test servers: the variables of the file that `integration/up.sh` writes.
pub(crate) struct Servers(BTreeMap<String, String>);

impl Servers {
    /// Starts what `level` of `integration/up.sh` needs.
    pub(crate) fn up(level: &str) -> Result<Self, String> {
        let file = output(&mut command("integration/up.sh", [level]))?;
        Self::load(file.trim())
    }

    /// Reads the addresses of servers that run already.
    pub(crate) fn load(file: &str) -> Result<Self, String> {
        // The shell reads the file: it knows its own quoting.
        let text = output(&mut command(
            "bash",
            ["-c", "source \"$1\" && env -0", "bash", file],
        ))?;
        let variables = text
            .split('\0')
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| name.starts_with("RESEAL_IT_"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Self(variables))
    }

    /// Returns the value of `RESEAL_IT_NAME`.
    pub(crate) fn get(&self, name: &str) -> Result<&str, String> {
        self.0
            .get(&format!("RESEAL_IT_{name}"))
            .map(String::as_str)
            .ok_or_else(|| format!("integration/up.sh did not set RESEAL_IT_{name}"))
    }

    /// Returns a build of the Dockerfile in a folder on the daemon that `daemon` names, pushed as `image`.
    pub(crate) fn dockerfile(
        &self,
        daemon: &str,
        folder: &Path,
        image: &str,
    ) -> Result<Command, String> {
        let folder = folder.display();
        Ok(command(
            &format!("{}/buildctl", self.get("TOOLS")?),
            [
                "--addr",
                self.get(daemon)?,
                "build",
                "--progress",
                "quiet",
                "--frontend",
                "dockerfile.v0",
                "--local",
                &format!("context={folder}"),
                "--local",
                &format!("dockerfile={folder}"),
                "--output",
                &format!("type=image,name={image},push=true"),
            ],
        ))
    }

    /// Returns all variables, for a child process.
    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// Takes the servers down when it goes out of scope, unless they are to stay.
pub(crate) struct TakeDown {
    keep: bool,
}

impl TakeDown {
    /// Servers that ran before stay, and so do all with `keep`.
    pub(crate) fn unless(keep: bool) -> Self {
        let running = command(
            "bash",
            [
                "-c",
                "source integration/lib.sh && [[ -e ${RESEAL_RUN:-$(default_run)}/env ]]",
            ],
        )
        .status()
        .is_ok_and(|status| status.success());
        Self {
            keep: keep || running,
        }
    }
}

impl Drop for TakeDown {
    fn drop(&mut self) {
        if self.keep {
            say("The test servers stay up; integration/down.sh stops them.");
        } else if let Err(error) = run(&mut command::<&str>("integration/down.sh", [])) {
            say(&error);
        }
    }
}
