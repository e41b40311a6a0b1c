//! The machine the master runs on. Source: proc(5), `loadavg` and `meminfo`.

use serde_json::{Map, Value, json};

/// Load averages over 1, 5 and 15 minutes.
pub fn load() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text
        .split_whitespace()
        .map(|number| number.parse().unwrap_or(0.0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}

pub fn cpus() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}

/// Total and free memory, in bytes.
pub fn memory() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (
        kilobytes(&text, "MemTotal:") * 1024.0,
        kilobytes(&text, "MemFree:") * 1024.0,
    )
}

fn kilobytes(meminfo: &str, name: &str) -> f64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// The answer of `/system/stats.json`.
pub fn stats() -> Map<String, Value> {
    let [one, five, fifteen] = load();
    let (total, free) = memory();
    let all = [
        ("avg_load_1min", one),
        ("avg_load_5min", five),
        ("avg_load_15min", fifteen),
        ("cpus_total", cpus()),
        ("mem_total_bytes", total),
        ("mem_free_bytes", free),
    ];
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_by_its_name() {
        let text = "MemTotal:  2048 kB\nMemFree:    512 kB\n";
        assert_eq!(kilobytes(text, "MemFree:"), 512.0);
        assert_eq!(kilobytes(text, "Absent:"), 0.0);
    }
}
