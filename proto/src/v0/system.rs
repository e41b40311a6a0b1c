//! The machine below: what `/system/stats.json` and the metrics `system/*` say of it.
//! Source: proc(5), `loadavg` and `meminfo`.

use serde_json::{Map, Value};

/// What is known of a machine; what it does not tell is left out of every answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct System {
    pub cpus: usize,
    /// Averages over 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    pub memory: Option<Memory>,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub total: u64,
    pub free: u64,
}

impl System {
    /// From the contents of `/proc/loadavg` and `/proc/meminfo`.
    #[must_use]
    pub fn parse(cpus: usize, loadavg: &str, meminfo: &str) -> Self {
        Self {
            cpus,
            load: load(loadavg),
            memory: Memory::parse(meminfo),
        }
    }

    /// The answer of `/system/stats.json`.
    #[must_use]
    pub fn stats(&self) -> Map<String, Value> {
        let named = |(name, value): (&str, f64)| match name.strip_prefix("load_") {
            Some(span) => (format!("avg_load_{span}"), Value::from(value)),
            None => (name.to_owned(), Value::from(value)),
        };
        self.values().map(named).collect()
    }

    /// The metrics `system/*`.
    pub fn metrics(&self) -> impl Iterator<Item = (String, f64)> {
        self.values()
            .map(|(name, value)| (format!("system/{name}"), value))
    }

    #[rustfmt::skip] // A name and its value share a line.
    fn values(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let Self { cpus, load, memory } = *self;
        [
            ("cpus_total", Some(cpus as f64)),
            ("load_1min", load.map(|load| load[0])),
            ("load_5min", load.map(|load| load[1])),
            ("load_15min", load.map(|load| load[2])),
            ("mem_total_bytes", memory.map(|memory| memory.total as f64)),
            ("mem_free_bytes", memory.map(|memory| memory.free as f64)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Memory {
    /// From the content of `/proc/meminfo`, which counts in units of 1024 bytes.
    #[must_use]
    pub fn parse(meminfo: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            let number = line.trim().strip_suffix("kB")?.trim();
            number.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self {
            total: field("MemTotal:")?,
            free: field("MemFree:")?,
        })
    }
}

fn load(loadavg: &str) -> Option<[f64; 3]> {
    let mut numbers = loadavg.split_whitespace().map(|n| n.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       2048 kB\nMemFree:         512 kB\n";

    #[test]
    fn load_and_memory_are_found() {
        let system = System::parse(2, "0.50 1.25 3.00 2/345 6789\n", MEMINFO);
        let memory = Memory {
            total: 2 << 20,
            free: 512 << 10,
        };
        assert_eq!(system.load, Some([0.5, 1.25, 3.0]));
        assert_eq!(system.memory, Some(memory));
        assert_eq!(system.stats()["avg_load_5min"], 1.25);
        assert_eq!(system.stats()["mem_free_bytes"], 524_288.0);
        let metrics: Vec<_> = system.metrics().collect();
        assert_eq!(metrics[1], ("system/load_1min".to_owned(), 0.5));
    }

    #[test]
    fn what_a_machine_does_not_tell_is_left_out() {
        let system = System::parse(2, "", "MemTotal: many kB\n");
        let stats = system.stats();
        assert_eq!(stats.keys().collect::<Vec<_>>(), ["cpus_total"]);
    }
}
