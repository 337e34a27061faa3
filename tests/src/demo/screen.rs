//! What a person sees: steps with their times, then one picture that is redrawn; without a terminal, lines as things
//! change.
//!
//! *Never:* where any of it comes from.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use tokio::time::Instant;

use super::watch::Seen;

/// Standard output, and what was drawn there last.
pub(super) struct Screen {
    terminal: bool,
    start: Instant,
    step: Option<(String, Instant)>,
    /// Lines of the last picture.
    height: usize,
    last: Option<Seen>,
    hint_said: bool,
}

// === impl Screen ===

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        Self { terminal, start: Instant::now(), step: None, height: 0, last: None, hint_said: false }
    }

    /// Ends the step before and begins one.
    pub(super) fn step(&mut self, what: &str) {
        self.done();
        self.step = Some((what.to_owned(), Instant::now()));
    }

    /// Ends the last step.
    pub(super) fn done(&mut self) {
        if let Some((what, start)) = self.step.take() {
            self.say(&format!("{what}: {:.1} s", start.elapsed().as_secs_f64()));
        }
    }

    /// Says a line.
    pub(super) fn say(&self, line: &str) {
        let _ = writeln!(io::stdout(), "[{:5.1} s] {line}", self.start.elapsed().as_secs_f64());
    }

    /// Shows a look: redraws a terminal's picture, or says what changed.
    pub(super) fn draw(&mut self, seen: &Seen, hint: Option<&str>) {
        if self.terminal {
            let mut picture = picture(seen);
            if let Some(hint) = hint {
                let _ = write!(picture, "\n{hint}\n");
            }
            let up = if self.height == 0 { String::new() } else { format!("\x1b[{}A\x1b[J", self.height) };
            let _ = write!(io::stdout(), "{up}{picture}");
            let _ = io::stdout().flush();
            self.height = picture.lines().count();
        } else {
            for line in changes(self.last.as_ref().unwrap_or(&Seen::default()), seen) {
                self.say(&line);
            }
            if let Some(hint) = hint.filter(|_| !self.hint_said) {
                self.say(hint);
                self.hint_said = true;
            }
        }
        self.last = Some(seen.clone());
    }
}

/// The whole picture, for a terminal.
fn picture(seen: &Seen) -> String {
    let mut out = String::from("\nPods\n");
    for pod in &seen.pods {
        let _ = writeln!(out, "  {:<24} {}", pod.name, pod.state);
    }
    out.push_str("Groups in their sidecars\n");
    for group in &seen.groups {
        let _ = writeln!(out, "  {:<24} {:<44} pushed {} s ago", group.pod, group.labels, group.age_seconds);
    }
    out.push_str("Series in Prometheus\n");
    for (series, value) in &seen.series {
        let _ = writeln!(out, "  {series} {value}");
    }
    let _ = writeln!(out, "Collected by the operator: {}", seen.collected);
    if seen.backup_seen {
        out.push_str("The Job's last push was seen by Prometheus.\n");
    }
    if seen.stale_gone {
        out.push_str("The stale group is gone from Prometheus.\n");
    }
    out
}

/// What is new since the last look, a line each.
fn changes(before: &Seen, now: &Seen) -> Vec<String> {
    let mut lines = Vec::new();
    for pod in now.pods.iter().filter(|pod| !before.pods.contains(pod)) {
        lines.push(format!("pod {}: {}", pod.name, pod.state));
    }
    let known = |seen: &Seen, labels: &str| seen.groups.iter().any(|group| group.labels == labels);
    for group in now.groups.iter().filter(|group| !known(before, &group.labels)) {
        lines.push(format!(
            "group {} in the sidecar of {}, pushed {} s ago",
            group.labels, group.pod, group.age_seconds
        ));
    }
    for group in before.groups.iter().filter(|group| !known(now, &group.labels)) {
        lines.push(format!("group {} is gone from the sidecar of {}", group.labels, group.pod));
    }
    let has = |seen: &Seen, name: &str| seen.series.iter().any(|(series, _)| series == name);
    for (series, value) in now.series.iter().filter(|(series, _)| !has(before, series)) {
        lines.push(format!("Prometheus has {series} {value}"));
    }
    for (series, _) in before.series.iter().filter(|(series, _)| !has(now, series)) {
        lines.push(format!("Prometheus no longer has {series}"));
    }
    if before.collected != now.collected {
        lines.push(format!("the operator has collected {}", now.collected));
    }
    if now.monitor_known && !before.monitor_known {
        lines.push("Prometheus knows the monitor; the Job starts".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{super::watch::SeenGroup, *};

    #[test]
    fn only_what_changed_is_said() {
        let group = SeenGroup { pod: "worker".to_owned(), labels: "{job=\"a\"}".to_owned(), age_seconds: 1 };
        let series = vec![("m{job=\"a\"}".to_owned(), 1.0)];
        let one = Seen { groups: vec![group.clone()], series: series.clone(), ..Seen::default() };
        let expected = ["group {job=\"a\"} in the sidecar of worker, pushed 1 s ago", "Prometheus has m{job=\"a\"} 1"];
        assert_eq!(changes(&Seen::default(), &one), expected);
        let later = Seen { groups: vec![SeenGroup { age_seconds: 2, ..group }], series, ..Seen::default() };
        assert_eq!(changes(&one, &later), [""; 0]);
        let gone = Seen { collected: 1, ..Seen::default() };
        let expected = [
            "group {job=\"a\"} is gone from the sidecar of worker",
            "Prometheus no longer has m{job=\"a\"}",
            "the operator has collected 1",
        ];
        assert_eq!(changes(&later, &gone), expected);
    }
}
