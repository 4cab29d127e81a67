//! How much memory the server may use: that of the machine, or of its control group, whichever is
//! less.

use std::fs;
use std::path::Path;

/// The default of [`Settings::cache_bytes_max`](super::Settings::cache_bytes_max): a sixteenth of
/// the memory, at least 16 MiB and at most 1 GiB. So a small machine or container spares little,
/// and a large one keeps the small files of most sites.
pub fn default_cache_bytes() -> u64 {
    let memory = rustix::system::sysinfo();
    // Its type differs between architectures.
    #[allow(clippy::useless_conversion)]
    let of_machine = u64::from(memory.totalram).saturating_mul(memory.mem_unit.into());
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_group = group_limit_bytes(Path::new("/sys/fs/cgroup"), &groups);
    cache_share_bytes(of_group.map_or(of_machine, |bytes| bytes.min(of_machine)))
}

fn cache_share_bytes(memory_bytes: u64) -> u64 {
    const MIB: u64 = 1024 * 1024;
    (memory_bytes / 16).clamp(16 * MIB, 1024 * MIB)
}

/// The least limit of the control group that `groups` names, and of those above it; None without a
/// limit. `groups` is the text of `/proc/self/cgroup`, and `hierarchies` the directory of cgroup
/// v2, which contains those of v1.
fn group_limit_bytes(hierarchies: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(":/")?;
        let (hierarchy, file) = match controllers {
            "" => (hierarchies.to_owned(), "memory.max"),
            "memory" => (hierarchies.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let directory = hierarchy.join(group);
        // A container may see the limit of its group at the top, and not the path of the group.
        let levels = directory.ancestors().take_while(|level| level.starts_with(&hierarchy));
        let limits = levels.map(|level| fs::read_to_string(level.join(file)));
        // Without a limit, the file contains "max", or in v1 a huge number.
        limits.filter_map(|limit| limit.ok()?.trim().parse().ok()).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_gets_a_sixteenth_within_bounds() {
        let mebibytes = [(128, 16), (1024, 64), (4096, 256), (65_536, 1024)];
        for (memory, cache) in mebibytes {
            assert_eq!(cache_share_bytes(memory << 20), cache << 20, "of {memory} MiB");
        }
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_counts() {
        let directory = tempfile::tempdir().expect("the directory is created");
        let hierarchies = directory.path();
        fs::create_dir_all(hierarchies.join("a/b")).expect("the directories are created");
        fs::create_dir_all(hierarchies.join("memory/c")).expect("the directories are created");
        let limit_of = |groups: &str| group_limit_bytes(hierarchies, groups);
        let groups = "4:memory:/c\n1:cpu:/a\n0::/a/b\n";
        assert_eq!(limit_of(groups), None);
        for (file, limit, expected) in [
            ("a/b/memory.max", "max\n", None),
            ("a/memory.max", "4000\n", Some(4000)),
            ("a/b/memory.max", "3000\n", Some(3000)),
            ("memory/c/memory.limit_in_bytes", "9223372036854771712\n", Some(3000)),
            ("memory.max", "2000\n", Some(2000)),
            ("memory/memory.limit_in_bytes", "1000\n", Some(1000)),
        ] {
            fs::write(hierarchies.join(file), limit).expect("the file is written");
            assert_eq!(limit_of(groups), expected, "{file}");
        }
        assert_eq!(limit_of("0::/a/b"), Some(2000));
        assert_eq!(limit_of("4:memory:/not/visible/in/this/container"), Some(1000));
        assert_eq!(limit_of("1:cpu:/a"), None);
    }
}
