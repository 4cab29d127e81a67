//! The memory available to the server: that of the machine, or the limit of its cgroup if that is
//! lower.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// The default of [`Settings::cache_bytes_max`](super::Settings::cache_bytes_max): a sixteenth of
/// the memory, at least 16 MiB and at most 1 GiB. A small machine or container thus gives up little
/// memory, and a large one keeps the small files of most sites.
pub fn default_cache_bytes() -> u64 {
    // The options and the settings both ask for it at every start.
    static DEFAULT: LazyLock<u64> = LazyLock::new(|| cache_share_bytes(available_bytes()));
    *DEFAULT
}

fn available_bytes() -> u64 {
    let of_machine = machine_memory_bytes();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_cgroup = cgroup_limit_bytes(Path::new("/sys/fs/cgroup"), &groups);
    of_cgroup.map_or(of_machine, |bytes| bytes.min(of_machine))
}

/// The memory of the machine, without what the kernel has reserved at the start.
pub fn machine_memory_bytes() -> u64 {
    let memory = rustix::system::sysinfo();
    // Its type differs between architectures.
    #[allow(clippy::useless_conversion)]
    u64::from(memory.totalram).saturating_mul(memory.mem_unit.into())
}

fn cache_share_bytes(memory_bytes: u64) -> u64 {
    const MIB: u64 = 1024 * 1024;
    (memory_bytes / 16).clamp(16 * MIB, 1024 * MIB)
}

/// The lowest memory limit of the cgroups in `groups`, the text of `/proc/self/cgroup`, and of
/// their ancestors; None without a limit. `mount` is `/sys/fs/cgroup`: the hierarchy of v2, or a
/// directory with a hierarchy for each controller of v1.
fn cgroup_limit_bytes(mount: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(":/")?;
        let (hierarchy, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (mount.join(controllers), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let directory = hierarchy.join(group);
        // A container without a cgroup namespace reads the path of the host here, but sees only its
        // own cgroup, whose limit is at the root of the mount.
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
    fn the_lowest_limit_of_the_cgroup_and_its_ancestors_counts() {
        let directory = tempfile::tempdir().expect("the directory is created");
        let mount = directory.path();
        fs::create_dir_all(mount.join("a/b")).expect("the directories are created");
        fs::create_dir_all(mount.join("cpu,memory/c")).expect("the directories are created");
        let limit_of = |groups: &str| cgroup_limit_bytes(mount, groups);
        let groups = "4:cpu,memory:/c\n1:cpuset:/a\n0::/a/b\n";
        assert_eq!(limit_of(groups), None);
        for (file, limit, expected) in [
            ("a/b/memory.max", "max\n", None),
            ("a/memory.max", "4000\n", Some(4000)),
            ("a/b/memory.max", "3000\n", Some(3000)),
            ("cpu,memory/c/memory.limit_in_bytes", "9223372036854771712\n", Some(3000)),
            ("memory.max", "2000\n", Some(2000)),
            ("cpu,memory/memory.limit_in_bytes", "1000\n", Some(1000)),
        ] {
            fs::write(mount.join(file), limit).expect("the file is written");
            assert_eq!(limit_of(groups), expected, "{file}");
        }
        assert_eq!(limit_of("0::/a/b"), Some(2000));
        assert_eq!(limit_of("4:cpu,memory:/not/visible/in/this/container"), Some(1000));
        assert_eq!(limit_of("1:cpuset:/a"), None);
    }
}
