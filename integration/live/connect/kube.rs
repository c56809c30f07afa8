//! Daemons in pods, reached by `kubectl exec`. The API server is a stand-in, with Kubernetes' own streams.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{Programs, Side};

/// The only address that names the pod: its context has the token, and neither namespace nor container is kubectl's choice.
pub(super) const POD: &str =
    "kube-pod://buildkitd?context=here&namespace=builders&container=buildkitd";

/// A stand-in for a cluster, and a client whose configuration has a context for it and, as the current one, another.
pub(super) struct Cluster {
    pub(super) side: Side,
    child: Child,
    log: Receiver<String>,
}

impl Cluster {
    pub(super) fn start(programs: &Programs) -> Self {
        let mut side = Side::new(&[programs.client("kubectl")]);
        let mut child = Command::new(programs.client("kube"))
            .args(["--token", "right"])
            .env("PATH", &programs.tools)
            .env("BUILDKIT_HOST", &programs.new)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|l| sender.send(l)));
        let address = log.recv_timeout(Duration::from_secs(10)).unwrap();
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": {"server": address, "insecure-skip-tls-verify": true}}],
            "users": [
                {"name": "right", "user": {"token": "right"}},
                {"name": "wrong", "user": {"token": "wrong"}},
            ],
            "contexts": [
                {"name": "here", "context": {"cluster": "stand-in", "user": "right"}},
                {"name": "elsewhere", "context": {"cluster": "stand-in", "user": "wrong"}},
            ],
            "current-context": "elsewhere",
        });
        let config = side.write("kubeconfig", &config.to_string());
        side.set("KUBECONFIG", &config);
        Self { side, child, log }
    }

    /// The next command that was run in a pod.
    fn next_command(&self) -> String {
        self.log.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_buildkitd_behind_kubectl_exec_by_either_protocol() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let mut cluster = Cluster::start(&programs);
    let command = "buildkitd [buildctl dial-stdio]";
    cluster.side.assert_reaches(POD, &programs.new).await;
    assert_eq!(cluster.next_command(), format!("websocket {command}"));
    let name = "KUBECTL_REMOTE_COMMAND_WEBSOCKETS";
    cluster.side.set(name, "false");
    cluster.side.assert_reaches(POD, &programs.new).await;
    assert_eq!(cluster.next_command(), format!("spdy {command}"));
}

#[tokio::test]
async fn context_namespace_and_container_reach_the_cluster() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let cluster = Cluster::start(&programs);
    let table: [(&str, &[&str]); 4] = [
        (
            "kube-pod://buildkitd?namespace=builders&container=buildkitd",
            &["must be logged in", "your account"],
        ),
        (
            "kube-pod://buildkitd?context=here&container=buildkitd",
            &["pods \"buildkitd\" not found", "`kubectl get pod`"],
        ),
        (
            "kube-pod://buildkitd?context=here&namespace=builders",
            &["executable file not found", "container"],
        ),
        (
            "kube-pod://buildkitd?context=nowhere&namespace=builders",
            &["context", "nowhere"],
        ),
    ];
    for (address, words) in table {
        cluster.side.assert_refused(address, words).await;
    }
}

#[tokio::test]
async fn a_pod_that_is_not_there_or_does_not_run_is_told() {
    let Some(programs) = Programs::find() else {
        return;
    };
    let mut cluster = Cluster::start(&programs);
    let table = [
        ("none", "pods \"none\" not found"),
        ("waiting", "does not have a host assigned"),
        ("done", "completed pod"),
    ];
    for (pod, words) in table {
        let address = format!("kube-pod://{pod}?context=here&namespace=builders");
        let words = [words, "`kubectl get pod`"];
        cluster.side.assert_refused(&address, &words).await;
    }
    cluster.child.kill().unwrap();
    cluster.child.wait().unwrap();
    cluster.side.assert_refused(POD, &["refused"]).await;
}
