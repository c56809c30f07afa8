//! What one run of a program costs: time, memory of the client, and what the registry saw.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::shell::say;

/// How often the client's memory is looked at. The kernel keeps the peak, so only what grows in a client's last
/// moments is missed.
const LOOK: Duration = Duration::from_millis(10);

/// The cost of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Wall time in seconds.
    pub(crate) seconds: f64,
    /// Peak resident memory of the client in bytes.
    pub(crate) memory: u64,
    /// Requests that the registry answered, of the client and the daemon together.
    pub(crate) requests: u64,
    /// Bytes of bodies that the registry sent and received.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Size in bytes of the layers that were added to the image, as they lie in the registry.
    pub(crate) layer: u64,
    /// Builds on the daemon, and containers that it started.
    pub(crate) solves: u64,
    pub(crate) containers: u64,
}

/// Runs a command; `log` is the request log of the registry.
pub(crate) fn measure(command: &mut Command, log: &Path) -> Result<Sample, String> {
    let wrong = |error: std::io::Error| {
        format!(
            "could not measure {}: {error}",
            command.get_program().display()
        )
    };
    // The registry appends, so an emptied file holds what comes from now on.
    File::create(log).map_err(wrong)?;
    let errors = log.with_extension("errors");
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&errors).map_err(|error| error.to_string())?)
        .spawn()
        .map_err(|error| {
            format!(
                "could not start {}: {error}",
                command.get_program().display()
            )
        })?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let status = loop {
        if let Some(peak) = fs::read_to_string(&status_file)
            .ok()
            .as_deref()
            .and_then(peak_memory)
        {
            memory = peak;
        }
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None => thread::sleep(LOOK),
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    if !status.success() {
        say(&fs::read_to_string(&errors).unwrap_or_default());
        return Err(format!(
            "{} failed: {status}",
            command.get_program().display()
        ));
    }
    let lines = fs::read_to_string(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let (requests, received, sent) = traffic(&lines);
    Ok(Sample {
        seconds,
        memory,
        requests,
        sent,
        received,
        layer: 0,
        solves: 0,
        containers: 0,
    })
}

/// Returns the peak resident memory in bytes that a `/proc/PID/status` names.
fn peak_memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Returns the number of requests, bytes in and bytes out of a request log.
fn traffic(log: &str) -> (u64, u64, u64) {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .fold((0, 0, 0), |(requests, received, sent), line| {
            let bytes = |field: &str| line[field].as_u64().unwrap_or(0);
            (
                requests + 1,
                received + bytes("bytes_in"),
                sent + bytes("bytes_out"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(
            peak_memory("Name:\tx\nVmHWM:\t   1234 kB\nVmRSS:\t 99 kB\n"),
            Some(1_263_616)
        );
        assert_eq!(peak_memory("Name:\tzombie\n"), None);
    }

    #[test]
    fn traffic_is_summed_over_lines() {
        let log = "{\"bytes_in\":1,\"bytes_out\":10}\n{\"bytes_in\":2,\"bytes_out\":20}\n";
        assert_eq!(traffic(log), (2, 3, 30));
    }
}
