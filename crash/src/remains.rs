//! What an agent and its tasks leave behind on a node.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use crate::node::{Node, directories, longshore};
use crate::plugin::HELD;

impl Node {
    /// `longshore audit`, of which nothing may come.
    pub async fn audit(&self) -> anyhow::Result<()> {
        let output = Command::new(longshore()?)
            .args(["audit", "--json"])
            .args(self.arguments())
            .stdin(Stdio::null())
            .output()
            .await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("the audit says {text} {:?}", output.stderr))?;
        let differences = said["differences"].as_array().cloned().unwrap_or_default();
        // Ports of this host are those of others, too.
        let differences: Vec<_> = (differences.iter())
            .filter(|difference| difference["kind"] != "port")
            .collect();
        ensure!(differences.is_empty(), "an audit finds {differences:#?}");
        Ok(())
    }

    /// Of a node whose agent has been stopped and that has no task.
    pub fn nothing_left(&self) -> anyhow::Result<()> {
        let root = self.cgroups_root();
        let top = Path::new("/sys/fs/cgroup");
        let mut hierarchies = directories(top, 1).chain([top.to_owned()]);
        if let Some(left) = hierarchies.find(|it| it.join(root).exists()) {
            bail!("{root} is left in {}", left.display());
        }
        let place = self.path("").to_string_lossy().into_owned();
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        if let Some(mount) = mounts.lines().find(|line| line.contains(&place)) {
            bail!("a mount is left: {mount}");
        }
        for process in directories(Path::new("/proc"), 1) {
            let text = fs::read(process.join("cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).replace('\0', " ");
            let at = fs::read_link(process.join("cwd")).unwrap_or_default();
            if text.contains(&place) || at.starts_with(&place) {
                bail!("process {} is left: {text}", process.display());
            }
        }
        for (place, what) in [
            ("run/containers", "records of containers"),
            ("run/network", "leases"),
            ("run/isolators/network/cni", "records of named networks"),
        ] {
            let left = directories(&self.path(place), 1).count();
            ensure!(left == 0, "{left} {what} are left");
        }
        let held = fs::read_dir(self.path(HELD))?.count();
        ensure!(held == 0, "a plugin has still {held} containers");
        Ok(())
    }
}
