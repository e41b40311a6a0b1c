//! How an image runs, as its builder said. Pure.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::digest::Digest;
use crate::json::{self, BadJson};

/// Longest list of any kind in it.
const MOST: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImageConfig {
    pub os: String,
    pub architecture: String,
    /// Of the layers as they are unpacked, the lowest first.
    pub diff_ids: Vec<Digest>,
    pub runtime: Runtime,
}

/// What a task gets from its image.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Runtime {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Absolute, without `..`.
    pub working_dir: Option<PathBuf>,
    pub user: Option<UserName>,
    /// Absolute, without `..`.
    pub volumes: Vec<PathBuf>,
    pub exposed_ports: Vec<Port>,
    /// As the builder wrote it.
    pub stop_signal: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Port {
    pub number: u16,
    pub protocol: String,
}

/// `user[:group]`; each a number or a name of the image's own files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UserName {
    pub user: String,
    pub group: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    #[error("the image's configuration cannot be read")]
    Json(#[from] BadJson),
    #[error("the image is for {0:?}, and containers here are Linux'")]
    System(String),
    #[error("the image is for {there}, and this machine is {here}")]
    Machine { there: String, here: String },
    #[error("the image's configuration tells of {told} layers, and its manifest of {there}")]
    Layers { told: usize, there: usize },
    #[error("the image's root file system is of the kind {0:?}, which is not known")]
    Kind(String),
    #[error("the image's configuration has {0} entries in a list, and may have {MOST}")]
    TooMany(usize),
    #[error("the image's variable {0:?} has no name and value")]
    Variable(String),
    #[error("the image's USER {0:?} is none: an id must be a number below 4294967295")]
    User(String),
    #[error("the image's EXPOSE {0:?} is no port")]
    Port(String),
    #[error("the image's {what} {path:?} is no path")]
    Path { what: &'static str, path: String },
    #[error("the image's {0} has a NUL byte, which no program can be given")]
    Nul(&'static str),
}

#[derive(serde::Deserialize)]
struct Written {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    rootfs: Option<WrittenRootfs>,
    config: Option<WrittenRuntime>,
}

#[derive(serde::Deserialize)]
struct WrittenRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Option<Vec<Digest>>,
}

type Set = Option<BTreeMap<String, serde_json::Value>>;

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WrittenRuntime {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    volumes: Set,
    exposed_ports: Set,
    stop_signal: Option<String>,
}

impl ImageConfig {
    /// `layers`: how many the manifest has. `architecture`: of this machine, in the words of Go.
    pub fn parse(text: &[u8], layers: usize, architecture: &str) -> Result<ImageConfig, BadConfig> {
        let written: Written = json::parse(text)?;
        if !matches!(written.os.as_str(), "linux" | "") {
            return Err(BadConfig::System(written.os));
        }
        if !written.architecture.is_empty() && written.architecture != architecture {
            return Err(BadConfig::Machine {
                there: written.architecture,
                here: architecture.to_owned(),
            });
        }
        let rootfs = written.rootfs.unwrap_or(WrittenRootfs {
            kind: "layers".to_owned(),
            diff_ids: None,
        });
        if rootfs.kind != "layers" {
            return Err(BadConfig::Kind(rootfs.kind));
        }
        let diff_ids = rootfs.diff_ids.unwrap_or_default();
        if diff_ids.len() != layers {
            return Err(BadConfig::Layers {
                told: diff_ids.len(),
                there: layers,
            });
        }
        Ok(ImageConfig {
            os: written.os,
            architecture: written.architecture,
            diff_ids,
            runtime: Runtime::of(written.config.unwrap_or_default())?,
        })
    }
}

impl Runtime {
    fn of(written: WrittenRuntime) -> Result<Runtime, BadConfig> {
        let entrypoint = bounded("ENTRYPOINT", written.entrypoint)?;
        let cmd = bounded("CMD", written.cmd)?;
        let env = bounded("ENV", written.env)?;
        let volumes = written.volumes.unwrap_or_default();
        let ports = written.exposed_ports.unwrap_or_default();
        if let Some(many) = [volumes.len(), ports.len()]
            .into_iter()
            .find(|it| *it > MOST)
        {
            return Err(BadConfig::TooMany(many));
        }
        let set = |text: Option<String>| text.filter(|text| !text.is_empty());
        let working_dir = set(written.working_dir).map(|path| absolute("WORKDIR", &path));
        let user = set(written.user).map(|user| user.parse());
        let volumes = volumes.keys().map(|path| absolute("VOLUME", path));
        Ok(Runtime {
            entrypoint,
            cmd,
            env: env.into_iter().map(variable).collect::<Result<_, _>>()?,
            working_dir: working_dir.transpose()?,
            user: user.transpose()?,
            volumes: volumes.collect::<Result<_, _>>()?,
            exposed_ports: ports.keys().map(|it| port(it)).collect::<Result<_, _>>()?,
            stop_signal: set(written.stop_signal),
        })
    }
}

fn bounded(what: &'static str, list: Option<Vec<String>>) -> Result<Vec<String>, BadConfig> {
    let list = list.unwrap_or_default();
    match list.len() {
        many if many > MOST => Err(BadConfig::TooMany(many)),
        _ if list.iter().any(|text| text.contains('\0')) => Err(BadConfig::Nul(what)),
        _ => Ok(list),
    }
}

fn variable(text: String) -> Result<(String, String), BadConfig> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(BadConfig::Variable(text)),
    }
}

/// As `cd` would without any link: the container's own links are followed inside it.
fn absolute(what: &'static str, text: &str) -> Result<PathBuf, BadConfig> {
    if text.contains('\0') || text.len() > 4095 {
        let path = text.chars().take(100).collect();
        return Err(BadConfig::Path { what, path });
    }
    let mut path = PathBuf::from("/");
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(path)
}

fn port(text: &str) -> Result<Port, BadConfig> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = number.parse().ok().filter(|number| *number != 0);
    match (number, protocol) {
        (Some(number), "tcp" | "udp" | "sctp") => Ok(Port {
            number,
            protocol: protocol.to_owned(),
        }),
        _ => Err(BadConfig::Port(text.to_owned())),
    }
}

impl std::str::FromStr for UserName {
    type Err = BadConfig;

    fn from_str(text: &str) -> Result<UserName, BadConfig> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let bad = || BadConfig::User(text.to_owned());
        let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        let fits = |it: &str| it.parse::<u32>().is_ok_and(|id| id != u32::MAX);
        for part in [Some(user), group].into_iter().flatten() {
            let odd = |c: char| c.is_control() || matches!(c, ':' | '/' | ' ');
            let signed = part.starts_with(['+', '-']);
            let beyond = is_number(part) && !fits(part);
            if part.is_empty() || part.contains(odd) || signed || beyond || part.len() > 256 {
                return Err(bad());
            }
        }
        Ok(UserName {
            user: user.to_owned(),
            group: group.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(config: Value) -> Result<Runtime, BadConfig> {
        let image = json!({
            "os": "linux", "architecture": "amd64", "config": config,
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        Ok(ImageConfig::parse(image.to_string().as_bytes(), 0, "amd64")?.runtime)
    }

    #[test]
    fn what_a_builder_said_is_what_a_task_gets() {
        let runtime = parsed(json!({
            "Entrypoint": ["/run"], "Cmd": null, "Env": ["PATH=/bin", "A=b=c", "E="],
            "WorkingDir": "srv//./app/../x", "User": "app:www", "Volumes": {"/data": {}, "/../y": {}},
            "ExposedPorts": {"80": {}, "53/udp": {}}, "StopSignal": "SIGQUIT",
            "Healthcheck": {"Test": ["CMD", "x"]}, "OnBuild": null,
        }));
        let runtime = runtime.unwrap();
        assert_eq!(runtime.entrypoint, ["/run"]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            runtime.env,
            [pair("PATH", "/bin"), pair("A", "b=c"), pair("E", "")]
        );
        assert_eq!(runtime.working_dir, Some("/srv/x".into()));
        assert_eq!(runtime.volumes, [Path::new("/y"), Path::new("/data")]);
        let ports: Vec<_> = runtime.exposed_ports.iter().map(|it| it.number).collect();
        assert_eq!(ports, [53, 80]);
        let user = runtime.user.unwrap();
        assert_eq!(
            (user.user.as_str(), user.group.as_deref()),
            ("app", Some("www"))
        );
        assert_eq!(parsed(Value::Null).unwrap(), Runtime::default());
        assert_eq!(
            parsed(json!({"User": "", "WorkingDir": ""})).unwrap(),
            Runtime::default()
        );
    }

    #[test]
    fn what_no_program_could_be_given_is_refused() {
        for config in [
            json!({"User": "4294967295"}),
            json!({"User": "4294967296"}),
            json!({"User": "99999999999999999999:0"}),
            json!({"User": "-1"}),
            json!({"User": "a:b:c"}),
            json!({"User": ":0"}),
            json!({"User": "a\nroot"}),
            json!({"Env": ["=x"]}),
            json!({"Env": ["x"]}),
            json!({"Env": ["a=\0"]}),
            json!({"Cmd": ["\0"]}),
            json!({"Cmd": vec!["x"; MOST + 1]}),
            json!({"WorkingDir": "a\0b"}),
            json!({"WorkingDir": "x".repeat(5000)}),
            json!({"ExposedPorts": {"0/tcp": {}}}),
            json!({"ExposedPorts": {"80/x": {}}}),
            json!({"Entrypoint": [1]}),
        ] {
            assert!(parsed(config.clone()).is_err(), "{config}");
        }
    }

    #[test]
    fn an_image_of_another_kind_or_with_other_layers_than_it_says_is_refused() {
        let image = |change: fn(&mut Value)| {
            let mut image = json!({
                "os": "linux", "architecture": "amd64",
                "rootfs": {"type": "layers", "diff_ids": [Digest::of(b"x").as_str()]},
            });
            change(&mut image);
            ImageConfig::parse(image.to_string().as_bytes(), 1, "amd64")
        };
        assert!(image(|_| {}).is_ok());
        assert!(matches!(
            image(|it| it["os"] = json!("windows")),
            Err(BadConfig::System(_))
        ));
        assert!(matches!(
            image(|it| it["architecture"] = json!("arm")),
            Err(BadConfig::Machine { .. })
        ));
        assert!(matches!(
            image(|it| it["rootfs"]["diff_ids"] = json!([])),
            Err(BadConfig::Layers { .. })
        ));
        assert!(matches!(
            image(|it| it["rootfs"]["type"] = json!("x")),
            Err(BadConfig::Kind(_))
        ));
        assert!(matches!(
            image(|it| it["rootfs"]["diff_ids"] = json!(["x"])),
            Err(BadConfig::Json(_))
        ));
    }
}
