//! What a container uses, in the names of runc's events.

use std::time::Duration;

use isolators::cgroups::{Amount, Details, DeviceIo, Pressure, Stall, Usage};
use serde_json::{Map, Value, json};

/// Nanoseconds and bytes.
pub fn data(details: &Details) -> Value {
    json!({
        "cpu": cpu(details),
        "memory": memory(details),
        "pids": details.pids.as_ref().map_or_else(|| json!({}), pids),
        "blkio": blkio(details),
        "hugetlb": huge_pages(details),
    })
}

fn cpu(details: &Details) -> Value {
    let basic = &details.basic;
    let (user, kernel) = (nanoseconds(basic.cpus_user), nanoseconds(basic.cpus_system));
    let of_each: Vec<u64> = details.cpus.iter().copied().map(nanoseconds).collect();
    // v1 measures it so, and shares it out in ticks.
    let measured: u64 = of_each.iter().sum();
    json!({
        "usage": {"total": measured.max(user + kernel), "percpu": of_each, "kernel": kernel, "user": user},
        "throttling": {
            "periods": basic.cpus_nr_periods.unwrap_or(0),
            "throttledPeriods": basic.cpus_nr_throttled.unwrap_or(0),
            "throttledTime": basic.cpus_throttled.map_or(0, nanoseconds),
        },
        "psi": pressure(details.basic.pressure.cpu.as_ref()),
    })
}

fn memory(details: &Details) -> Value {
    let usage = |of: &Option<Usage>| usage(of.as_ref().unwrap_or(&Usage::default()));
    json!({
        "cache": details.basic.mem_cache,
        "usage": usage(&Some(details.memory.clone())),
        "swap": usage(&details.swap),
        "kernel": usage(&details.kernel),
        "kernelTCP": usage(&details.kernel_tcp),
        "raw": details.memory_stat,
        "psi": pressure(details.basic.pressure.memory.as_ref()),
    })
}

/// Where there is no limit, it is the largest number.
fn usage(usage: &Usage) -> Value {
    json!({
        "limit": usage.limit.unwrap_or(u64::MAX),
        "usage": usage.now,
        "max": usage.peak.unwrap_or(0),
        "failcnt": usage.hits.unwrap_or(0),
    })
}

fn pids(pids: &Usage) -> Value {
    // Unlike everywhere else, no limit is 0.
    json!({"current": pids.now, "limit": pids.limit.unwrap_or(0)})
}

fn blkio(details: &Details) -> Value {
    let entries = |amount: fn(&DeviceIo) -> Amount| -> Vec<Value> {
        let of_device = |io: &DeviceIo| {
            let Amount {
                read,
                written,
                discarded,
            } = amount(io);
            let (major, minor) = (io.major, io.minor);
            [("Read", read), ("Write", written), ("Discard", discarded)].map(
                |(op, value)| json!({"major": major, "minor": minor, "op": op, "value": value}),
            )
        };
        details.basic.io.iter().flat_map(of_device).collect()
    };
    json!({
        "ioServiceBytesRecursive": entries(|io| io.bytes),
        "ioServicedRecursive": entries(|io| io.operations),
        "psi": pressure(details.basic.pressure.io.as_ref()),
    })
}

fn huge_pages(details: &Details) -> Map<String, Value> {
    let of_size = |(size, usage): (&String, &Usage)| {
        let value = json!({
            "usage": usage.now,
            "max": usage.peak.unwrap_or(0),
            "failcnt": usage.hits.unwrap_or(0),
        });
        (size.clone(), value)
    };
    details.huge_pages.iter().map(of_size).collect()
}

fn pressure(pressure: Option<&Pressure>) -> Value {
    let stall = |stall: Stall| {
        json!({
            "avg10": stall.avg10, "avg60": stall.avg60, "avg300": stall.avg300,
            "total": stall.total.as_micros() as u64,
        })
    };
    match pressure {
        Some(Pressure { some, full }) => {
            json!({"some": stall(*some), "full": stall(full.unwrap_or_default())})
        }
        None => Value::Null,
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
