//! What a container's resources come to.

use std::collections::BTreeSet;

use oci_spec::runtime::LinuxResources;

use super::cgroup::Layout;
use super::devices::{self, Rule};
use super::hierarchy::{ControllerMount, Version};
use super::settings::{self, BadResources, Now, Setting};

#[derive(Debug, Default)]
pub struct Plan {
    pub(super) settings: Vec<Setting>,
    pub(super) devices: Option<Vec<Rule>>,
    program: Option<Vec<u64>>,
    /// v1: those that the container has a cgroup in.
    pub(super) hierarchies: Vec<ControllerMount>,
}

impl Plan {
    pub(super) fn of(
        resources: &LinuxResources,
        version: Version,
        now: &Now,
    ) -> Result<Self, BadResources> {
        let settings = settings::plan(resources, version, now)?;
        let devices = devices::rules(resources)?;
        let program = devices.as_deref().filter(|_| version == Version::V2);
        Ok(Self {
            settings,
            program: program.map(devices::compile),
            devices,
            hierarchies: Vec::new(),
        })
    }

    pub(super) fn choose(self, mounts: &[ControllerMount], layout: Layout) -> Self {
        let needed = self.controllers();
        let wanted = |mount: &&ControllerMount| {
            layout == Layout::Oci
                || mount.is_always_used()
                || needed.iter().any(|controller| mount.has(controller))
        };
        let hierarchies = mounts.iter().filter(wanted).cloned().collect();
        Self {
            hierarchies,
            ..self
        }
    }

    pub(super) fn controllers(&self) -> BTreeSet<&str> {
        let of_settings = self.settings.iter().map(|setting| &*setting.controller);
        let devices = self.devices.iter().map(|_| "devices");
        of_settings.chain(devices).collect()
    }

    /// v1: the hierarchies that the container has a cgroup in. Its first process enters them by as
    /// many files.
    pub fn hierarchies(&self) -> &[ControllerMount] {
        &self.hierarchies
    }

    /// v2: a program of type BPF_PROG_TYPE_CGROUP_DEVICE, as instructions, to be attached to the
    /// cgroup's directory. `None`: devices are not limited, or by v1's list.
    pub fn device_program(&self) -> Option<&[u64]> {
        self.program.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hierarchies(resources: Value, layout: Layout) -> Vec<String> {
        let mounts = [
            "cpu", "cpuacct", "memory", "pids", "cpuset", "devices", "freezer",
        ];
        let mounts = mounts.map(|controller| ControllerMount {
            controllers: vec![controller.to_owned()],
            path: controller.into(),
        });
        let resources = serde_json::from_value(resources).expect("resources");
        let plan = Plan::of(&resources, Version::V1, &Now::default()).expect("can be set");
        assert_eq!(plan.device_program(), None);
        let chosen = plan.choose(&mounts, layout);
        let chosen = chosen.hierarchies().iter();
        chosen.flat_map(|mount| mount.controllers.clone()).collect()
    }

    #[test]
    fn a_lean_cgroup_is_where_its_resources_need_it() {
        let always = ["cpu", "cpuacct", "memory", "pids"];
        let with = |more: &[&'static str]| [&always, more].concat();
        let table = [
            (json!({}), with(&[])),
            (json!({"cpu": {"cpus": "0"}}), with(&["cpuset"])),
            (
                json!({"devices": [{"allow": false, "access": "rwm"}]}),
                with(&["devices"]),
            ),
        ];
        for (resources, wanted) in table {
            assert_eq!(hierarchies(resources, Layout::Lean), wanted);
        }
        assert_eq!(
            hierarchies(json!({}), Layout::Oci),
            with(&["cpuset", "devices", "freezer"])
        );
    }

    #[test]
    fn on_v2_a_list_of_devices_is_a_program() {
        let asked = json!({"devices": [{"allow": false, "access": "rwm"}]});
        let resources = serde_json::from_value(asked).expect("resources");
        let plan = Plan::of(&resources, Version::V2, &Now::default()).expect("can be set");
        assert!(plan.device_program().is_some());
    }
}
