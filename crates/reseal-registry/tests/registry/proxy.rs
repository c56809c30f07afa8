//! Proxies come from the environment, which only a process of its own can have changed.

use reseal_testkit::registry::FakeRegistry;

use crate::common::*;

/// Set for the child: what it has to read.
const HOSTS: &str = "RESEAL_TEST_PROXIED_HOSTS";

#[tokio::test]
async fn the_environments_proxy_is_used_for_all_but_exceptions_and_loopback() {
    // A registry answers a proxy's requests too: the name of the host is all that is different.
    let proxy = FakeRegistry::start().await;
    let local = FakeRegistry::start().await;
    for fake in [&proxy, &local] {
        let raw = image(fake, "shop/cart", "cart");
        fake.put_manifest("shop/cart", MANIFEST, &raw.bytes, Some("1.4"));
    }
    // Reaches the same socket, and is not known as this machine.
    let except = local.host().replace("127.0.0.1", "0.0.0.0");
    let run = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "proxy::reads_as_the_child"])
        .env("http_proxy", format!("http://{}", proxy.host()))
        .env("no_proxy", "0.0.0.0")
        .env_remove("HTTP_PROXY")
        .env_remove("NO_PROXY")
        .env_remove("REQUEST_METHOD")
        .env(HOSTS, format!("registry.test {} {except}", local.host()))
        .output()
        .await
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stdout)
    );
    let seen = |fake: &FakeRegistry| -> Vec<String> {
        fake.requests()
            .iter()
            .map(|request| request.header("host").unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(seen(&proxy), ["registry.test"]);
    assert_eq!(seen(&local), [local.host(), &except]);
}

/// Does something only where the test above is its parent.
#[tokio::test]
async fn reads_as_the_child() {
    let hosts = std::env::var(HOSTS).unwrap_or_default();
    for host in hosts.split_whitespace() {
        let setup = Setup::with(None, |settings| {
            settings.plain_http.insert(host.to_owned());
        });
        let store = setup
            .registries
            .open(&format!("{host}/shop/cart").parse().unwrap());
        store.manifest(&tag("1.4")).await.unwrap();
    }
}
