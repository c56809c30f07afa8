//! Daemons on another machine, reached through OpenSSH.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reseal_buildkit::{ConnectOptions, dial};

use super::{Programs, Side, nothing_usual_is_there};

/// The whole of what sshd sees of the machine's users, its own among them; both files are private to its mount namespace, and
/// so is the folder that it wants to be empty.
const ENTER: &str = r#"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
exec "$2" -D -e -f "$1/sshd_config"
"#;

/// An SSH server on a port of the loopback, with one user and one key, and a client that has the key and knows the server.
pub(super) struct Sshd {
    pub(super) side: Side,
    pub(super) port: u16,
    child: Child,
}

impl Sshd {
    /// Over there, `path` is the PATH, the newer daemon is buildctl's default, and dockerd is docker's.
    pub(super) fn start(programs: &Programs, path: &str) -> Self {
        let side = Side::new(&[]);
        for name in ["host", "key", "other"] {
            let words = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"];
            let file = side.path(name);
            side.run(
                "/usr/bin/ssh-keygen".as_ref(),
                &[&words[..], &[&file]].concat(),
            );
        }
        let folder = side.path("");
        side.write(
            "passwd",
            &format!("root:x:0:0::{folder}:/bin/sh\nsshd:x:1:65534::/run/sshd:/usr/sbin/nologin\n"),
        );
        side.write("shadow", "root:*:1::::::\nsshd:*:1::::::\n");
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nPidFile none\nUsePAM no\nStrictModes no\n\
             AuthorizedKeysFile {key}.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             SetEnv PATH={path} BUILDKIT_HOST={} DOCKER_HOST={}\n",
            programs.new,
            programs.docker,
            host = side.path("host"),
            key = side.path("key"),
        );
        side.write("sshd_config", &config);
        let mut child = Command::new("unshare")
            .args(["--mount", "sh", "-e", "-c", ENTER, "sh", &folder])
            .arg(programs.client("sshd"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It says when it listens; whatever it says later goes nowhere.
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let is_up = log.any(|line| line.unwrap().contains("Server listening"));
        std::thread::spawn(move || log.for_each(drop));
        let this = Self { side, port, child };
        assert!(is_up, "sshd did not start: {config}");
        let host = std::fs::read_to_string(this.side.path("host.pub")).unwrap();
        let known = format!("[127.0.0.1]:{port} {host}");
        this.side.write("known_hosts", &known);
        this.client(&this.side, "key", "known_hosts");
        this
    }

    /// Makes a client of `side`: with a key and a list of known servers. ssh finds its files by the user, not by HOME.
    fn client(&self, side: &Side, key: &str, known: &str) {
        let config = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
            self.side.path(key),
            self.side.path(known)
        );
        let config = side.write("ssh_config", &config);
        side.script("ssh", &format!("exec /usr/bin/ssh -F '{config}' \"$@\""));
    }

    fn other_client(&self, key: &str, known: &str) -> Side {
        let side = Side::new(&[]);
        self.client(&side, key, known);
        side
    }

    pub(super) fn address(&self) -> String {
        format!("ssh://root@127.0.0.1:{}", self.port)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A PATH on the other side with all that is wanted there.
pub(super) fn remote_path(programs: &Programs) -> String {
    format!(
        "{}:{}:/usr/bin:/bin",
        programs.tools.display(),
        programs.clients.display()
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_buildkitd_behind_ssh_on_its_default_socket_or_a_named_one() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let sshd = Sshd::start(&programs, &remote_path(&programs));
    let (side, address) = (&sshd.side, sshd.address());
    side.assert_reaches(&address, &programs.new).await;
    let named = format!("{address}{}", programs.old.strip_prefix("unix://").unwrap());
    side.assert_reaches(&named, &programs.old).await;

    let missing = format!("{address}/nonexistent/buildkitd.sock");
    let words = ["/nonexistent/buildkitd.sock", "buildctl debug workers"];
    side.assert_refused(&missing, &words).await;
}

#[tokio::test]
async fn an_ssh_server_that_lets_nobody_in_or_is_not_known_is_told_apart() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let sshd = Sshd::start(&programs, &remote_path(&programs));
    let address = sshd.address();
    let stranger = sshd.other_client("other", "known_hosts");
    let words = ["Permission denied (publickey)", "load the key"];
    stranger.assert_refused(&address, &words).await;
    let newcomer = sshd.other_client("key", "nonexistent");
    let words = ["Host key verification failed", "accept the host's key"];
    newcomer.assert_refused(&address, &words).await;
    let nowhere = format!("ssh://root@127.0.0.1:{}", free_port());
    let words = ["Connection refused", "`ssh HOST buildctl debug workers`"];
    sshd.side.assert_refused(&nowhere, &words).await;

    // A machine that lets a connection in and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("ssh://{}", listener.local_addr().unwrap());
    let options = ConnectOptions {
        timeout: Duration::from_secs(1),
        ..sshd.side.options()
    };
    let error = dial(&silent.parse().unwrap(), &options).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no answer within 1 s"), "{text}");
}

#[tokio::test]
async fn a_machine_without_buildctl_is_told() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let sshd = Sshd::start(&programs, "/nonexistent");
    let words = ["not found", "has to be on the PATH over there"];
    sshd.side.assert_refused(&sshd.address(), &words).await;
    let docker = format!("docker://{}", sshd.address());
    let words = ["not found", "`docker` has to be on the PATH over there"];
    sshd.side.assert_refused(&docker, &words).await;
}

#[tokio::test]
async fn the_buildkit_inside_a_dockerd_behind_ssh() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let mut sshd = Sshd::start(&programs, &remote_path(&programs));
    let address = sshd.address();
    let direct = format!("docker://{}", programs.docker);
    let named = format!("docker://{address}");
    sshd.side.assert_reaches(&named, &direct).await;
    sshd.side.set("DOCKER_HOST", &address);
    sshd.side.assert_reaches("docker://", &direct).await;

    if nothing_usual_is_there() {
        sshd.side.assert_finds("docker://", "DOCKER_HOST").await;
    }
}
