//! What the operating system says of this process, under the names that Prometheus's own clients use. Where it does not
//! say, the metric is missing.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut write = |name: &str, help: &str, kind: MetricType, metric: &dyn EncodeMetric| {
            let encoder = encoder.encode_descriptor(name, help, None, kind)?;
            metric.encode(encoder)
        };
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            write("process_cpu_seconds", "Processor time", MetricType::Counter, &counter)?;
        }
        if let Some(bytes) = resident_bytes() {
            let gauge = ConstGauge::new(bytes);
            write("process_resident_memory_bytes", "Resident memory", MetricType::Gauge, &gauge)?;
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // Without the one that counts.
            let open = i64::try_from(descriptors.count()).unwrap_or(i64::MAX) - 1;
            write("process_open_fds", "Open file descriptors", MetricType::Gauge, &ConstGauge::new(open))?;
        }
        Ok(())
    }
}

fn cpu_seconds() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after) = status.rsplit_once(')')?;
    let mut times = after.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    #[expect(clippy::cast_precision_loss, reason = "ticks of a process's life")]
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn resident_bytes() -> Option<i64> {
    let pages: i64 = fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * i64::try_from(rustix::param::page_size()).ok()?)
}
