//! The names of a simulated disk, in memory and on the medium.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};

use everjet_values::SeededEntropy;

use super::content::{Content, roll};

/// A file or directory, whatever its name.
pub(super) type NodeId = u64;
const ROOT: NodeId = 0;

type Names = BTreeMap<String, NodeId>;
type Place = (NodeId, String);

#[derive(Clone, Debug)]
enum Node {
    File(Content),
    Dir { current: Names, durable: Names },
}

/// A change of names that no directory sync has covered yet.
#[derive(Clone, Debug)]
enum NameChange {
    Link { to: Place, id: NodeId },
    Unlink { from: Place },
    Rename { from: Place, to: Place, id: NodeId },
}

/// Files and directories.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    nodes: BTreeMap<NodeId, Node>,
    next_id: NodeId,
    pending: Vec<NameChange>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Node::Dir {
            current: Names::new(),
            durable: Names::new(),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next_id: ROOT + 1,
            pending: Vec::new(),
        }
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<NodeId> {
        let to = self.place(path)?;
        if self.names(to.0)?.contains_key(&to.1) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.add(Node::File(Content::default()));
        self.change(NameChange::Link { to, id });
        Ok(id)
    }

    /// Creates what is missing of `path` and, when `durable`, makes every name on it durable.
    pub(super) fn create_dir_all(&mut self, path: &Path, durable: bool) -> io::Result<()> {
        let mut dir = ROOT;
        for name in components(path)? {
            let next = match self.names(dir)?.get(&name) {
                Some(id) => *id,
                None => {
                    let id = self.add(Node::Dir {
                        current: Names::new(),
                        durable: Names::new(),
                    });
                    self.change(NameChange::Link {
                        to: (dir, name.clone()),
                        id,
                    });
                    id
                }
            };
            self.names(next)?;
            if durable {
                // What happened to the name before comes first: no file system undoes a creation by an older removal.
                self.flush(|change| match change {
                    NameChange::Link { id, .. } => *id == next,
                    NameChange::Unlink { from } => *from == (dir, name.clone()),
                    NameChange::Rename { .. } => false,
                });
            }
            dir = next;
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.find(from)?;
        let from = self.place(from)?;
        let to = self.place(to)?;
        if let Some(target) = self.names(to.0)?.get(&to.1)
            && matches!(self.nodes.get(target), Some(Node::Dir { .. }))
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(NameChange::Rename { from, to, id });
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path, directory: bool) -> io::Result<()> {
        let id = self.find(path)?;
        if matches!(self.nodes.get(&id), Some(Node::Dir { .. })) != directory {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let from = self.place(path)?;
        self.change(NameChange::Unlink { from });
        Ok(())
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.find(path)?;
        self.names(dir)?;
        self.flush(|change| match change {
            NameChange::Link { to, .. } => to.0 == dir,
            NameChange::Unlink { from } => from.0 == dir,
            NameChange::Rename { from, to, .. } => from.0 == dir || to.0 == dir,
        });
        Ok(())
    }

    /// The tree after a power cut, see [`super::SimDisk::crash`].
    pub(super) fn after_power_cut(&self, dice: &SeededEntropy, odds: u64) -> Self {
        let mut after = self.clone();
        for change in std::mem::take(&mut after.pending) {
            if roll(dice, odds) {
                after.make_durable(&change);
            }
        }
        let mut reachable = BTreeSet::from([ROOT]);
        let mut queue = vec![ROOT];
        while let Some(id) = queue.pop() {
            if let Some(Node::Dir { durable, .. }) = after.nodes.get(&id) {
                queue.extend(durable.values().filter(|child| reachable.insert(**child)));
            }
        }
        after.nodes.retain(|id, _| reachable.contains(id));
        for node in after.nodes.values_mut() {
            match node {
                Node::File(content) => *content = content.after_power_cut(dice, odds),
                Node::Dir { current, durable } => current.clone_from(durable),
            }
        }
        after
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut id = ROOT;
        for name in components(path)? {
            id = *self.names(id)?.get(&name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(id)
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<NodeId> {
        let id = self.find(path)?;
        match self.nodes.get(&id) {
            Some(Node::File(_)) => Ok(id),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Names in a directory and whether each is a directory, sorted.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let names = self.names(self.find(path)?)?;
        let is_dir = |id| matches!(self.nodes.get(id), Some(Node::Dir { .. }));
        Ok(names
            .iter()
            .map(|(name, id)| (name.clone(), is_dir(id)))
            .collect())
    }

    pub(super) fn content(&self, id: NodeId) -> io::Result<&Content> {
        match self.nodes.get(&id) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn content_mut(&mut self, id: NodeId) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Every file below the root.
    pub(super) fn files(&self) -> Vec<(PathBuf, NodeId)> {
        let mut files = Vec::new();
        let mut queue = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = queue.pop() {
            match self.nodes.get(&id) {
                Some(Node::Dir { current, .. }) => {
                    queue.extend(current.iter().map(|(name, id)| (path.join(name), *id)));
                }
                Some(Node::File(_)) => files.push((path, id)),
                None => {}
            }
        }
        files.sort();
        files
    }

    /// Bytes of all files that have a name.
    pub(super) fn used(&self) -> u64 {
        let length = |id| self.content(id).map_or(0, Content::len) as u64;
        self.files().into_iter().map(|(_, id)| length(id)).sum()
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = self.next_id;
        self.next_id += 1;
        self.nodes.insert(id, node);
        id
    }

    fn change(&mut self, change: NameChange) {
        self.apply(&change, false);
        self.pending.push(change);
    }

    fn flush(&mut self, covered: impl Fn(&NameChange) -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if covered(&change) {
                self.make_durable(&change);
            } else {
                self.pending.push(change);
            }
        }
    }

    fn make_durable(&mut self, change: &NameChange) {
        self.apply(change, true);
    }

    fn apply(&mut self, change: &NameChange, durable: bool) {
        match change {
            NameChange::Link { to, id } => self.insert(to, *id, durable),
            NameChange::Unlink { from } => {
                if let Some(names) = self.names_mut(from.0, durable) {
                    names.remove(&from.1);
                }
            }
            NameChange::Rename { to, id, .. } => {
                // Whatever name the file has on the medium, afterwards it has only this one: renames are atomic.
                for node in self.nodes.values_mut() {
                    if let Node::Dir {
                        current,
                        durable: lasting,
                    } = node
                    {
                        let names = if durable { lasting } else { current };
                        names.retain(|_, named| named != id);
                    }
                }
                self.insert(to, *id, durable);
            }
        }
    }

    fn insert(&mut self, to: &Place, id: NodeId, durable: bool) {
        if let Some(names) = self.names_mut(to.0, durable) {
            names.insert(to.1.clone(), id);
        }
    }

    fn names(&self, dir: NodeId) -> io::Result<&Names> {
        match self.nodes.get(&dir) {
            Some(Node::Dir { current, .. }) => Ok(current),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn names_mut(&mut self, dir: NodeId, lasting: bool) -> Option<&mut Names> {
        match self.nodes.get_mut(&dir) {
            Some(Node::Dir { current, durable }) => Some(if lasting { durable } else { current }),
            _ => None,
        }
    }

    /// The directory of `path` and the name in it.
    fn place(&self, path: &Path) -> io::Result<Place> {
        let mut names = components(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let mut dir = ROOT;
        for parent in names {
            dir = *self
                .names(dir)?
                .get(&parent)
                .ok_or(io::ErrorKind::NotFound)?;
        }
        self.names(dir)?;
        Ok((dir, name))
    }
}

fn components(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned());
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(names)
}
