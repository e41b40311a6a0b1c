//! What this agent fetches with, and what it counts of that.

use std::sync::Arc;

use fetcher::{Cache, Fetched, Fetcher, Progress};
use serde_json::{Value, json};

use crate::flags::Flags;
use crate::quota::amount;

/// Blocks.
pub fn fetcher(flags: &Flags) -> Fetcher {
    let directory = flags.fetcher.cache_dir.clone();
    let directory = directory.unwrap_or_else(|| flags.work_dir.join("fetch"));
    let cache = match flags.fetcher.cache_size {
        0 => None,
        size => match Cache::open(directory, size) {
            Ok(cache) => Some(cache),
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::warn!(%error, "nothing is cached of what tasks fetch");
                None
            }
        },
    };
    Fetcher::new(helper(flags), flags.fetcher.settings(), cache)
}

/// This program again, even if its file has been replaced meanwhile.
fn helper(flags: &Flags) -> Vec<String> {
    match flags.fetch_helper.is_empty() {
        true => ["/proc/self/exe", "fetcher"].map(str::to_owned).to_vec(),
        false => flags.fetch_helper.clone(),
    }
}

/// What a status says of a fetch that is over.
pub fn told(fetched: Fetched) -> String {
    let Fetched {
        files,
        bytes,
        taken,
    } = fetched;
    let what = if files == 1 { "file" } else { "files" };
    let rate = amount(fetched.bytes_per_second());
    let (bytes, seconds) = (amount(bytes), taken.as_secs_f64());
    format!("{files} {what} fetched: {bytes} in {seconds:.1} s, {rate}/s")
}

/// What a status says of one that is under way.
pub fn come(progress: Progress) -> String {
    let (bytes, rate) = (amount(progress.bytes), amount(progress.bytes_per_second));
    match progress.total {
        Some(total) => format!("{bytes} of {}, {rate}/s", amount(total)),
        None => format!("{bytes}, {rate}/s"),
    }
}

/// Of a fetch that is under way, for `/containers`.
pub fn progress(progress: Progress) -> Value {
    let mut value = json!({
        "bytes": progress.bytes, "bytes_per_second": progress.bytes_per_second,
    });
    if let Some(total) = progress.total {
        value["total_bytes"] = total.into();
    }
    value
}

/// Names below `containerizer/fetcher/`: spec/mesos-agent.md section 16, and the last three are ours.
pub fn metrics(fetcher: &Arc<Fetcher>) -> Vec<(&'static str, f64)> {
    let (succeeded, failed) = fetcher.totals();
    let mut metrics = vec![
        ("task_fetches_succeeded", succeeded as f64),
        ("task_fetches_failed", failed as f64),
    ];
    if let Some(cache) = fetcher.cache() {
        let figures = cache.figures();
        metrics.extend([
            ("cache_size_total_bytes", cache.limit() as f64),
            ("cache_size_used_bytes", cache.bytes() as f64),
            ("cache_hits", figures.hits as f64),
            ("cache_misses", figures.misses as f64),
            ("cache_evictions", figures.evictions as f64),
        ]);
    }
    metrics
}
