//! The options of `docker run` that a task may name as parameters. Pure.

mod values;

use std::collections::BTreeMap;

use engine::{Create, DeviceRequest, Empty, Endpoint, LogConfig, PortBinding};
use proto::v1::Parameter;

use values::{device, is_true, mount, port, size, ulimit};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParameter {
    #[error(
        "the docker parameter {0:?} is no option of a container that this agent can pass on to its engine: \
         leave it out"
    )]
    Unknown(String),
    #[error("the docker parameter {key:?} is not for tasks: {why}")]
    Forbidden { key: String, why: &'static str },
    #[error("the docker parameter {key:?} is {value:?}: it must be {wanted}")]
    Value {
        key: String,
        value: String,
        wanted: &'static str,
    },
}

/// What an option does. Errors: what its value must be.
type Apply = fn(&mut Create, &str) -> Result<(), &'static str>;

enum Meaning {
    Does(Apply),
    Forbidden(&'static str),
    /// Only this is how it is.
    Only(&'static str),
}

use Meaning::{Does, Forbidden, Only};

#[rustfmt::skip] // An option and its meaning share a row.
const OPTIONS: &[(&str, Meaning)] = &[
    ("add-host", Does(|it, value| push(&mut it.host_config.extra_hosts, with(value, ':', "name:address")?))),
    ("blkio-weight", Does(|it, value| set(&mut it.host_config.resources.blkio_weight, value, "a number"))),
    ("cap-add", Does(|it, value| push(&mut it.host_config.cap_add, value))),
    ("cap-drop", Does(|it, value| push(&mut it.host_config.cap_drop, value))),
    ("cgroup-parent", Does(|it, value| text(&mut it.host_config.cgroup_parent, value))),
    ("cpu-period", Does(|it, value| set(&mut it.host_config.resources.cpu_period, value, "microseconds"))),
    ("cpu-quota", Does(|it, value| set(&mut it.host_config.resources.cpu_quota, value, "microseconds"))),
    ("cpu-shares", Does(|it, value| set(&mut it.host_config.resources.cpu_shares, value, "a number"))),
    ("cpus", Does(cpus)),
    ("cpuset-cpus", Does(|it, value| text(&mut it.host_config.cpuset_cpus, value))),
    ("cpuset-mems", Does(|it, value| text(&mut it.host_config.cpuset_mems, value))),
    ("detach", Only("true")),
    ("device", Does(|it, value| push(&mut it.host_config.devices, device(value)?))),
    ("device-cgroup-rule", Does(|it, value| push(&mut it.host_config.device_cgroup_rules, value))),
    ("dns", Does(|it, value| push(&mut it.host_config.dns, value))),
    ("dns-opt", Does(|it, value| push(&mut it.host_config.dns_options, value))),
    ("dns-option", Does(|it, value| push(&mut it.host_config.dns_options, value))),
    ("dns-search", Does(|it, value| push(&mut it.host_config.dns_search, value))),
    ("entrypoint", Does(|it, value| some(&mut it.entrypoint, words(value)))),
    ("env", Does(|it, value| push(&mut it.env, with(value, '=', "NAME=value")?))),
    ("expose", Does(expose)),
    ("gpus", Does(gpus)),
    ("group-add", Does(|it, value| push(&mut it.host_config.group_add, value))),
    ("hostname", Does(|it, value| text(&mut it.hostname, value))),
    ("init", Does(|it, value| some(&mut it.host_config.init, is_true(value)?))),
    ("ip", Does(|it, value| text(&mut endpoint(it).addresses.v4, value))),
    ("ip6", Does(|it, value| text(&mut endpoint(it).addresses.v6, value))),
    ("ipc", Does(|it, value| text(&mut it.host_config.ipc_mode, value))),
    ("label", Does(|it, value| pair(&mut it.labels, value))),
    ("log-driver", Does(|it, value| text(&mut log(it).driver, value))),
    ("log-opt", Does(|it, value| pair(&mut log(it).config, with(value, '=', "name=value")?))),
    ("memory", Does(|it, value| some(&mut it.host_config.resources.memory, size(value)?))),
    ("memory-reservation", Does(|it, value| some(&mut it.host_config.resources.memory_reservation, size(value)?))),
    ("memory-swap", Does(|it, value| some(&mut it.host_config.resources.memory_swap, size(value)?))),
    ("memory-swappiness", Does(|it, value| set(&mut it.host_config.resources.memory_swappiness, value, "0 to 100"))),
    ("mount", Does(|it, value| push(&mut it.host_config.mounts, mount(value)?))),
    ("name", Does(|it, value| pair(&mut it.labels, &format!("{NAME}={value}")))),
    ("net", Does(|it, value| text(&mut it.host_config.network_mode, value))),
    ("network", Does(|it, value| text(&mut it.host_config.network_mode, value))),
    ("network-alias", Does(|it, value| push(&mut endpoint(it).aliases, value))),
    ("no-healthcheck", Does(|it, value| is_true(value).map(|_| it.healthcheck = Some(engine::Healthcheck::none())))),
    ("oom-score-adj", Does(|it, value| number(value, "a number").map(|n| it.host_config.oom_score_adj = n))),
    ("pid", Does(|it, value| text(&mut it.host_config.pid_mode, value))),
    ("pids-limit", Does(|it, value| set(&mut it.host_config.resources.pids_limit, value, "a number"))),
    ("privileged", Does(|it, value| is_true(value).map(|so| it.host_config.privileged = so))),
    ("publish", Does(publish)),
    ("pull", Forbidden("say so with force_pull_image")),
    ("read-only", Does(|it, value| is_true(value).map(|so| it.host_config.readonly_rootfs = so))),
    ("restart", Only("no")),
    ("rm", Forbidden("the agent removes the container itself, once its end is known")),
    ("runtime", Does(|it, value| text(&mut it.host_config.runtime, value))),
    ("security-opt", Does(|it, value| push(&mut it.host_config.security_opt, value))),
    ("shm-size", Does(|it, value| match u64::try_from(size(value)?) {
        Ok(bytes) if bytes > 0 => { it.host_config.shm_size = bytes; Ok(()) }
        _ => Err("a size such as 64m"),
    })),
    ("stop-signal", Does(|it, value| some(&mut it.stop_signal, value.to_owned()))),
    ("sysctl", Does(|it, value| pair(&mut it.host_config.sysctls, with(value, '=', "name=value")?))),
    ("tmpfs", Does(tmpfs)),
    ("ulimit", Does(|it, value| push(&mut it.host_config.ulimits, ulimit(value).ok_or("name=soft:hard")?))),
    ("user", Does(|it, value| text(&mut it.user, value))),
    ("userns", Does(|it, value| text(&mut it.host_config.userns_mode, value))),
    ("uts", Does(|it, value| text(&mut it.host_config.uts_mode, value))),
    ("volume", Does(|it, value| push(&mut it.host_config.binds, with(value, ':', "source:target, with :ro or :rw")?))),
    ("workdir", Does(|it, value| text(&mut it.working_dir, value))),
];

/// The label that says what a task calls its container, whose name is for the agent to find it again.
pub const NAME: &str = "longshore.name";

const SHORT: &[(&str, &str)] = &[
    ("c", "cpu-shares"),
    ("e", "env"),
    ("h", "hostname"),
    ("l", "label"),
    ("m", "memory"),
    ("p", "publish"),
    ("u", "user"),
    ("v", "volume"),
    ("w", "workdir"),
];

/// One after the other: of those that say one thing, the last counts.
pub fn apply(create: &mut Create, parameters: &[Parameter]) -> Result<(), BadParameter> {
    for Parameter { key, value } in parameters {
        let name = key.trim_start_matches('-');
        let name = (SHORT.iter().find(|(short, _)| *short == name)).map_or(name, |(_, long)| long);
        let option = OPTIONS.iter().find(|(known, _)| *known == name);
        let (_, meaning) = option.ok_or_else(|| BadParameter::Unknown(key.clone()))?;
        let bad = |wanted| BadParameter::Value {
            key: key.clone(),
            value: value.clone(),
            wanted,
        };
        match meaning {
            Does(apply) => apply(create, value).map_err(bad)?,
            Only(only) if value == only => {}
            Only(_) => return Err(bad("what it is by itself")),
            Forbidden(why) => {
                let key = key.clone();
                return Err(BadParameter::Forbidden { key, why });
            }
        }
    }
    let endpoints = &mut create.networking_config.endpoints_config;
    if let Some(endpoint) = endpoints.remove("") {
        endpoints.insert(create.host_config.network_mode.clone(), endpoint);
    }
    Ok(())
}

/// Of the network that is known when all parameters are.
fn endpoint(create: &mut Create) -> &mut Endpoint {
    let endpoints = &mut create.networking_config.endpoints_config;
    endpoints.entry(String::new()).or_default()
}

fn push<T>(list: &mut Vec<T>, value: impl Into<T>) -> Result<(), &'static str> {
    list.push(value.into());
    Ok(())
}

fn text(place: &mut String, value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("given");
    }
    value.clone_into(place);
    Ok(())
}

fn some<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    *place = Some(value);
    Ok(())
}

fn set<T: std::str::FromStr>(
    place: &mut Option<T>,
    value: &str,
    wanted: &'static str,
) -> Result<(), &'static str> {
    some(place, number(value, wanted)?)
}

fn number<T: std::str::FromStr>(value: &str, wanted: &'static str) -> Result<T, &'static str> {
    value.trim().parse().map_err(|_bad| wanted)
}

/// Something on both sides of the separator.
fn with<'a>(
    value: &'a str,
    separator: char,
    wanted: &'static str,
) -> Result<&'a str, &'static str> {
    match value.split_once(separator) {
        Some((before, _)) if !before.is_empty() => Ok(value),
        _ => Err(wanted),
    }
}

fn pair(map: &mut BTreeMap<String, String>, value: &str) -> Result<(), &'static str> {
    let (name, value) = value.split_once('=').unwrap_or((value, ""));
    if name.is_empty() {
        return Err("name=value");
    }
    map.insert(name.to_owned(), value.to_owned());
    Ok(())
}

/// An empty one takes away the image's.
fn words(value: &str) -> Vec<String> {
    match value {
        "" => vec![],
        value => vec![value.to_owned()],
    }
}

fn log(create: &mut Create) -> &mut LogConfig {
    create.host_config.log_config.get_or_insert_default()
}

fn cpus(create: &mut Create, value: &str) -> Result<(), &'static str> {
    let cpus: f64 = number(value, "a number of processors")?;
    let limits = super::resources::quota(cpus).ok_or("a number of processors")?;
    let resources = &mut create.host_config.resources;
    resources.cpu_period = Some(limits.0);
    some(&mut resources.cpu_quota, limits.1)
}

fn expose(create: &mut Create, value: &str) -> Result<(), &'static str> {
    let port = port(value).ok_or("a port, as 80 or 53/udp")?;
    create.exposed_ports.insert(port, Empty {});
    Ok(())
}

/// `[address:][host port:]port[/protocol]`
fn publish(create: &mut Create, value: &str) -> Result<(), &'static str> {
    const WANTED: &str = "host-port:container-port, as 8080:80/tcp";
    let (before, inside) = value.rsplit_once(':').unwrap_or(("", value));
    let (address, host) = before.rsplit_once(':').unwrap_or(("", before));
    let is_port = host.is_empty() || host.parse::<u16>().is_ok();
    let inside = port(inside).filter(|_| is_port).ok_or(WANTED)?;
    let binding = PortBinding {
        host_ip: address.trim_matches(['[', ']']).to_owned(),
        host_port: host.to_owned(),
    };
    create.exposed_ports.insert(inside.clone(), Empty {});
    let bindings = &mut create.host_config.port_bindings;
    push(bindings.entry(inside).or_default(), binding)
}

fn gpus(create: &mut Create, value: &str) -> Result<(), &'static str> {
    let count = match value {
        "all" => -1,
        value => number(value, "a number, or all")?,
    };
    push(&mut create.host_config.device_requests, request_gpus(count))
}

pub fn request_gpus(count: i64) -> DeviceRequest {
    DeviceRequest {
        count,
        capabilities: vec![vec!["gpu".to_owned()]],
        ..DeviceRequest::default()
    }
}

fn tmpfs(create: &mut Create, value: &str) -> Result<(), &'static str> {
    let (path, options) = value.split_once(':').unwrap_or((value, ""));
    if !path.starts_with('/') {
        return Err("an absolute path, with options behind a colon");
    }
    let mounts = &mut create.host_config.tmpfs;
    mounts.insert(path.to_owned(), options.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(parameters: &[(&str, &str)]) -> Result<Create, BadParameter> {
        let mut create = Create::default();
        let parameters: Vec<_> = (parameters.iter())
            .map(|(key, value)| Parameter {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        apply(&mut create, &parameters).map(|()| create)
    }

    #[test]
    fn options_are_in_order_and_none_is_there_twice() {
        let names: Vec<_> = OPTIONS.iter().map(|(name, _)| *name).collect();
        assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
        for (short, long) in SHORT {
            assert!(names.contains(long), "{short}");
        }
    }

    #[test]
    fn options_do_what_they_do_for_docker() {
        let create = applied(&[
            ("env", "A=b=c"),
            ("v", "/a:/b:ro"),
            ("volume", "data:/c"),
            ("ulimit", "nofile=10:20"),
            ("cap-add", "NET_ADMIN"),
            ("device", "/dev/fuse"),
            ("tmpfs", "/t:size=1m"),
            ("shm-size", "1.5m"),
            ("sysctl", "net.ipv4.ip_default_ttl=7"),
            ("hostname", "h"),
            ("dns", "10.0.0.1"),
            ("add-host", "a:10.0.0.2"),
            ("user", "1000:1000"),
            ("w", "/tmp"),
            ("entrypoint", "/bin/echo"),
            ("label", "a=b"),
            ("read-only", "true"),
            ("init", ""),
            ("log-opt", "max-size=10m"),
            ("memory-swap", "-1"),
            ("cpus", "1.5"),
            ("ip", "10.0.0.7"),
            ("network-alias", "db"),
            ("network", "other"),
            ("name", "mine"),
            ("p", "127.0.0.1:8080:80"),
            ("restart", "no"),
        ])
        .unwrap();
        let host = &create.host_config;
        assert_eq!(create.env, ["A=b=c"]);
        assert_eq!(host.binds, ["/a:/b:ro", "data:/c"]);
        assert_eq!((host.ulimits[0].soft, host.ulimits[0].hard), (10, 20));
        assert_eq!(host.cap_add, ["NET_ADMIN"]);
        assert_eq!(host.devices[0].cgroup_permissions, "rwm");
        assert_eq!(host.tmpfs["/t"], "size=1m");
        assert_eq!(host.shm_size, 3 << 19);
        assert_eq!(host.sysctls["net.ipv4.ip_default_ttl"], "7");
        assert_eq!(create.entrypoint, Some(vec!["/bin/echo".to_owned()]));
        assert_eq!(
            (create.working_dir.as_str(), host.init),
            ("/tmp", Some(true))
        );
        assert!(host.readonly_rootfs);
        assert_eq!(host.log_config.as_ref().unwrap().config["max-size"], "10m");
        assert_eq!(host.resources.memory_swap, Some(-1));
        assert_eq!(host.resources.cpu_quota, Some(150_000));
        assert_eq!(host.network_mode, "other");
        let endpoint = &create.networking_config.endpoints_config["other"];
        assert_eq!(endpoint.addresses.v4, "10.0.0.7");
        assert_eq!(endpoint.aliases, ["db"]);
        assert_eq!(create.labels[NAME], "mine");
        let bound = &host.port_bindings["80/tcp"][0];
        assert_eq!((&*bound.host_ip, &*bound.host_port), ("127.0.0.1", "8080"));
    }

    #[test]
    fn what_has_no_meaning_is_refused_by_its_name() {
        for key in ["volumes-from", "cidfile", "attach", "tty", ""] {
            let refused = applied(&[(key, "x")]).unwrap_err().to_string();
            assert!(refused.contains(&format!("{key:?}")), "{refused}");
        }
        let refused = applied(&[("rm", "true")]).unwrap_err().to_string();
        assert!(refused.contains("\"rm\" is not for tasks"), "{refused}");
    }

    #[test]
    fn a_value_that_cannot_be_one_is_refused_with_what_it_must_be() {
        for (key, value) in [
            ("env", "A"),
            ("ulimit", "nofile"),
            ("device", "fuse"),
            ("shm-size", "much"),
            ("shm-size", "0"),
            ("memory", "-5m"),
            ("restart", "always"),
            ("privileged", "maybe"),
            ("publish", "80:x"),
            ("cpus", "-1"),
            ("mount", "type=npipe,target=/a"),
            ("label", "=x"),
            ("hostname", ""),
        ] {
            let refused = applied(&[(key, value)]);
            assert!(
                matches!(refused, Err(BadParameter::Value { .. })),
                "{key}={value}"
            );
        }
    }
}
