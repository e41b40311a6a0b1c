//! How long a launch took, as answers show it.

use std::time::Duration;

use containerizer::Timings;
use serde_json::{Map, Value};

/// `{"<phase>_ms": …, "total_ms": …}`, in milliseconds with a fraction.
pub fn launch(timings: &Timings) -> Value {
    let total = ("total", timings.total());
    let each = |(phase, taken): (&str, Duration)| (format!("{phase}_ms"), milliseconds(taken));
    let object: Map<String, Value> = timings.phases().chain([total]).map(each).collect();
    Value::Object(object)
}

/// Whole microseconds: more digits would only be noise.
fn milliseconds(taken: Duration) -> Value {
    Value::from(taken.as_micros() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use containerizer::Stopwatch;

    use super::*;

    #[test]
    fn each_phase_and_the_total_have_a_key_of_milliseconds() {
        let mut watch = Stopwatch::start();
        watch.lap("fetch");
        watch.lap("setup");
        let shown = launch(&watch.stop());
        let keys: Vec<_> = shown.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["fetch_ms", "setup_ms", "total_ms"]);
        assert_eq!(milliseconds(Duration::from_nanos(1_234_567)), 1.234);
    }
}
