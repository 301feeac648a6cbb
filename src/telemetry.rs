//! Logs: one line an event on standard error, as text or JSON.

use tracing_subscriber::EnvFilter;

/// Starts logging. `LOCUM_LOG` is a filter such as `info` or `locum=debug`; `LOCUM_LOG_FORMAT=json`
/// writes JSON.
pub fn start() {
    let filter = std::env::var("LOCUM_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::new(filter.as_deref().unwrap_or("info,sqlx=warn"));
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if std::env::var("LOCUM_LOG_FORMAT").is_ok_and(|format| format == "json") {
        lines.json().flatten_event(true).init();
    } else {
        lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}
