//! How much memory is left: what a plan is held to before it takes any.

use std::path::Path;

/// Bytes that this process can still take without swapping: what the system has available, and what
/// the process's control group (a container) leaves of its limit. `None` where the system does not
/// tell (it is Linux that does).
pub fn available_memory() -> Option<u64> {
    let system = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo(&text));
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = left_in_groups(Path::new("/sys/fs/cgroup"), &groups);
    [system, left, limit_of_addresses()].into_iter().flatten().min()
}

/// What a limit on the process's addresses (`ulimit -v`) leaves.
fn limit_of_addresses() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let used = pages.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(PAGE)?;
    Some(limit.saturating_sub(used))
}

/// Bytes of a page in `/proc/self/statm`; where pages are larger, too much seems to be left.
const PAGE: u64 = 4096;

fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least that any of the process's control groups (`groups`, as `/proc/self/cgroup` has them) and
/// the groups above it leave. Pages of files that the kernel can drop count as left.
fn left_in_groups(root: &Path, groups: &str) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (root, names) = match controllers {
            "" => (root.to_owned(), ["memory.max", "memory.current", "inactive_file"]),
            list if list.split(',').any(|name| name == "memory") => (
                root.join("memory"),
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            _ => continue,
        };
        let inside = root.join(path.trim_start_matches('/'));
        // In a container the path may be that of the host; then the root is the group itself.
        for group in inside.ancestors().take_while(|group| group.starts_with(&root)) {
            let left = left(group, names);
            least = [least, left].into_iter().flatten().min();
        }
    }
    least
}

fn left(group: &Path, [limit, usage, cache]: [&str; 3]) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| -> Option<u64> { read(name)?.trim().parse().ok() };
    let (limit, used) = (number(limit)?, number(usage)?);
    let statistics = read("memory.stat").unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok());
    Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(meminfo("MemTotal:  9 kB\nMemAvailable:   12 kB\n"), Some(12 * 1024));
        assert_eq!(meminfo("MemTotal:  9 kB\n"), None);
        if cfg!(target_os = "linux") {
            assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
        }
    }

    #[test]
    fn the_narrowest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let left = |groups: &str| left_in_groups(root.path(), groups);
        assert_eq!(left("0::/a/b\n"), None);
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "5\n");
        assert_eq!(left("0::/a/b\n"), None);
        write("a/memory.max", "1000\n");
        write("a/memory.current", "700\n");
        write("a/memory.stat", "anon 500\ninactive_file 200\n");
        assert_eq!(left("0::/a/b\n"), Some(500));
        write("memory/memory.limit_in_bytes", "900\n");
        write("memory/memory.usage_in_bytes", "650\n");
        assert_eq!(left("3:cpu:/x\n2:memory:/docker/x\n0::/a/b\n"), Some(250));
        assert_eq!(left("nonsense"), None);
    }
}
