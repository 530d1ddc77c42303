//! What a run measured.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use crate::engine::Load;

/// Latencies in ns, and how long it took to gather them.
#[derive(Debug)]
pub struct Measured {
    /// One value per answered request.
    pub latencies: Histogram<u64>,
    /// The time measured.
    pub elapsed: Duration,
}

impl Measured {
    /// Requests answered per second.
    pub fn per_second(&self) -> f64 {
        let count = u32::try_from(self.latencies.len()).map_or(f64::MAX, f64::from);
        count / self.elapsed.as_secs_f64()
    }

    /// The latency, in µs, that this part of the requests did not exceed.
    pub fn micros_at(&self, quantile: f64) -> f64 {
        micros(self.latencies.value_at_quantile(quantile))
    }

    /// One line of JSON.
    pub fn json(&self, load: &Load) -> String {
        json!({
            "sessions": load.sessions,
            "depth": load.depth,
            "op": format!("{:?}", load.work).to_lowercase(),
            "value_bytes": load.value_bytes,
            "seconds": self.elapsed.as_secs_f64(),
            "operations": self.latencies.len(),
            "ops_per_second": self.per_second().round(),
            "p50_us": self.micros_at(0.5),
            "p99_us": self.micros_at(0.99),
            "p99_9_us": self.micros_at(0.999),
            "max_us": micros(self.latencies.max()),
        })
        .to_string()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} ops/s   p50 {:.0} µs   p99 {:.0} µs   p99.9 {:.0} µs   max {:.0} µs",
            self.per_second(),
            self.micros_at(0.5),
            self.micros_at(0.99),
            self.micros_at(0.999),
            micros(self.latencies.max())
        )
    }
}

fn micros(nanos: u64) -> f64 {
    u32::try_from(nanos / 100).map_or(f64::MAX, |tenths| f64::from(tenths) / 10.0)
}
