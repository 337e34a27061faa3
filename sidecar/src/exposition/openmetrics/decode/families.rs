//! Which family a line belongs to, and what it adds there.
//!
//! The lines `TYPE`, `HELP` and `UNIT` name a family as OpenMetrics has it, here a [`Header`]; the families that come
//! out are named as Prometheus names their samples. So the header `x` of a counter has the family `x_total`, and, for
//! those who write as in the text format, `x`.
//!
//! *Never:* text.

use super::{
    BTreeMap, Created, Exemplar, Family, HashMap, Kind, LabelSet, Limit, Limits, Malformed, Metric, MetricFamily, Part,
    Quoted, Sample, Timestamp, Value, seconds, text,
};

/// The headers of a body so far, in the order of their first lines.
pub(super) struct Families<'a> {
    headers: Vec<Header>,
    /// By their own names, and by those of their samples.
    by_name: HashMap<String, usize>,
    series: usize,
    limits: &'a Limits,
}

struct Header {
    name: String,
    help: String,
    unit: String,
    /// Known from a `TYPE` line, or untyped with the first sample.
    kind: Option<Kind>,
    families: Vec<Member>,
    created: BTreeMap<LabelSet, CreatedLine>,
}

/// A family under a header.
struct Member {
    family: Family,
    /// When which of its numbers was; empty without timestamps.
    times: HashMap<LabelSet, i64>,
}

/// What a line is to its header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A number, of the family that has the line's name.
    Number,
    /// A part of a metric of the family that has the header's name.
    Part(Part),
    /// When the counting began.
    Created,
}

struct CreatedLine {
    at: Timestamp,
    value: f64,
    timestamp: Option<i64>,
}

// === impl Families ===

impl<'a> Families<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { headers: Vec::new(), by_name: HashMap::new(), series: 0, limits }
    }

    /// Help for a part of a family is no help for the family.
    pub(super) fn help(&mut self, name: &str, help: String) -> Result<(), Malformed> {
        self.check(Limit::Help, help.len())?;
        let header = self.declared(name)?;
        if header.name != name {
            return Ok(());
        }
        if !header.help.is_empty() {
            return Err(text::Malformed::SecondHelp(header.name.clone()).into());
        }
        header.help = help;
        Ok(())
    }

    pub(super) fn unit(&mut self, name: &str, unit: &str) -> Result<(), Malformed> {
        self.check(Limit::Help, unit.len())?;
        let header = self.declared(name)?;
        if header.name != name {
            return Ok(());
        }
        if !header.unit.is_empty() {
            return Err(Malformed::SecondUnit(header.name.clone()));
        }
        unit.clone_into(&mut header.unit);
        Ok(())
    }

    pub(super) fn kind(&mut self, name: &str, word: &str) -> Result<(), Malformed> {
        let header = self.declared(name)?;
        if !header.families.is_empty() || !header.created.is_empty() {
            return Err(text::Malformed::LateType(header.name.clone()).into());
        }
        if header.kind.is_some() {
            return Err(text::Malformed::SecondType(header.name.clone()).into());
        }
        header.kind = Some(kind_of(word).ok_or_else(|| Malformed::Type(Quoted(word.to_owned())))?);
        Ok(())
    }

    pub(super) fn add(&mut self, sample: Sample, exemplar: Option<Exemplar>) -> Result<(), Malformed> {
        self.limits.check_labels(&sample.labels).map_err(text::Malformed::Excess)?;
        let header = self.header_of(&sample.name, |kind, suffix| role(kind, suffix).is_some())?;
        if header.add(sample, exemplar)? {
            self.series += 1;
            self.check(Limit::Series, self.series)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.headers.into_iter().flat_map(Header::finish).collect()
    }

    /// The header that a comment is about. As in the text format, a part of a histogram has none of its own.
    fn declared(&mut self, name: &str) -> Result<&mut Header, Malformed> {
        self.header_of(name, |kind, suffix| kind.suffixes().contains(&suffix))
    }

    /// The header of that name; else the one that the name belongs to with its suffix; else a new one.
    fn header_of(&mut self, name: &str, belongs: impl Fn(Kind, &str) -> bool) -> Result<&mut Header, Malformed> {
        let known = self.by_name.get(name).copied();
        let index = match known.or_else(|| self.suffixed(name, belongs)) {
            Some(index) => index,
            None => {
                self.check(Limit::MetricName, name.len())?;
                // Those without series take their room too.
                self.check(Limit::Series, self.headers.len() + 1)?;
                self.headers.push(Header::new(name));
                self.headers.len() - 1
            }
        };
        if known.is_none() {
            self.by_name.insert(name.to_owned(), index);
        }
        #[expect(clippy::indexing_slicing, reason = "indices come from this vector, which only grows")]
        Ok(&mut self.headers[index])
    }

    fn check(&self, limit: Limit, found: usize) -> Result<(), Malformed> {
        Ok(self.limits.check(limit, found).map_err(text::Malformed::Excess)?)
    }

    fn suffixed(&self, name: &str, belongs: impl Fn(Kind, &str) -> bool) -> Option<usize> {
        let (base, suffix) = name.split_at_checked(name.rfind('_')?)?;
        let index = *self.by_name.get(base)?;
        let header = self.headers.get(index).filter(|header| header.name == base)?;
        header.kind.is_some_and(|kind| belongs(kind, suffix)).then_some(index)
    }
}

// === impl Header ===

impl Header {
    fn new(name: &str) -> Self {
        let (help, unit, families, created) = Default::default();
        Self { name: name.to_owned(), help, unit, kind: None, families, created }
    }

    /// Whether it is a series of its own.
    fn add(&mut self, sample: Sample, exemplar: Option<Exemplar>) -> Result<bool, Malformed> {
        let kind = *self.kind.get_or_insert(Kind::Untyped);
        let suffix = sample.name.strip_prefix(&self.name).unwrap_or_default();
        let role = role(kind, suffix).unwrap_or(Role::Number);
        let can_have_exemplar = match role {
            Role::Number => kind == Kind::Counter,
            Role::Part(part) => part == Part::Inner && kind != Kind::Summary,
            Role::Created => false,
        };
        if exemplar.is_some() && !can_have_exemplar {
            return Err(Malformed::Exemplar(sample.name));
        }
        let written = || Quoted(sample.written.clone());
        match kind {
            Kind::Info if sample.value != 1.0 => return Err(Malformed::Info(written())),
            Kind::StateSet if ![0.0, 1.0].contains(&sample.value) => return Err(Malformed::StateSet(written())),
            Kind::Counter
            | Kind::Gauge
            | Kind::Summary
            | Kind::Untyped
            | Kind::Histogram
            | Kind::GaugeHistogram
            | Kind::Info
            | Kind::StateSet => {}
        }
        match role {
            Role::Created => self.add_created(sample).map(|()| true),
            Role::Number => self.member(&sample.name.clone()).add(Part::Inner, sample, exemplar),
            Role::Part(part) => self.member(&self.name.clone()).add(part, sample, exemplar),
        }
    }

    fn add_created(&mut self, sample: Sample) -> Result<(), Malformed> {
        let Sample { name, labels, value, written, timestamp } = sample;
        let at = seconds::parse(&written).ok_or(Malformed::Created(Quoted(written)))?;
        match self.created.insert(labels, CreatedLine { at, value, timestamp }) {
            Some(_) => Err(Malformed::SecondCreated(name)),
            None => Ok(()),
        }
    }

    fn member(&mut self, name: &str) -> &mut Member {
        let known = self.families.iter().position(|member| member.family.name == name);
        let index = known.unwrap_or_else(|| {
            let mut family = Family::new(name);
            family.kind = self.kind;
            self.families.push(Member { family, times: HashMap::new() });
            self.families.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found in this vector, or pushed to it")]
        &mut self.families[index]
    }

    /// The families, and those of the `_created` lines that tell of no metric.
    fn finish(mut self) -> Vec<MetricFamily> {
        let counted = match self.kind {
            Some(Kind::Counter) => format!("{}_total", self.name),
            Some(_) | None => self.name.clone(),
        };
        let mut finished: Vec<_> = self.families.into_iter().map(|member| member.family.finish()).collect();
        for family in &mut finished {
            (family.help, family.unit) = (self.help.clone(), self.unit.clone());
            if self.created.is_empty() || family.name != counted {
                continue;
            }
            for metric in &mut family.metrics {
                if let Some(line) = self.created.remove(&metric.labels) {
                    metric.extra.get_or_insert_default().created = Some(Created { at: line.at, is_line: true });
                }
            }
        }
        if !self.created.is_empty() {
            let metric = |(labels, line): (LabelSet, CreatedLine)| {
                let value = Value::Number(line.value);
                Metric { labels, value, timestamp: line.timestamp, extra: None }
            };
            let metrics = self.created.into_iter().map(metric).collect();
            let (name, help, unit) = (format!("{}_created", self.name), String::new(), String::new());
            finished.push(MetricFamily { name, help, unit, kind: Kind::Untyped, metrics });
        }
        finished
    }
}

// === impl Member ===

impl Member {
    /// Whether it is a series of its own.
    fn add(&mut self, part: Part, sample: Sample, exemplar: Option<Exemplar>) -> Result<bool, Malformed> {
        let before = self.family.metrics.len();
        let (name, timestamp) = (sample.name.clone(), sample.timestamp);
        let is_number = self.family.kind.is_none_or(|kind| kind.inner_label().is_none());
        let mut first = None;
        if let (true, Some(timestamp)) = (is_number, timestamp) {
            first = self.times.insert(sample.labels.clone(), timestamp);
        }
        let metric = self.family.add_part(part, sample)?;
        match (first.or(metric.timestamp), timestamp) {
            (Some(first), Some(second)) if first != second => {
                return Err(Malformed::SecondPoint { name, first, second });
            }
            _ => {}
        }
        if let Some(exemplar) = exemplar {
            let extra = metric.extra.get_or_insert_default();
            match &metric.value {
                Value::Histogram(histogram) => {
                    extra.bucket_exemplars.insert(histogram.buckets.len().saturating_sub(1), exemplar);
                }
                Value::Number(_) | Value::Summary(_) => extra.exemplars = vec![exemplar],
            }
        }
        Ok(before < self.family.metrics.len())
    }
}

/// The kind that a word of a `TYPE` line means: those of OpenMetrics, and those of the text format.
fn kind_of(word: &str) -> Option<Kind> {
    let words = [("unknown", Kind::Untyped), ("info", Kind::Info), ("stateset", Kind::StateSet)];
    let found = words.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, kind)| kind);
    found.or_else(|| Kind::from_word(word))
}

/// What a line with that suffix is to a header of that kind; `None` if it does not belong there.
fn role(kind: Kind, suffix: &str) -> Option<Role> {
    let is_composed = kind.inner_label().is_some();
    match (suffix, kind) {
        ("", _) if is_composed => Some(Role::Part(Part::Inner)),
        ("", _) | ("_total", Kind::Counter) | ("_info", Kind::Info) => Some(Role::Number),
        ("_created", Kind::Counter | Kind::Summary | Kind::Histogram) => Some(Role::Created),
        ("_gsum", Kind::GaugeHistogram) => Some(Role::Part(Part::Sum)),
        ("_gcount", Kind::GaugeHistogram) => Some(Role::Part(Part::Count)),
        ("_sum", _) if is_composed => Some(Role::Part(Part::Sum)),
        ("_count", _) if is_composed => Some(Role::Part(Part::Count)),
        ("_bucket", Kind::Histogram | Kind::GaugeHistogram) => Some(Role::Part(Part::Inner)),
        _ => None,
    }
}
