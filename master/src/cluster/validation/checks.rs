//! Checks of single fields, which look at nothing else.

use proto::v1;

use super::invalid::Invalid;

pub fn check_command(command: &v1::CommandInfo) -> Result<(), Invalid> {
    // With shell set to false an image may bring its own command.
    match command.shell() && command.value().is_empty() {
        true => Err(Invalid::EmptyCommand),
        false => Ok(()),
    }
}

pub fn check_health(check: &v1::HealthCheck) -> Result<(), Invalid> {
    use v1::health_check::Type;
    let missing = |field| Err(Invalid::Missing { field });
    match check.r#type() {
        Type::Command if check.command.is_none() => return missing("health_check.command"),
        Type::Http if check.http.is_none() => return missing("health_check.http"),
        Type::Tcp if check.tcp.is_none() => return missing("health_check.tcp"),
        Type::Unknown => return missing("health_check.type"),
        Type::Command | Type::Http | Type::Tcp => {}
    }
    if let Some(http) = &check.http {
        check_path(http.path.as_deref())?;
        if let Some(scheme) = http
            .scheme
            .as_deref()
            .filter(|s| !["http", "https"].contains(s))
        {
            return Err(Invalid::CheckScheme(scheme.to_owned()));
        }
    }
    seconds([
        ("health_check.delay_seconds", check.delay_seconds()),
        ("health_check.interval_seconds", check.interval_seconds()),
        ("health_check.timeout_seconds", check.timeout_seconds()),
        (
            "health_check.grace_period_seconds",
            check.grace_period_seconds(),
        ),
    ])
}

pub fn check_check(check: &v1::CheckInfo) -> Result<(), Invalid> {
    use v1::check_info::Type;
    let missing = |field| Err(Invalid::Missing { field });
    match check.r#type() {
        Type::Command if check.command.is_none() => return missing("check.command"),
        Type::Http if check.http.is_none() => return missing("check.http"),
        Type::Tcp if check.tcp.is_none() => return missing("check.tcp"),
        Type::Unknown => return missing("check.type"),
        Type::Command | Type::Http | Type::Tcp => {}
    }
    check_path(check.http.as_ref().and_then(|http| http.path.as_deref()))?;
    seconds([
        ("check.delay_seconds", check.delay_seconds()),
        ("check.interval_seconds", check.interval_seconds()),
        ("check.timeout_seconds", check.timeout_seconds()),
    ])
}

fn check_path(path: Option<&str>) -> Result<(), Invalid> {
    match path.filter(|path| !path.starts_with('/')) {
        Some(path) => Err(Invalid::CheckPath(path.to_owned())),
        None => Ok(()),
    }
}

fn seconds<const N: usize>(fields: [(&'static str, f64); N]) -> Result<(), Invalid> {
    match fields
        .into_iter()
        .find(|(_, value)| value.is_nan() || *value < 0.0)
    {
        Some((field, value)) => Err(Invalid::Negative {
            field,
            value: value.to_string(),
        }),
        None => Ok(()),
    }
}

pub fn not_negative(field: &'static str, time: Option<v1::DurationInfo>) -> Result<(), Invalid> {
    match time.filter(|time| time.nanoseconds < 0) {
        Some(time) => Err(Invalid::Negative {
            field,
            value: format!("{} ns", time.nanoseconds),
        }),
        None => Ok(()),
    }
}

pub fn check_container(container: &v1::ContainerInfo) -> Result<(), Invalid> {
    if container.r#type() == v1::container_info::Type::Docker && container.docker.is_none() {
        return Err(Invalid::Missing {
            field: "container.docker",
        });
    }
    for volume in &container.volumes {
        // Without any it is a volume in the sandbox, which older frameworks ask for.
        let given = [
            volume.host_path.is_some(),
            volume.image.is_some(),
            volume.source.is_some(),
        ];
        let sources = given.into_iter().filter(|set| *set).count();
        if sources > 1 {
            return Err(Invalid::VolumeSources {
                path: volume.container_path.clone(),
                sources,
            });
        }
    }
    Ok(())
}

pub fn check_variable(variable: &v1::environment::Variable) -> Result<(), Invalid> {
    use v1::environment::variable::Type;
    let consistent = match variable.r#type() {
        Type::Value | Type::Unknown => variable.value.is_some() && variable.secret.is_none(),
        Type::Secret => variable.secret.is_some() && variable.value.is_none(),
    };
    consistent
        .then_some(())
        .ok_or_else(|| Invalid::Variable(variable.name.clone()))
}
