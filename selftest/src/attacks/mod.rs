//! The attacks, one module for each way in.

mod abstract_socket;
mod capabilities;
mod cgroup;
mod commands;
mod console;
mod descriptors;
mod devices;
mod entering;
mod first_process;
mod host_root;
mod kernel_files;
mod kernel_links;
mod masked;
mod mount_target;
mod namespaces;
mod own_program;
mod procfs_write;
mod records;
mod sysctls;
mod system_calls;
mod users;
mod working_directory;

use crate::attack::Attack;

/// In the order of the table.
pub const ATTACKS: &[Attack] = &[
    own_program::OVERWRITE,
    own_program::FORBID,
    descriptors::LEAKED,
    descriptors::WORKING_DIRECTORY,
    working_directory::MADE,
    masked::LINK,
    masked::SWAPPED,
    console::LINK,
    console::SWAPPED,
    kernel_links::DEV,
    kernel_links::PROC,
    kernel_links::SYS,
    kernel_links::SWAPPED,
    procfs_write::LINK,
    procfs_write::SWAPPED,
    mount_target::SWAPPED,
    mount_target::MADE,
    capabilities::INHERITABLE,
    entering::LOOKED_INTO,
    first_process::TAKEN_OVER,
    users::NUMBERS,
    users::EXEC_USER,
    users::HOSTILE_PASSWD,
    commands::PIPE,
    sysctls::NAMES,
    sysctls::OF_THE_HOST,
    cgroup::RELEASE_AGENT,
    cgroup::LIMITS,
    cgroup::PATH,
    namespaces::NEW,
    namespaces::OF_THE_HOST,
    records::OF_THE_AGENT,
    host_root::THROUGH_PROC,
    host_root::BY_HANDLE,
    abstract_socket::REACHED,
    kernel_files::OF_AN_IMAGE,
    kernel_files::OF_A_TASK,
    devices::MADE,
    devices::OF_A_TASK,
    system_calls::FORBIDDEN,
    system_calls::OTHER_DOORS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn attacks_have_names_of_their_own() {
        let names: BTreeSet<_> = ATTACKS.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), ATTACKS.len());
        for attack in ATTACKS {
            let numbers = attack.cve.split(", ").filter(|number| !number.is_empty());
            assert!(
                numbers.clone().all(|number| number.starts_with("CVE-")),
                "{}",
                attack.cve
            );
            assert!(attack.tries.ends_with('.'), "{}", attack.tries);
        }
    }
}
