//! What values of Docker's options mean. Pure; nothing where one is none.

use proto::sizes::parse_size;
use proto::v1;
use proto::v1::r_limit_info::RLimit;
use proto::v1::r_limit_info::r_limit::Type as Limit;

pub fn capability(name: &str) -> Option<v1::capability_info::Capability> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    v1::capability_info::Capability::from_str_name(name).filter(|it| i32::from(*it) != 0)
}

pub fn volume(text: &str) -> Option<v1::Volume> {
    let mut parts = text.split(':');
    let (source, target) = (parts.next()?, parts.next()?);
    let mode = match (parts.next(), parts.next()) {
        (None, _) => v1::volume::Mode::Rw,
        (Some("rw"), None) => v1::volume::Mode::Rw,
        (Some("ro"), None) => v1::volume::Mode::Ro,
        _ => return None,
    };
    let absolute = source.starts_with('/') && target.starts_with('/');
    absolute.then(|| v1::Volume {
        host_path: Some(source.to_owned()),
        container_path: target.to_owned(),
        mode: mode.into(),
        ..Default::default()
    })
}

/// What the value of `mount` means.
pub enum Mounted {
    Bind(Box<v1::Volume>),
    /// As the parameter of that name has it.
    Tmpfs(String),
}

/// `type=bind,source=/a,target=/b,readonly`. Volumes of drivers take an engine.
pub fn mount(text: &str) -> Option<Mounted> {
    let (mut kind, mut source, mut target) = (None, None, None);
    let (mut read_only, mut options) = (false, Vec::new());
    for field in text.split(',') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        match (name, value) {
            ("type", value) => kind = Some(value),
            ("source" | "src", value) => source = Some(value),
            ("target" | "dst" | "destination", value) => target = Some(value),
            ("readonly" | "ro", "" | "true" | "1") => read_only = true,
            ("readonly" | "ro", "false" | "0") => read_only = false,
            ("tmpfs-size", value) => options.push(format!("size={}", size(value)?)),
            ("tmpfs-mode", value) => options.push(format!("mode={value}")),
            _ => return None,
        }
    }
    match (kind?, source) {
        ("bind", Some(source)) if options.is_empty() => {
            let mode = if read_only { "ro" } else { "rw" };
            volume(&format!("{source}:{}:{mode}", target?))
                .map(Box::new)
                .map(Mounted::Bind)
        }
        ("tmpfs", None) => {
            options.extend(read_only.then(|| "ro".to_owned()));
            Some(Mounted::Tmpfs(format!("{}:{}", target?, options.join(","))))
        }
        _ => None,
    }
}

pub fn ulimit(text: &str) -> Option<RLimit> {
    let (name, values) = text.split_once('=')?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let value = |text: &str| match text {
        // No limit.
        "-1" => Some(u64::MAX),
        text => text.parse().ok(),
    };
    let kind = Limit::from_str_name(&format!("RLMT_{}", name.to_ascii_uppercase()))?;
    let (soft, hard) = (value(soft)?, value(hard)?);
    // Both are left out for none.
    let limited = hard != u64::MAX;
    Some(RLimit {
        r#type: Some(kind.into()),
        soft: limited.then_some(soft),
        hard: limited.then_some(hard),
    })
}

/// Bytes, as Docker writes them: 10, 10b, 10k, 10m, 10g.
pub fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let lower = match lower.strip_suffix('b') {
        Some(shorter) if shorter.ends_with(['k', 'm', 'g']) => shorter,
        _ => &lower,
    };
    match lower.strip_suffix(['k', 'm', 'g']) {
        Some(_) => parse_size(&format!("{}B", lower.to_ascii_uppercase())).ok(),
        None => lower.strip_suffix('b').unwrap_or(lower).parse().ok(),
    }
}

pub fn megabytes(text: &str) -> Option<u32> {
    let megabytes = u32::try_from(size(text)? >> 20).ok();
    megabytes.filter(|megabytes| *megabytes > 0)
}

/// Of rotated files, one of which is the one that is written.
pub fn kept(text: &str) -> Option<u32> {
    let files: u32 = text.parse().ok()?;
    files.checked_sub(1)
}
