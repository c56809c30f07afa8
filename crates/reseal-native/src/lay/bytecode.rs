//! Compiled Python modules: they follow from those of packages, and no package owns them.

use super::Run;
use crate::order::Effect;
use crate::view::{join, parent};

impl Run<'_, '_, '_> {
    /// Removes compiled Python modules that no package owns and whose source changed or went.
    pub(super) fn remove_bytecode(&mut self) {
        let modules: Vec<String> = self
            .view
            .changes()
            .filter_map(|(path, _)| path.strip_suffix(".py"))
            .map(str::to_owned)
            .collect();
        let mut files = 0;
        for module in modules {
            let dir = parent(&module);
            let name = module[dir.len()..].trim_start_matches('/');
            let cache = join(dir, "__pycache__");
            let cached = self.view.names(&cache).into_iter().filter(|file| {
                file.strip_prefix(name)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|rest| rest.split('.').next_back() == Some("pyc"))
            });
            let beside = [format!("{module}.pyc"), format!("{module}.pyo")];
            let all: Vec<String> = cached
                .map(|file| join(&cache, &file))
                .chain(beside)
                .collect();
            for path in all {
                let owned = !self.owners.of(&format!("/{path}")).is_empty();
                if !owned && self.view.lstat(&path).seen().is_some() {
                    self.remove(&path);
                    files += 1;
                }
            }
            let empty =
                self.view.lstat(&cache).seen().is_some() && self.view.names(&cache).is_empty();
            if empty && self.owners.of(&format!("/{cache}")).is_empty() {
                self.remove(&cache);
            }
        }
        if files > 0 {
            self.effects.push(Effect::Bytecode { files });
        }
    }
}
