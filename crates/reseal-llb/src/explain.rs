//! A definition as text, for people.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use prost::Message;
use reseal_proto::pb;

use crate::{Definition, Platform, key::Key};

impl Definition {
    /// Returns one line an operation, in their order: number, digest, what it does, name.
    ///
    /// Values of environment variables, proxies and file contents are left out, so that the text can be logged.
    pub fn explain(&self) -> String {
        let mut numbers = BTreeMap::new();
        let mut text = String::new();
        for (number, bytes) in (1..).zip(&self.def) {
            let digest = Key::of(bytes).to_string();
            let short = digest.get(7..19).unwrap_or_default();
            let what = match pb::Op::decode(bytes.as_slice()) {
                Ok(op) => Names {
                    inputs: &op.inputs,
                    numbers: &numbers,
                }
                .op(&op),
                Err(error) => format!("unreadable: {error}"),
            };
            // Writing to a string does not fail.
            let _ = write!(text, "#{number} {short} {what}");
            let metadata = self.metadata.get(&digest);
            if metadata.is_some_and(|metadata| metadata.ignore_cache) {
                text.push_str(" ignore-cache");
            }
            if let Some(name) =
                metadata.and_then(|metadata| metadata.description.get("llb.customname"))
            {
                let _ = write!(text, " {name:?}");
            }
            text.push('\n');
            numbers.insert(digest, number);
        }
        text
    }
}

/// How an operation's inputs are called.
struct Names<'a> {
    inputs: &'a [pb::Input],
    numbers: &'a BTreeMap<String, u32>,
}

impl Names<'_> {
    fn op(&self, op: &pb::Op) -> String {
        let platform = op.platform.as_ref().map_or(String::new(), |platform| {
            format!(
                " {}",
                plain(
                    &Platform::new(&platform.os, &platform.architecture, &platform.variant)
                        .to_string()
                )
            )
        });
        match &op.op {
            None => format!("result {}", self.input(0)),
            Some(pb::op::Op::Source(source)) => {
                let attrs = source
                    .attrs
                    .iter()
                    .fold(String::new(), |mut text, (name, value)| {
                        let _ = write!(text, " {}={}", plain(name), plain(value));
                        text
                    });
                format!("source{platform} {}{attrs}", plain(&source.identifier))
            }
            Some(pb::op::Op::Exec(exec)) => format!("exec{platform}{}", self.exec(exec)),
            Some(pb::op::Op::File(file)) => {
                let actions: Vec<String> = file
                    .actions
                    .iter()
                    .map(|action| self.file_action(action))
                    .collect();
                format!("file {}", actions.join(", "))
            }
            Some(pb::op::Op::Merge(merge)) => {
                merge.inputs.iter().fold("merge".to_owned(), |text, part| {
                    text + " " + &self.input(part.input)
                })
            }
            Some(pb::op::Op::Diff(diff)) => {
                let lower = diff.lower.as_ref().map_or(-1, |lower| lower.input);
                let upper = diff.upper.as_ref().map_or(-1, |upper| upper.input);
                format!("diff {} {}", self.input(lower), self.input(upper))
            }
        }
    }

    /// `#3` for the first output of operation 3, `#3.1` for the second.
    fn input(&self, number: i64) -> String {
        if number < 0 {
            return "scratch".to_owned();
        }
        let Some(input) = usize::try_from(number)
            .ok()
            .and_then(|number| self.inputs.get(number))
        else {
            return "?".to_owned();
        };
        let Some(op) = self.numbers.get(&input.digest) else {
            return "?".to_owned();
        };
        if input.index == 0 {
            format!("#{op}")
        } else {
            format!("#{op}.{}", input.index)
        }
    }

    fn exec(&self, exec: &pb::ExecOp) -> String {
        let mut text = String::new();
        if let Some(meta) = &exec.meta {
            let _ = write!(text, " {:?} in {}", meta.args, plain(&meta.cwd));
            if !meta.user.is_empty() {
                let _ = write!(text, " as {}", plain(&meta.user));
            }
            if !meta.env.is_empty() {
                let names: Vec<&str> = meta
                    .env
                    .iter()
                    .map(|pair| pair.split('=').next().unwrap_or_default())
                    .collect();
                let _ = write!(text, " env {}", plain(&names.join(",")));
            }
            if meta.proxy_env.is_some() {
                text.push_str(" with proxies");
            }
        }
        match exec.network() {
            pb::NetMode::Unset => {}
            pb::NetMode::Host => text.push_str(" network host"),
            pb::NetMode::None => text.push_str(" network none"),
        }
        for mount in &exec.mounts {
            let _ = write!(text, "; {} {}", plain(&mount.dest), self.mount(mount));
        }
        text
    }

    fn mount(&self, mount: &pb::Mount) -> String {
        match mount.mount_type() {
            pb::MountType::Bind => {
                let mut text = self.input(mount.input);
                if !mount.selector.is_empty() {
                    let _ = write!(text, ":{}", plain(&mount.selector));
                }
                match (mount.readonly, mount.output) {
                    (true, _) => text.push_str(" read-only"),
                    (false, output @ 0..) => {
                        let _ = write!(text, " -> output {output}");
                    }
                    (false, _) => text.push_str(" thrown away"),
                }
                text
            }
            pb::MountType::Tmpfs => "tmpfs".to_owned(),
            pb::MountType::Ssh => "ssh".to_owned(),
            pb::MountType::Cache => {
                let cache = mount.cache_opt.clone().unwrap_or_default();
                format!(
                    "cache {} {}",
                    plain(&cache.id),
                    cache.sharing().as_str_name().to_ascii_lowercase()
                )
            }
            pb::MountType::Secret => {
                format!(
                    "secret {}",
                    mount
                        .secret_opt
                        .as_ref()
                        .map_or(Cow::Borrowed(""), |secret| plain(&secret.id))
                )
            }
        }
    }

    fn file_action(&self, action: &pb::FileAction) -> String {
        use pb::file_action::Action;
        // Edits follow each other; only the first one says what it starts from.
        let base = usize::try_from(action.input).is_ok_and(|input| input >= self.inputs.len());
        let on = if base {
            String::new()
        } else {
            format!("on {}: ", self.input(action.input))
        };
        let what = match &action.action {
            None => "nothing".to_owned(),
            Some(Action::Copy(copy)) => {
                format!(
                    "copy {}:{} {}",
                    self.input(action.secondary_input),
                    plain(&copy.src),
                    plain(&copy.dest)
                )
            }
            Some(Action::Mkfile(file)) => {
                format!(
                    "mkfile {} {:04o} {} bytes",
                    plain(&file.path),
                    file.mode,
                    file.data.len()
                )
            }
            Some(Action::Mkdir(dir)) => format!("mkdir {} {:04o}", plain(&dir.path), dir.mode),
            Some(Action::Rm(rm)) => format!("rm {}", plain(&rm.path)),
            Some(Action::Symlink(link)) => format!(
                "symlink {} -> {}",
                plain(&link.newpath),
                plain(&link.oldpath)
            ),
        };
        on + &what
    }
}

/// Text that cannot break out of its line or steer a terminal.
fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string().into()
    } else {
        text.into()
    }
}
