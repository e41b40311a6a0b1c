//! `blockIO`: weights, and bytes and operations per second of one device.
//!
//! A weight has a file only where an I/O scheduler knows weights (BFQ, or CFQ in old kernels), or
//! where io.cost does (v2).

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

use super::{BadResources, Setting};
use crate::cgroups::Version;

pub(super) fn settings(
    block_io: &LinuxBlockIo,
    version: Version,
) -> Result<Vec<Setting>, BadResources> {
    let mut settings = match version {
        Version::V1 => weights_v1(block_io),
        Version::V2 => weights_v2(block_io)?,
    };
    let throttled = [
        (
            block_io.throttle_read_bps_device(),
            "blkio.throttle.read_bps_device",
            "rbps",
        ),
        (
            block_io.throttle_write_bps_device(),
            "blkio.throttle.write_bps_device",
            "wbps",
        ),
        (
            block_io.throttle_read_iops_device(),
            "blkio.throttle.read_iops_device",
            "riops",
        ),
        (
            block_io.throttle_write_iops_device(),
            "blkio.throttle.write_iops_device",
            "wiops",
        ),
    ];
    for (devices, file, key) in throttled {
        let devices = devices.iter().flatten();
        settings.extend(devices.map(|device| match version {
            Version::V1 => throttle_v1(device, file),
            Version::V2 => throttle_v2(device, key),
        }));
    }
    Ok(settings)
}

/// 0 is the same as none.
fn given(weight: Option<u16>) -> Option<u16> {
    weight.filter(|weight| *weight > 0)
}

fn weights_v1(block_io: &LinuxBlockIo) -> Vec<Setting> {
    let new = |file: &'static str, value: String| Setting::new("blkio", file, value);
    let mut settings = Vec::new();
    if let Some(weight) = given(block_io.weight()) {
        settings.push(new("blkio.weight", weight.to_string()).or("blkio.bfq.weight", weight));
    }
    if let Some(weight) = given(block_io.leaf_weight()) {
        settings.push(new("blkio.leaf_weight", weight.to_string()));
    }
    for device in block_io.weight_device().iter().flatten() {
        let name = device_of(device);
        if let Some(weight) = given(device.weight()) {
            let value = format!("{name} {weight}");
            let setting = new("blkio.weight_device", value.clone());
            settings.push(
                setting
                    .or("blkio.bfq.weight_device", value)
                    .removed_by(format!("{name} 0")),
            );
        }
        if let Some(weight) = given(device.leaf_weight()) {
            let setting = new("blkio.leaf_weight_device", format!("{name} {weight}"));
            settings.push(setting.removed_by(format!("{name} 0")));
        }
    }
    settings
}

fn weights_v2(block_io: &LinuxBlockIo) -> Result<Vec<Setting>, BadResources> {
    let devices = block_io.weight_device().iter().flatten();
    let leaf = given(block_io.leaf_weight()).is_some()
        || devices
            .clone()
            .any(|device| given(device.leaf_weight()).is_some());
    if leaf {
        return Err(BadResources::NotOnV2 {
            what: "blockIO.leafWeight",
            missing: "weight of a cgroup's own processes",
        });
    }
    let weight = given(block_io.weight()).map(|weight| {
        let setting = Setting::new("io", "io.bfq.weight", weight);
        setting.or("io.weight", io_weight(weight))
    });
    let of_devices = devices.filter_map(|device| {
        let (name, weight) = (device_of(device), given(device.weight())?);
        let setting = Setting::new("io", "io.bfq.weight", format!("{name} {weight}"));
        let setting = setting.or("io.weight", format!("{name} {}", io_weight(weight)));
        Some(setting.removed_by(format!("{name} default")))
    });
    Ok(weight.into_iter().chain(of_devices).collect())
}

/// From BFQ's range, 10 to 1000, to that of io.cost, 1 to 10000. As in runc and crun.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.max(10) - 10) * 9999 / 990
}

fn device_of(device: &LinuxWeightDevice) -> String {
    format!("{}:{}", device.major(), device.minor())
}

fn throttle_v1(device: &LinuxThrottleDevice, file: &'static str) -> Setting {
    let name = format!("{}:{}", device.major(), device.minor());
    Setting::new("blkio", file, format!("{name} {}", device.rate())).removed_by(format!("{name} 0"))
}

fn throttle_v2(device: &LinuxThrottleDevice, key: &'static str) -> Setting {
    let name = format!("{}:{}", device.major(), device.minor());
    // 0 is no limit on v1, and in OCI specs.
    let rate = match device.rate() {
        0 => "max".to_owned(),
        rate => rate.to_string(),
    };
    let setting = Setting::new("io", "io.max", format!("{name} {key}={rate}"));
    setting.removed_by(format!("{name} {key}=max"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{hold, written};
    use super::super::{Now, plan};
    use super::*;

    fn all() -> serde_json::Value {
        json!({"blockIO": {
            "weight": 500,
            "weightDevice": [{"major": 8, "minor": 0, "weight": 100}],
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
            "throttleWriteBpsDevice": [{"major": 8, "minor": 16, "rate": 0}],
            "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 10}],
            "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 20}],
        }})
    }

    #[test]
    fn each_field_has_its_file() {
        hold(
            Version::V1,
            &[(
                all(),
                &[
                    ("blkio.weight", "500"),
                    ("blkio.weight_device", "8:0 100"),
                    ("blkio.throttle.read_bps_device", "8:0 1024"),
                    ("blkio.throttle.write_bps_device", "8:16 0"),
                    ("blkio.throttle.read_iops_device", "8:0 10"),
                    ("blkio.throttle.write_iops_device", "8:0 20"),
                ],
            )],
        );
        hold(
            Version::V2,
            &[(
                all(),
                &[
                    ("io.bfq.weight", "500"),
                    ("io.bfq.weight", "8:0 100"),
                    ("io.max", "8:0 rbps=1024"),
                    ("io.max", "8:16 wbps=max"),
                    ("io.max", "8:0 riops=10"),
                    ("io.max", "8:0 wiops=20"),
                ],
            )],
        );
    }

    #[test]
    fn a_weight_fits_whichever_scheduler_there_is() {
        let resources = serde_json::from_value(all()).expect("resources");
        let choices = |version| {
            let settings = plan(&resources, version, &Now::default()).expect("can be set");
            let all = settings[0].choices.iter();
            all.map(|choice| (choice.file.to_string(), choice.value.clone()))
                .collect::<Vec<_>>()
        };
        let pair = |file: &str, value: &str| (file.to_owned(), value.to_owned());
        let v1 = [pair("blkio.weight", "500"), pair("blkio.bfq.weight", "500")];
        assert_eq!(choices(Version::V1), v1);
        let v2 = [pair("io.bfq.weight", "500"), pair("io.weight", "4950")];
        assert_eq!(choices(Version::V2), v2);
        assert_eq!([10, 1000].map(io_weight), [1, 10_000]);
    }

    #[test]
    fn leaves_have_weights_on_v1_only() {
        let asked = json!({"blockIO": {"leafWeight": 20}});
        hold(
            Version::V1,
            &[(asked.clone(), &[("blkio.leaf_weight", "20")])],
        );
        assert!(written(asked, Version::V2, &Now::default()).is_err());
    }
}
