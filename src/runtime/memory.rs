//! How much memory this process may still take.

use std::path::{Path, PathBuf};

/// Bytes of memory that this process may still take: what the system has free or can free, within the
/// limits of its control groups. `None` where the system does not tell (only Linux does).
pub fn available_memory() -> Option<u64> {
    let system = read(Path::new("/proc/meminfo")).and_then(|text| field(&text, "MemAvailable:"));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = group_folders(&groups).into_iter().filter_map(|folder| left_in(&folder));
    limits.chain(system.map(|kibibytes| kibibytes.saturating_mul(1024))).min()
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The number after `name` in lines of names and numbers.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The folders in which the limits of the groups of `/proc/self/cgroup` may stand, with those of the
/// groups above, whose limits hold, too.
fn group_folders(groups: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(kinds), Some(group)) = (parts.next(), parts.next()) else { continue };
        let root = match kinds {
            "" => Path::new("/sys/fs/cgroup"),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                Path::new("/sys/fs/cgroup/memory")
            }
            _ => continue,
        };
        let below = Path::new(group.trim_start_matches('/'));
        // In a container the group's own path may not be there, but its root is.
        folders.extend(below.ancestors().map(|group| root.join(group)));
    }
    folders
}

/// What a group leaves of its limit, if it has one. Pages of files count as used, but the system
/// takes those that are not in use back when memory is short.
fn left_in(folder: &Path) -> Option<u64> {
    let number = |name: &str| read(&folder.join(name))?.trim().parse::<u64>().ok();
    let names = [
        ("memory.max", "memory.current", "inactive_file "),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
    ];
    names.into_iter().find_map(|(limit, used, files)| {
        let (limit, used) = (number(limit)?, number(used)?);
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let files = field(&stat, files).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(files)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   22000000 kB\n";
        assert_eq!(field(text, "MemAvailable:"), Some(22_000_000));
        let folders = |text: &str| -> Vec<String> {
            let folders = group_folders(text).into_iter();
            folders.map(|f| f.to_string_lossy().trim_end_matches('/').to_owned()).collect()
        };
        assert_eq!(
            folders("0::/a/b\n"),
            ["/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup"]
        );
        assert_eq!(
            folders("5:cpu:/x\n4:memory:/x\n"),
            ["/sys/fs/cgroup/memory/x", "/sys/fs/cgroup/memory"]
        );
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "700\n");
        assert_eq!(left_in(folder.path()), None);
        write("memory.max", "1000\n");
        write("memory.stat", "anon 500\ninactive_file 200\n");
        assert_eq!(left_in(folder.path()), Some(500));
        assert!(!cfg!(target_os = "linux") || available_memory().is_some_and(|bytes| bytes > 0));
    }
}
