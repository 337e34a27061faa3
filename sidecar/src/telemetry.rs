//! The log: one record a line on standard error, as logfmt or as JSON.
//!
//! Both are written here, in a hundred lines, so that the sidecar needs no serializer.
//!
//! *Never:* what is worth a record.

use std::{
    fmt::{self, Write},
    io,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Logfmt,
    Json,
}

/// What a `FormatEvent` gathers: the message and, written already, the fields.
struct Record {
    format: Format,
    message: String,
    fields: String,
}

/// Starts the log. A second call in one process changes nothing.
pub(crate) fn init(level: LevelFilter, format: Format) {
    let subscriber =
        tracing_subscriber::fmt().with_max_level(level).event_format(format).with_writer(io::stderr).finish();
    let is_first = tracing::subscriber::set_global_default(subscriber).is_ok();
    tracing::trace!(is_first, "log started");
}

// === impl Format ===

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut record = Record { format: *self, message: String::new(), fields: String::new() };
        event.record(&mut record);
        let level = level_word(*event.metadata().level());
        match self {
            Self::Logfmt => {
                out.write_str("time=")?;
                SystemTime.format_time(&mut out)?;
                write!(out, " level={level} msg=")?;
                write_logfmt(&mut out, &record.message)?;
                writeln!(out, "{}", record.fields)
            }
            Self::Json => {
                out.write_str("{\"time\":\"")?;
                SystemTime.format_time(&mut out)?;
                write!(out, "\",\"level\":\"{level}\",\"msg\":")?;
                write_json(&mut out, &record.message)?;
                writeln!(out, "{}}}", record.fields)
            }
        }
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn write_logfmt(out: &mut impl Write, text: &str) -> fmt::Result {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '=');
    if is_plain { out.write_str(text) } else { write_json(out, text) }
}

/// A string in quotes that JSON and logfmt readers both understand.
fn write_json(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

// === impl Record ===

impl Record {
    fn field(&mut self, field: &Field, value: &str, is_number: bool) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
            return;
        }
        let out = &mut self.fields;
        let written = match self.format {
            Format::Logfmt => write!(out, " {}=", field.name()).and_then(|()| write_logfmt(out, value)),
            Format::Json if is_number => write!(out, ",\"{}\":{value}", field.name()),
            Format::Json => write!(out, ",\"{}\":", field.name()).and_then(|()| write_json(out, value)),
        };
        debug_assert!(written.is_ok());
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, &format!("{value:?}"), false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value, false);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, &value.to_string(), true);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, &value.to_string(), true);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, &value.to_string(), true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The line without its time.
    fn logged(format: Format) -> String {
        let memory = Memory::default();
        let subscriber = tracing_subscriber::fmt().event_format(format).with_writer(memory.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let path = "/metrics/job/a b";
            tracing::info!(path, count = 2, address = %"127.0.0.1:1", quote = "\"\n", "push refused");
        });
        let line = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        let at = line.find("level").unwrap();
        line[at..].to_owned()
    }

    #[test]
    fn logfmt_quotes_what_needs_it() {
        let expected =
            r#"level=info msg="push refused" path="/metrics/job/a b" count=2 address=127.0.0.1:1 quote="\"\n""#;
        assert_eq!(logged(Format::Logfmt), format!("{expected}\n"));
    }

    #[test]
    fn json_has_one_object_a_line() {
        let expected = r#"level":"info","msg":"push refused","path":"/metrics/job/a b","count":2,"address":"127.0.0.1:1","quote":"\"\n"}"#;
        assert_eq!(logged(Format::Json), format!("{expected}\n"));
    }
}
