//! Logs: one line an event on standard error, as text or JSON.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Starts logging. `LOCUM_LOG` is a filter such as `info` or `locum=debug`; `LOCUM_LOG_FORMAT=json`
/// writes JSON.
pub fn start() {
    let filter = std::env::var("LOCUM_LOG").ok().filter(|filter| !filter.is_empty());
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = if std::env::var("LOCUM_LOG_FORMAT").is_ok_and(|format| format == "json") {
        lines.json().flatten_event(true).boxed()
    } else {
        lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed()
    };
    let filter = filter_of(filter.as_deref().unwrap_or("info,sqlx=warn"));
    tracing_subscriber::registry().with(filter).with(lines).init();
}

/// A filter that asks for spans or their fields looks at each request's span at every turn; most do not.
fn filter_of(directives: &str) -> Box<dyn Layer<Registry> + Send + Sync> {
    match directives.parse::<Targets>() {
        Ok(targets) => targets.boxed(),
        Err(_) => EnvFilter::new(directives).boxed(),
    }
}
