//! A named network of a node, whose plugin keeps a file for each container that it has connected.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Below the node's directory: what plugins have, by container.
pub const HELD: &str = "cni/held";

/// Of the agent.
pub fn describe(node: &Path) -> anyhow::Result<[String; 2]> {
    let place = node.join("cni");
    for name in ["conf", "bin", "held"] {
        fs::create_dir_all(place.join(name))?;
    }
    let held = node.join(HELD).join("$CNI_CONTAINERID");
    let held = held.display();
    let result = r#"{"cniVersion": "1.0.0", "ips": [{"address": "10.9.0.2/24"}]}"#;
    let script = format!(
        "#!/bin/sh\ncat > /dev/null\ncase $CNI_COMMAND in\nADD) touch \"{held}\"; echo '{result}' ;;\n\
         DEL) rm -f \"{held}\" ;;\nesac\n"
    );
    let plugin = place.join("bin/keeps");
    fs::write(&plugin, script)?;
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
    let network = r#"{"cniVersion": "1.0.0", "name": "blue", "type": "keeps"}"#;
    fs::write(place.join("conf/blue.conf"), network)?;
    let place = place.display();
    Ok([
        format!("--network_cni_config_dir={place}/conf"),
        format!("--network_cni_plugins_dir={place}/bin"),
    ])
}
