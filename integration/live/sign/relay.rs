//! A wire that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

/// Forwards to a registry until so many bytes have gone there; then it breaks every connection.
pub(super) struct Relay {
    pub(super) address: String,
    left: Arc<AtomicI64>,
}

impl Relay {
    pub(super) fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let shared = left.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&target) else {
                    continue;
                };
                let (Ok(back_client), Ok(back_server)) = (client.try_clone(), server.try_clone())
                else {
                    continue;
                };
                let left = shared.clone();
                thread::spawn(move || pump(client, server, Some(&left)));
                thread::spawn(move || pump(back_server, back_client, None));
            }
        });
        Self { address, left }
    }

    pub(super) fn cut_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, left: Option<&AtomicI64>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let amount = i64::try_from(length).expect("a buffer is small");
        if left.is_some_and(|left| left.fetch_sub(amount, Ordering::SeqCst) < amount) {
            break;
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // Both ends may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
