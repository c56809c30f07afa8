//! What the program `update-ca-certificates` does, with `openssl rehash`.

use std::collections::{BTreeMap, BTreeSet};

use reseal_rootfs::{NodeKind, Tree};

use super::rehash::{Change, Item, Number, changes};
use super::subject::single;
use super::{BUNDLE, FOLDER, LINKS, LOCAL};
use crate::lay::node;
use crate::raw::Attributes;
use crate::view::{Place, Seen, View, join};

/// Largest bundle, in bytes.
const BUNDLE_LIMIT: usize = 64 << 20;
/// Most names in the folder of links: all are compared.
const NAMES_LIMIT: usize = 20_000;
/// Places that are other ones while the program runs.
const KERNEL: [&str; 3] = ["/dev/", "/proc/", "/sys/"];

/// The image, as far as the program sees it.
pub(super) struct Files<'f, 'a> {
    pub(super) tree: &'a Tree,
    pub(super) view: &'f mut View<'a>,
    /// Contents of this run, by path without links.
    pub(super) kept: &'f mut BTreeMap<String, Vec<u8>>,
    /// Paths without links that were written.
    pub(super) written: BTreeSet<String>,
    /// In which order a directory's files are linked is known.
    pub(super) sorted: bool,
}

impl Files<'_, '_> {
    /// Runs the program. The configuration is the one that is there by then.
    ///
    /// # Errors
    ///
    /// What the program would do is not known.
    pub(super) fn update(&mut self, configuration: &str) -> Result<(), String> {
        let lines: Vec<&str> = configuration
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
            .filter(|line| !line.is_empty())
            .collect();
        let name = |line: &str| line.trim_matches([' ', '\t']).to_owned();
        let mut changed = false;
        for line in lines.iter().filter_map(|line| line.strip_prefix('!')) {
            changed |= self.drop_link(&format!("/{FOLDER}/{}", name(line)))?;
        }
        let mut bundle = Vec::new();
        for line in lines.iter().filter(|line| !line.starts_with(['#', '!'])) {
            let path = format!("/{FOLDER}/{}", name(line));
            if self.view.stat(&path).kind() == Some(NodeKind::File) {
                changed |= self.add(&path, &mut bundle)?;
            }
        }
        for path in self.local()? {
            changed |= self.add(&path, &mut bundle)?;
        }
        if changed {
            self.drop_orphans()?;
            self.rehash()?;
        }
        if bundle.is_empty() {
            return Ok(());
        }
        self.put_bundle(bundle)
    }

    /// Removes the link to a certificate; tells whether there was one.
    fn drop_link(&mut self, certificate: &str) -> Result<bool, String> {
        let path = join(LINKS, &format!("{}.pem", base(certificate)));
        match self.view.lstat(&path) {
            Place::There(real, seen) if seen.node.kind == NodeKind::Symlink => {
                self.remove(&real)?;
                Ok(true)
            }
            Place::Nowhere => Err(format!("`{path}` is in no directory")),
            _ => Ok(false),
        }
    }

    /// Links to a certificate and adds it to the bundle; tells whether the link is new.
    fn add(&mut self, certificate: &str, bundle: &mut Vec<u8>) -> Result<bool, String> {
        let name: String = base(certificate)
            .chars()
            .map(|c| match c {
                ' ' | ',' => '_',
                '(' | ')' => '=',
                c => c,
            })
            .collect();
        let path = join(LINKS, &format!("{name}.pem"));
        let place = self.view.lstat(&path);
        let target = place.seen().and_then(|seen| seen.node.link.as_deref());
        let right = target == Some(certificate) && self.view.stat(&path).seen().is_some();
        if !right {
            if self.view.stat(&path).kind() == Some(NodeKind::Dir) {
                return Err(format!("`{path}` is a directory"));
            }
            let real = place
                .real()
                .ok_or_else(|| format!("`{path}` is in no directory"))?;
            self.link(real, certificate)?;
        }
        let contents = self.contents(certificate)?.unwrap_or_default();
        if bundle.len().saturating_add(contents.len()) > BUNDLE_LIMIT {
            return Err("it would be larger than any".to_owned());
        }
        bundle.extend_from_slice(contents);
        if contents.last().is_some_and(|last| *last != b'\n') {
            bundle.push(b'\n');
        }
        Ok(!right)
    }

    fn link(&mut self, real: &str, target: &str) -> Result<(), String> {
        self.check_free(real)?;
        let node = node(
            NodeKind::Symlink,
            Attributes::written(0o777),
            0,
            Some(target),
        );
        self.view.put(real, Seen { node, by: None });
        self.written.insert(real.to_owned());
        Ok(())
    }

    fn remove(&mut self, real: &str) -> Result<(), String> {
        self.check_free(real)?;
        self.view.remove(real);
        Ok(())
    }

    /// Refuses a path that a package of this run has put something to.
    fn check_free(&self, real: &str) -> Result<(), String> {
        let by = self.view.lstat(real).seen().and_then(|seen| seen.by);
        match by {
            Some(_) => Err(format!("a package brings `{real}`")),
            None => Ok(()),
        }
    }

    /// Returns the administrator's certificates.
    fn local(&self) -> Result<BTreeSet<String>, String> {
        let mut out = BTreeSet::new();
        let place = self.view.stat(LOCAL);
        if place.kind() != Some(NodeKind::Dir) {
            return Ok(out);
        }
        if place.real() != Some(LOCAL) {
            return Err(format!("a link leads to `{LOCAL}`"));
        }
        for path in below(self.view, LOCAL) {
            let kind = self.view.lstat(&path).kind();
            let followed = self.view.stat(&path).kind();
            if kind == Some(NodeKind::Symlink) && followed == Some(NodeKind::Dir) {
                return Err(format!("`{path}` is a link to a directory"));
            }
            if path.strip_suffix(".crt").is_some() && followed == Some(NodeKind::File) {
                if path.contains(['\\', '\n']) {
                    return Err(format!("`{path}` is no usual name of a certificate"));
                }
                out.insert(format!("/{path}"));
            }
        }
        Ok(out)
    }

    /// Removes links to nothing.
    fn drop_orphans(&mut self) -> Result<(), String> {
        for path in below(self.view, LINKS) {
            let Place::There(real, seen) = self.view.lstat(&path) else {
                continue;
            };
            let Some(target) = seen.node.link.as_deref() else {
                continue;
            };
            if self.view.stat(&path).seen().is_none() {
                if KERNEL.iter().any(|place| target.starts_with(place)) {
                    return Err(format!("`{path}` leads to `{target}`"));
                }
                self.remove(&real)?;
            }
        }
        Ok(())
    }

    /// Makes the links by number.
    fn rehash(&mut self) -> Result<(), String> {
        let names = self.view.names(LINKS);
        if names.len() > NAMES_LIMIT {
            return Err(format!("`{LINKS}` has too many names"));
        }
        let mut items = Vec::new();
        for name in &names {
            let why = |why: &str| format!("`{LINKS}/{name}`: {why}");
            if let Some(item) = self.item(name).map_err(|error| why(&error))? {
                items.push((name.as_str(), item));
            }
        }
        let each = || items.iter().map(|(name, item)| (*name, item));
        let wanted = changes(each())?;
        if !self.sorted && changes(each().rev())? != wanted {
            return Err("in which order its openssl links what is alike is not known".to_owned());
        }
        for change in wanted {
            let (Change::Link(name, _) | Change::Gone(name)) = &change;
            let path = join(LINKS, name);
            if self.view.lstat(&path).kind() == Some(NodeKind::Dir) {
                return Err(format!("`{path}` is a directory"));
            }
            match change {
                Change::Link(_, target) => self.link(&path, &target)?,
                Change::Gone(_) => self.remove(&path)?,
            }
        }
        Ok(())
    }

    fn item(&self, name: &str) -> Result<Option<Item>, String> {
        let path = join(LINKS, name);
        if let Some(target) = self
            .view
            .lstat(&path)
            .seen()
            .and_then(|seen| seen.node.link.as_deref())
            && let Some(number) = Number::parse(name)?
        {
            return Ok(Some(Item::Link(number, target.to_owned())));
        }
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        let read = |one: &&str| ["pem", "crt", "cer", "crl"].contains(one);
        if !extension.is_some_and(|extension| read(&extension.to_ascii_lowercase().as_str())) {
            return Ok(None);
        }
        let Some(contents) = self.contents(&path)? else {
            return Ok(None);
        };
        let found = single(contents)?;
        Ok(found.map(|single| Item::Certificate(single.hash, single.der)))
    }

    fn put_bundle(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let path = join(LINKS, BUNDLE);
        let place = self.view.lstat(&path);
        let attributes = Attributes::written(0o644);
        let real = match &place {
            Place::Free(real) => real,
            Place::There(real, seen) if seen.node.kind == NodeKind::File => {
                let same = (seen.node.mode, seen.node.uid, seen.node.gid) == (0o644, 0, 0)
                    && self.contents(&path)? == Some(&bytes);
                if same {
                    return Ok(());
                }
                real
            }
            _ => return Err(format!("`{path}` is no regular file")),
        };
        self.check_free(real)?;
        let node = node(NodeKind::File, attributes, bytes.len() as u64, None);
        self.view.put(real, Seen { node, by: None });
        self.kept.insert(real.clone(), bytes);
        self.written.insert(real.clone());
        Ok(())
    }

    /// Returns the contents of a file, with links followed; `None` for what is no file.
    fn contents(&self, path: &str) -> Result<Option<&[u8]>, String> {
        match self.view.stat(path) {
            Place::There(real, seen) if seen.node.kind == NodeKind::File => {
                let of_image = || {
                    let same = self.view.is_as_before(&real);
                    self.tree.contents(&real).filter(|_| same)
                };
                let kept = self.kept.get(&real).map(Vec::as_slice);
                let known = kept.or_else(of_image);
                known
                    .map(Some)
                    .ok_or_else(|| format!("what `{real}` holds is not known"))
            }
            _ => Ok(None),
        }
    }
}

/// Returns a path's last part, without the extension that certificates have.
fn base(path: &str) -> &str {
    let name = path.trim_end_matches('/');
    let name = name.rsplit('/').next().unwrap_or(name);
    let short = name.strip_suffix(".crt").filter(|short| !short.is_empty());
    short.unwrap_or(name)
}

/// Returns all that is below a directory, without following links.
pub(super) fn below(view: &View<'_>, folder: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for name in view.names(&folder) {
            let path = join(&folder, &name);
            if view.lstat(&path).kind() == Some(NodeKind::Dir) {
                folders.push(path.clone());
            }
            out.push(path);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use reseal_rootfs::{LayerFacts, wanted};
    use tar::{Builder, EntryType, Header};

    use super::*;

    const MULTI: &[u8] = certificate!("multi");
    const T61: &[u8] = certificate!("t61");
    const BMP: &[u8] = certificate!("bmp");

    /// An image: files by path, and links by path and target.
    fn image(files: &[(&str, &[u8])], links: &[(&str, &str)]) -> Tree {
        let mut out = Builder::new(Vec::new());
        let header = |kind, size: usize| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(size as u64);
            header
        };
        for (path, bytes) in files {
            let mut header = header(EntryType::Regular, bytes.len());
            out.append_data(&mut header, path, *bytes).unwrap();
        }
        for (path, target) in links {
            let mut header = header(EntryType::Symlink, 0);
            out.append_link(&mut header, path, target).unwrap();
        }
        let tar = out.into_inner().unwrap();
        Tree::stack([LayerFacts::from_layer(&tar[..], &wanted()).unwrap()]).unwrap()
    }

    /// Runs the program and returns what is in the folder then, links with their targets, and the bundle.
    fn updated(
        tree: &Tree,
        configuration: &str,
        sorted: bool,
    ) -> Result<(Vec<String>, String), String> {
        let (mut view, mut kept) = (View::new(tree), BTreeMap::new());
        let mut files = Files {
            tree,
            view: &mut view,
            kept: &mut kept,
            written: BTreeSet::new(),
            sorted,
        };
        files.update(configuration)?;
        let bundle = files.contents("etc/ssl/certs/ca-certificates.crt")?;
        let bundle = String::from_utf8_lossy(bundle.unwrap_or_default()).into_owned();
        let shown = |name: &String| {
            let place = view.lstat(&join(LINKS, name));
            let target = place.seen().and_then(|seen| seen.node.link.clone());
            target.map_or_else(|| name.clone(), |target| format!("{name} -> {target}"))
        };
        Ok((view.names(LINKS).iter().map(shown).collect(), bundle))
    }

    #[test]
    fn links_and_bundle_are_those_of_the_program() {
        let cut = MULTI.strip_suffix(b"\n").unwrap();
        let tree = image(
            &[
                ("usr/share/ca-certificates/m/Multi.crt", cut),
                ("usr/share/ca-certificates/m/Off.crt", BMP),
                (
                    "usr/local/share/ca-certificates/x/An old (one), two.crt",
                    T61,
                ),
                ("usr/local/share/ca-certificates/x/readme.txt", b"x"),
                ("etc/ssl/certs/ca-certificates.crt", b"before"),
            ],
            &[
                (
                    "etc/ssl/certs/Off.pem",
                    "/usr/share/ca-certificates/m/Off.crt",
                ),
                ("etc/ssl/certs/b281b1be.0", "Off.pem"),
                ("etc/ssl/certs/gone.pem", "nowhere"),
                ("etc/ssl/certs/00000000.7", "An_old_=one=__two.pem"),
            ],
        );
        let configuration = "# x\n!m/Off.crt\n m/Multi.crt \nm/Missing.crt\nm/Off.crt";
        let (names, bundle) = updated(&tree, configuration, true).unwrap();
        assert_eq!(
            names,
            [
                "An_old_=one=__two.pem -> /usr/local/share/ca-certificates/x/An old (one), two.crt",
                "Multi.pem -> /usr/share/ca-certificates/m/Multi.crt",
                "b281b1be.0 -> An_old_=one=__two.pem",
                "ca-certificates.crt",
                "fff37f1f.0 -> Multi.pem",
            ]
        );
        assert_eq!(bundle.as_bytes(), [MULTI, T61].concat());
    }

    #[test]
    fn where_nothing_came_or_went_links_stay_as_they_are() {
        let tree = image(
            &[("usr/share/ca-certificates/m/Multi.crt", MULTI)],
            &[
                (
                    "etc/ssl/certs/Multi.pem",
                    "/usr/share/ca-certificates/m/Multi.crt",
                ),
                ("etc/ssl/certs/gone.pem", "nowhere"),
                ("etc/ssl/certs/abcdef01.0", "gone.pem"),
            ],
        );
        let (names, bundle) = updated(&tree, "m/Multi.crt\n", true).unwrap();
        assert_eq!(names.len(), 4);
        assert!(names.contains(&"abcdef01.0 -> gone.pem".to_owned()));
        assert_eq!(bundle.as_bytes(), MULTI);
    }

    #[test]
    fn an_order_that_is_not_known_matters_only_where_names_are_alike() {
        let folder = "usr/share/ca-certificates/m";
        let (one, two) = (format!("{folder}/One.crt"), format!("{folder}/Two.crt"));
        let alike = image(&[(&one, T61), (&two, BMP), ("etc/ssl/certs/x", b"")], &[]);
        let both = "m/One.crt\nm/Two.crt\n";
        let links = |names: Vec<String>| -> Vec<String> {
            names
                .into_iter()
                .filter(|name| name.starts_with("b281"))
                .collect()
        };
        let sorted = links(updated(&alike, both, true).unwrap().0);
        assert_eq!(sorted, ["b281b1be.0 -> One.pem", "b281b1be.1 -> Two.pem"]);
        assert!(updated(&alike, both, false).is_err());
        assert!(updated(&alike, "m/One.crt\n", false).is_ok());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let one = ("usr/share/ca-certificates/m/One.crt", T61);
        let folder = ("etc/ssl/certs/x", &b""[..]);
        let check = |files: &[(&str, &[u8])], links: &[(&str, &str)]| {
            let tree = image(&[files, &[one, folder]].concat(), links);
            updated(&tree, "m/One.crt\n", true).unwrap_err()
        };
        let certificate = |name| (name, T61);
        for (files, links, why) in [
            (
                vec![certificate("etc/ssl/certs/One.pem/x")],
                vec![],
                "is a directory",
            ),
            (
                vec![certificate("etc/ssl/certs/ca-certificates.crt/x")],
                vec![],
                "no regular file",
            ),
            (
                vec![certificate("etc/ssl/certs/b281b1be.0/x")],
                vec![],
                "is a directory",
            ),
            (
                vec![("etc/ssl/certs/key.pem", b"-----BEGIN PRIVATE KEY-----\n")],
                vec![],
                "else than",
            ),
            (
                vec![certificate("srv/own.pem")],
                vec![("etc/ssl/certs/own.pem", "/srv/own.pem")],
                "is not known",
            ),
            (
                vec![],
                vec![("etc/ssl/certs/B281B1BE.0", "One.pem")],
                "another way",
            ),
            (
                vec![],
                vec![("etc/ssl/certs/b281b1be.00", "One.pem")],
                "another way",
            ),
            (
                vec![],
                vec![("etc/ssl/certs/x.pem", "/proc/1/x")],
                "leads to",
            ),
            (
                vec![certificate("srv/x/x.crt")],
                vec![("usr/local/share/ca-certificates/x", "/srv/x")],
                "a link to a directory",
            ),
        ] {
            let found = check(&files, &links);
            assert!(found.contains(why), "{found}");
        }
    }
}
