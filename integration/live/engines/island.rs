//! A network of its own for one program, from which two addresses lead out.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use super::text;

/// Nobody's user and group.
const NOBODY: u32 = 65534;
/// The ends of the only cable: of the range that is set aside for tests of networks.
const ENDS: [&str; 2] = ["198.18.77.1", "198.18.77.2"];

/// A network namespace. There is one at a time.
pub(super) struct Island {
    name: String,
    /// Where the registry is, from there.
    pub(super) registry: String,
    /// Package mirrors by name, and where they are from there.
    pub(super) mirrors: Vec<(String, String)>,
}

impl Island {
    /// Makes one, with ways to a registry and to package mirrors, which are names with ports.
    pub(super) fn new(registry: &str, mirrors: &[String]) -> Self {
        let number = std::process::id();
        let name = format!("reseal-{number}");
        let (outside, inside) = (format!("ro{number}"), format!("ri{number}"));
        let [here, there] = ENDS.map(|end| format!("{end}/30"));
        ip(&["netns", "add", &name]);
        // From here on it goes when this is dropped, the cable with it.
        let mut island = Self {
            name: name.clone(),
            registry: String::new(),
            mirrors: Vec::new(),
        };
        ip(&[
            "link", "add", &outside, "type", "veth", "peer", "name", &inside, "netns", &name,
        ]);
        ip(&["address", "add", &here, "dev", &outside]);
        ip(&["link", "set", &outside, "up"]);
        ip(&["-n", &name, "address", "add", &there, "dev", &inside]);
        ip(&["-n", &name, "link", "set", &inside, "up"]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        let registry = registry.to_owned();
        island.registry = listen(move |from| pass_on(from, &registry));
        for mirror in mirrors {
            let to = mirror.clone();
            let way = listen(move |from| pass_on_to_host(from, &to));
            island.mirrors.push((mirror.clone(), way));
        }
        island
    }

    /// Runs a program there, as nobody, with a home of its own, into which files are copied under their own names.
    pub(super) fn run(&self, program: &Path, files: &[&Path], args: &[String]) -> Output {
        let home = tempfile::tempdir().expect("a folder");
        let copy = home.path().join("program");
        let mut own = vec![home.path().to_owned(), copy.clone()];
        fs::copy(program, &copy).expect("copied");
        for file in files {
            let to = home.path().join(file.file_name().expect("a name"));
            fs::copy(file, &to).expect("copied");
            own.push(to);
        }
        for path in &own {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("allowed");
            chown(path, Some(NOBODY), Some(NOBODY)).expect("given away");
        }
        let id = NOBODY.to_string();
        Command::new("ip")
            .args(["netns", "exec", &self.name, "setpriv"])
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .args(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"])
            .arg(&copy)
            .args(args)
            .current_dir(home.path())
            .env_clear()
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env("PATH", "/usr/bin:/bin")
            .output()
            .expect("ip starts")
    }

    /// Tells whether an address can be reached from there.
    pub(super) fn reaches(&self, address: &str) -> bool {
        let (host, port) = address.split_once(':').expect("a port");
        let connect = format!(": </dev/tcp/{host}/{port}");
        Command::new("ip")
            .args(["netns", "exec", &self.name, "bash", "-c", &connect])
            .output()
            .expect("ip starts")
            .status
            .success()
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

fn ip(args: &[&str]) {
    let output = Command::new("ip").args(args).output().expect("ip starts");
    assert!(
        output.status.success(),
        "ip {args:?}: {}",
        text(&output.stderr)
    );
}

/// Serves every connection on a new port of the outer end, and returns its address.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind((ENDS[0], 0)).expect("the cable is there");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(from));
        }
    });
    address
}

/// Copies bytes both ways.
fn pass_on(from: TcpStream, to: &str) -> io::Result<()> {
    both_ways(from, TcpStream::connect(to)?)
}

fn both_ways(from: TcpStream, to: TcpStream) -> io::Result<()> {
    let (mut asked, mut asks) = (to.try_clone()?, from.try_clone()?);
    let there = thread::spawn(move || {
        let _ = io::copy(&mut asks, &mut asked);
        let _ = asked.shutdown(Shutdown::Write);
    });
    let (mut answers, mut answered) = (to, from);
    io::copy(&mut answers, &mut answered)?;
    let _ = answered.shutdown(Shutdown::Write);
    there
        .join()
        .map_err(|_| io::Error::other("a copier failed"))
}

/// Passes on one request without a body under the name that the server knows itself by, and ends after its answer.
fn pass_on_to_host(from: TcpStream, to: &str) -> io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    let host = to.split(':').next().unwrap_or(to);
    let mut lines = BufReader::new(from.try_clone()?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        let field = line.split(':').next().unwrap_or_default();
        if !["host", "connection"].contains(&field.to_ascii_lowercase().as_str()) {
            server.write_all(line.as_bytes())?;
        }
        line.clear();
    }
    write!(server, "Host: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let mut from = from;
    from.write_all(&answer)?;
    from.shutdown(Shutdown::Write)
}
