//! The log: level and format. Our own lines follow the level asked for; those of libraries only from `warn` on,
//! except at `debug`.
//!
//! *Never:* what is logged.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer as _,
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Starts the log. A second call does nothing.
pub fn start(config: &LogConfig) {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let layer = match config.format {
        LogFormat::Logfmt => layer.with_ansi(false).event_format(Logfmt).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(targets(config.level)));
    // Fails only when a log is there already, as in a test that runs the program twice.
    let _ = subscriber.try_init();
}

fn targets(level: LogLevel) -> Targets {
    let (own, others) = match level {
        LogLevel::Debug => (Level::DEBUG, Level::INFO),
        LogLevel::Info => (Level::INFO, Level::WARN),
        LogLevel::Warn => (Level::WARN, Level::WARN),
        LogLevel::Error => (Level::ERROR, Level::ERROR),
    };
    Targets::new().with_default(others).with_target("operator", own)
}

/// `ts=… level=info msg="…" key=value`.
struct Logfmt;

// === impl Logfmt ===

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str("ts=")?;
        SystemTime.format_time(&mut writer)?;
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(writer, " level={level}")?;
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        writeln!(writer, " msg={}{}", quoted(&pairs.message), pairs.others)
    }
}

/// An event's fields, the message apart.
#[derive(Default)]
struct Pairs {
    message: String,
    others: String,
}

impl Pairs {
    fn add(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            text.clone_into(&mut self.message);
        } else {
            // A String takes everything.
            let _ = write!(self.others, " {}={}", field.name(), quoted(text));
        }
    }
}

impl Visit for Pairs {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}

/// A value as logfmt writes it: in quotes only where it has to be.
fn quoted(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=';
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_have_to_be() {
        let check = |text: &str, expected: &str| assert_eq!(quoted(text), expected);
        check("plain", "plain");
        check("two words", "\"two words\"");
        check("", "\"\"");
        check("a=b", "\"a=b\"");
        check("say \"hi\"\n", "\"say \\\"hi\\\"\\n\"");
    }

    #[test]
    fn libraries_are_quieter_than_we_are() {
        let targets = targets(LogLevel::Info);
        assert!(targets.would_enable("operator::gc", &Level::INFO));
        assert!(!targets.would_enable("kube_runtime::controller", &Level::INFO));
        assert!(targets.would_enable("kube_runtime::controller", &Level::WARN));
    }
}
