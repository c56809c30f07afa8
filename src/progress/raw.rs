//! One JSON object a line. Strings keep what came: JSON escapes control characters by itself.

use std::time::Duration;

use reseal_buildkit::SolveEvent;
use reseal_oci::Platform;
use reseal_pipeline::Event;
use serde_json::{Value, json};

use super::{Renderer, Size};

pub(super) struct Raw;

impl Renderer for Raw {
    fn event(&mut self, event: Event, now: Duration) -> String {
        object(value(event), now)
    }

    fn tick(&mut self, _now: Duration, _size: Size) -> String {
        String::new()
    }

    fn finish(&mut self, _now: Duration) -> String {
        String::new()
    }
}

/// Returns the line of an object; the time is milliseconds since the run began.
fn object(mut value: Value, now: Duration) -> String {
    if let Some(object) = value.as_object_mut() {
        object.insert(
            "elapsed_ms".into(),
            u64::try_from(now.as_millis()).unwrap_or(u64::MAX).into(),
        );
    }
    format!("{value}\n")
}

fn value(event: Event) -> Value {
    let name = |platform: &Platform| platform.to_string();
    match event {
        Event::Resolved {
            reference,
            digest,
            platforms,
        } => json!({
            "event": "resolved", "reference": reference, "digest": digest,
            "platforms": platforms.iter().map(name).collect::<Vec<_>>(),
        }),
        Event::Builder {
            address,
            why,
            version,
            platforms,
        } => json!({
            "event": "builder", "address": address, "why": why, "version": version,
            "platforms": platforms.iter().map(|(platform, emulated)| json!({"platform": name(platform), "emulated": emulated})).collect::<Vec<_>>(),
        }),
        Event::Planned {
            platform,
            packages,
            findings,
        } => json!({
            "event": "planned", "platform": name(&platform), "packages": packages, "findings": findings,
        }),
        Event::Started(stage, platform) => json!({
            "event": "started", "stage": stage.name(), "platform": platform.as_ref().map(name),
        }),
        Event::Finished(stage, platform) => json!({
            "event": "finished", "stage": stage.name(), "platform": platform.as_ref().map(name),
        }),
        Event::Bytes {
            stage,
            platform,
            done,
            total,
        } => json!({
            "event": "bytes", "stage": stage.name(), "platform": platform.as_ref().map(name), "done": done, "total": total,
        }),
        Event::Layer {
            platform,
            size,
            packages,
        } => json!({
            "event": "layer", "platform": name(&platform), "size": size, "packages": packages,
        }),
        Event::Warned(message) => json!({"event": "warning", "message": message}),
        Event::Note(message) => json!({"event": "note", "message": message}),
        Event::Solve(event) => solve(event),
    }
}

fn solve(event: SolveEvent) -> Value {
    match event {
        SolveEvent::Vertex {
            digest,
            name,
            started,
            completed,
            cached,
            error,
        } => json!({
            "event": "vertex", "digest": digest, "name": name, "started": started, "completed": completed,
            "cached": cached, "error": error,
        }),
        SolveEvent::Status {
            vertex,
            id,
            name,
            current,
            total,
        } => json!({
            "event": "status", "vertex": vertex, "id": id, "name": name, "current": current, "total": total,
        }),
        SolveEvent::Log {
            vertex,
            stream,
            data,
        } => json!({
            "event": "log", "vertex": vertex, "stream": stream, "data": String::from_utf8_lossy(&data),
        }),
        SolveEvent::Warning { vertex, message } => {
            json!({"event": "warning", "vertex": vertex, "message": message})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_one_line_of_json() {
        let platform: Platform = "linux/arm64".parse().unwrap();
        let out = Raw.event(
            Event::Planned {
                platform,
                packages: 1,
                findings: 2,
            },
            Duration::from_millis(1500),
        );
        assert_eq!(
            out,
            "{\"event\":\"planned\",\"platform\":\"linux/arm64\",\"packages\":1,\"findings\":2,\"elapsed_ms\":1500}\n"
        );
        let log = SolveEvent::Log {
            vertex: "v".into(),
            stream: 2,
            data: b"a\nb\x1b\xff".to_vec(),
        };
        let out = Raw.event(Event::Solve(log), Duration::ZERO);
        assert_eq!(out.matches('\n').count(), 1);
        assert_eq!(
            serde_json::from_str::<Value>(&out).unwrap()["data"],
            "a\nb\u{1b}\u{fffd}"
        );
    }
}
