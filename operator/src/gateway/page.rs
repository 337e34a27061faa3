//! Of a gateway's page, the lines with push times, while it comes in. Pure: chunks in, lines out.
//!
//! A page has all that was ever pushed and may be large; what is kept of it is bounded, and so is what is read. Families
//! come whole, one after the other, so a page is read no further than the end of the push times: what is pushed under
//! later names costs nothing, and a removal need not wait for it.
//!
//! A last line without its line feed is not taken: a number that was cut off is another number.
//!
//! *Never:* labels and values, the network.

use protocol::{
    LabelSet,
    label_set::parse_block,
    series::{PUSH_FAILURE_TIME_SECONDS, PUSH_TIME_SECONDS},
};

/// The most bytes that are read of a page.
pub const LONGEST_PAGE: usize = 64 << 20;

/// The most bytes that are kept of a page: two lines of 200 bytes for each of the groups that are taken from one.
pub const LONGEST_KEPT: usize = 8 << 20;

/// The longest line that is kept, in bytes.
const LONGEST_LINE: usize = 128 << 10;

/// What stands for a line that cannot be kept: the reader counts it as unreadable.
const UNREADABLE: &str = PUSH_TIME_SECONDS;

/// What a gateway shows of itself, in all versions, starts with this.
const OWN: &str = "pushgateway_";

/// The lines of a page that is coming in.
#[derive(Debug, Default)]
pub struct PushLines {
    /// Whose lines are kept, if not everybody's.
    only: Option<LabelSet>,
    kept: String,
    line: Vec<u8>,
    /// Whether the line is longer than what is there of it.
    is_cut: bool,
    read: usize,
    has_push_times: bool,
    has_own: bool,
    is_over: bool,
}

/// Why a page is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It goes on and on.
    #[error("expected the push times within {LONGEST_PAGE} bytes, found a longer page")]
    TooLong,
    /// It has more push times than can be kept.
    #[error("expected at most {LONGEST_KEPT} bytes of push times, found more")]
    TooMany,
    /// It was cut off.
    #[error("expected a line feed at the end of the page, found none")]
    CutOff,
    /// It is not the page of a Pushgateway.
    #[error(
        "expected the page of a Pushgateway, found neither {PUSH_TIME_SECONDS} nor a metric of its own ({OWN}…): \
         give its address without /metrics"
    )]
    NoPushgateway,
}

// === impl PushLines ===

impl PushLines {
    /// Keeps the lines with these labels alone.
    #[must_use]
    pub fn only_of(labels: LabelSet) -> Self {
        Self { only: Some(labels), ..Self::default() }
    }

    /// How many bytes are kept by now.
    #[must_use]
    pub fn length(&self) -> usize {
        self.kept.len()
    }

    /// Takes the next chunk; false when nothing of what follows matters.
    ///
    /// # Errors
    /// When the page is too long, or has too many push times.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<bool, PageError> {
        self.read = self.read.saturating_add(chunk.len());
        let mut rest = chunk;
        while !self.is_over {
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.add(rest);
                break;
            };
            let (part, after) = rest.split_at(end);
            if self.line.is_empty() && part.len() <= LONGEST_LINE {
                self.take_line(part, self.is_cut)?;
            } else {
                self.add(part);
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, self.is_cut)?;
            }
            self.is_cut = false;
            rest = after.get(1..).unwrap_or_default();
        }
        if !self.is_over && LONGEST_PAGE < self.read {
            return Err(PageError::TooLong);
        }
        Ok(!self.is_over)
    }

    /// The lines, once the page has ended or nothing more of it matters.
    ///
    /// # Errors
    /// When it was cut off, or is not the page of a Pushgateway.
    pub fn finish(self) -> Result<String, PageError> {
        if !self.is_over && (!self.line.is_empty() || self.is_cut) {
            return Err(PageError::CutOff);
        }
        if self.has_push_times || self.has_own { Ok(self.kept) } else { Err(PageError::NoPushgateway) }
    }

    fn add(&mut self, part: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.is_cut |= room < part.len();
        self.line.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    fn take_line(&mut self, line: &[u8], is_cut: bool) -> Result<(), PageError> {
        let is_comment = line.starts_with(b"#");
        // The name of a comment is its third word: `# TYPE name type`.
        let word = line.split(|byte| matches!(byte, b' ' | b'\t' | b'{')).nth(if is_comment { 2 } else { 0 });
        let name = word.unwrap_or_default();
        self.has_own |= name.starts_with(OWN.as_bytes());
        let is_push_time = name == PUSH_TIME_SECONDS.as_bytes();
        if !is_push_time && name != PUSH_FAILURE_TIME_SECONDS.as_bytes() {
            // Only a line that says something ends the family.
            self.is_over = self.has_push_times && !line.is_empty();
            return Ok(());
        }
        self.has_push_times |= is_push_time && !is_comment;
        let text = std::str::from_utf8(line).ok().filter(|_| !is_cut).unwrap_or(UNREADABLE);
        if !is_comment && self.only.as_ref().is_some_and(|labels| !has_labels(text, labels)) {
            return Ok(());
        }
        if LONGEST_KEPT < self.kept.len() + text.len() {
            return Err(PageError::TooMany);
        }
        self.kept.push_str(text);
        self.kept.push('\n');
        Ok(())
    }
}

/// Whether a sample is there with just these labels, each once.
fn has_labels(sample: &str, labels: &LabelSet) -> bool {
    let block = sample.find('{').and_then(|start| parse_block(sample.get(start..)?).ok());
    let found = block.map(|block| block.labels).filter(|found| found.len() == labels.len());
    found.is_some_and(|found| found.into_iter().collect::<LabelSet>() == *labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sidecar::push_times;

    const PAGE: &str = "# HELP a x\n# TYPE a gauge\na{job=\"j\"} 1\n\
        # HELP push_failure_time_seconds Last.\n# TYPE push_failure_time_seconds gauge\n\
        push_failure_time_seconds{instance=\"\",job=\"j\"} 0\n\
        # HELP push_time_seconds Last.\n# TYPE push_time_seconds gauge\n\
        push_time_seconds{instance=\"\",job=\"j\"} 1.5e+09\npush_time_seconds{instance=\"\",job=\"k\"} 2\n";

    fn lines(chunks: &[&[u8]]) -> Result<String, PageError> {
        let mut lines = PushLines::default();
        for chunk in chunks {
            if !lines.feed(chunk)? {
                break;
            }
        }
        lines.finish()
    }

    #[test]
    fn only_push_times_are_kept() {
        let kept = lines(&[PAGE.as_bytes()]).unwrap();
        assert_eq!(kept.lines().count(), 7);
        let reading = push_times::read(&kept);
        assert_eq!((reading.groups.len(), reading.unreadable), (2, 0));
        assert_eq!(reading, push_times::read(PAGE));
    }

    #[test]
    fn of_one_group_alone_its_lines_are_kept() {
        let wanted = LabelSet::from_iter([("job", "j"), ("instance", "")]);
        let mut lines = PushLines::only_of(wanted.clone());
        let odd = "push_time_seconds{job=\"j\",job=\"j\"} 1\npush_time_seconds{instance=\"\",job=\"j\",x=\"\"} 1\n\
                   push_time_seconds 1\npush_time_seconds{instance=\"\",job=\"j\"\n";
        lines.feed(PAGE.as_bytes()).unwrap();
        lines.feed(odd.as_bytes()).unwrap();
        assert!(lines.feed(b"q 1\n").is_ok_and(|goes_on| !goes_on));
        let (kept, all) = (push_times::read(&lines.finish().unwrap()), push_times::read(PAGE));
        assert_eq!((kept.groups, kept.unreadable), (all.groups[..1].to_vec(), 0));
        // One that is there twice is nobody's to trust, here as there.
        let mut lines = PushLines::only_of(wanted);
        lines.feed(PAGE.as_bytes()).unwrap();
        lines.feed(b"push_time_seconds{instance=\"\",job=\"j\"} 2\n").unwrap();
        assert!(push_times::read(&lines.finish().unwrap()).groups.is_empty());
    }

    #[test]
    fn a_page_is_read_no_further_than_its_push_times() {
        for next in ["# HELP q x\n", "q 1\n", "push_time_seconds_of_mine 1\n", "pushgateway_build_info 1\n"] {
            let mut lines = PushLines::default();
            assert!(lines.feed(PAGE.as_bytes()).unwrap(), "more push times may come");
            assert!(!lines.feed(next.as_bytes()).unwrap(), "{next}");
            assert!(!lines.feed(b"push_time_seconds{job=\"late\"} 1\ncut o").unwrap());
            assert!(!lines.finish().unwrap().contains("late"));
        }
    }

    #[test]
    fn a_page_that_is_cut_off_is_not_taken() {
        let cut = PAGE.trim_end().as_bytes();
        assert_eq!(lines(&[cut]), Err(PageError::CutOff));
        assert_eq!(
            lines(&[cut, b"0\n"]).unwrap().lines().last(),
            Some("push_time_seconds{instance=\"\",job=\"k\"} 20")
        );
    }

    #[test]
    fn what_is_read_and_what_is_kept_is_bounded() {
        let chunk = b"a 1\n".repeat(1 << 18);
        let mut page = PushLines::default();
        let taken = (0..).take_while(|_| page.feed(&chunk).is_ok()).take(100).count();
        assert_eq!(taken, LONGEST_PAGE / chunk.len());
        assert!(page.kept.is_empty() && page.line.capacity() < chunk.len());

        let mut page = PushLines::default();
        let chunk = b"push_time_seconds{job=\"a\"} 1\n".repeat(1 << 14);
        let error = (0..100).find_map(|_| page.feed(&chunk).err());
        assert_eq!(error, Some(PageError::TooMany));
        assert!(page.kept.len() <= LONGEST_KEPT + 1);
    }

    #[test]
    fn a_line_that_cannot_be_kept_counts_as_unreadable() {
        let long = format!("push_time_seconds{{job=\"{}\"}} 1\n", "x".repeat(LONGEST_LINE));
        let broken = b"push_time_seconds{job=\"\xff\"} 1\n";
        let kept = lines(&[PAGE.as_bytes(), long.as_bytes(), broken]).unwrap();
        let reading = push_times::read(&kept);
        assert_eq!((reading.groups.len(), reading.unreadable), (2, 2));
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut page = PushLines::default();
        for _ in 0..20 {
            page.feed(&[b'x'; 1 << 16]).unwrap();
        }
        assert!(page.line.len() <= LONGEST_LINE);
        assert_eq!(page.finish(), Err(PageError::CutOff));
    }

    #[test]
    fn another_page_is_told_from_one_without_groups() {
        let none = "# TYPE pushgateway_build_info gauge\npushgateway_build_info{version=\"0.4.0\"} 1\n";
        assert_eq!(lines(&[none.as_bytes()]).as_deref(), Ok(""));
        for other in ["", "<html>\n</html>\n", "node_load1 1\n"] {
            let error = lines(&[other.as_bytes()]).unwrap_err();
            assert_eq!(error, PageError::NoPushgateway, "{other}");
        }
        assert!(PageError::NoPushgateway.to_string().starts_with("expected the page of a Pushgateway, found neither"));
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(cuts in prop::collection::vec(0..PAGE.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, PAGE.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &PAGE.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(lines(&chunks), lines(&[PAGE.as_bytes()]));
        }

        #[test]
        fn no_page_breaks_it(page in any::<Vec<u8>>()) {
            let _ = lines(&[&page]);
        }

        #[test]
        fn what_is_kept_reads_as_the_whole_page_does(jobs in prop::collection::btree_set("[^\r\n]{1,8}", 0..6)) {
            let mut page = "# TYPE a gauge\na 1\n# TYPE push_time_seconds gauge\n".to_owned();
            for job in &jobs {
                let labels: protocol::LabelSet = [("job", job.as_str()), ("instance", "")].into_iter().collect();
                page += &format!("push_time_seconds{labels} 7\n");
            }
            page += "# TYPE pushgateway_x gauge\npushgateway_x 1\n";
            let kept = lines(&[page.as_bytes()]).unwrap();
            prop_assert_eq!(push_times::read(&kept), push_times::read(&page));
        }
    }
}
