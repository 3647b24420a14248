//! Limits that the control groups of this process set, in both versions of them.

use std::fs;
use std::path::{Path, PathBuf};

/// Reads a limit from the files of a group; none where it sets none.
pub(super) type Read = fn(&Path) -> Option<f64>;

/// The least that `controller` allows this process, as the groups of version 2 or version 1 have it; none where nothing
/// limits it.
pub(super) fn least(controller: &str, v2: Read, v1: Read) -> Option<f64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let tree = Path::new("/sys/fs/cgroup");
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            along(tree, path, v2)
        } else if controllers.split(',').any(|name| name == controller) {
            along(&tree.join(controller), path, v1).or_else(|| along(&tree.join(controllers), path, v1))
        } else {
            None
        }
    });
    limits.reduce(f64::min)
}

/// The smallest limit from the group at `path` up to the root. Inside a container the path may not exist below its
/// own mount of the tree; then only the root is looked at.
fn along(root: &Path, path: &str, read: Read) -> Option<f64> {
    let mut at: PathBuf = root.join(path.trim_start_matches('/'));
    let mut least: Option<f64> = None;
    loop {
        if let Some(limit) = read(&at) {
            least = Some(least.map_or(limit, |least| least.min(limit)));
        }
        if at == root || !at.pop() {
            return least;
        }
    }
}
