//! Sends a sequence to both gateways, and finds the first request after which they differ more than they may.
//!
//! *Never:* which differences there may be.

use std::{collections::BTreeMap, time::Duration};

use e2e::{connection::Answer, wait};
use protocol::{GroupingKey, PathNames};

use crate::{
    deviations::{Rule, Situation, TABLE, reading::is_group},
    gateways::Gateways,
    page::Difference,
    request::Request,
};

/// So many requests are sent between two looks at the pages.
const BETWEEN_LOOKS: usize = 4;

/// How often the pages are compared before there is a pause.
const QUICK_LOOKS: usize = 3;

/// How long the pages may differ: the reference deletes after it has answered.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) sequences: usize,
    pub(crate) requests: usize,
    pub(crate) pushes: usize,
    pub(crate) accepted: usize,
    /// How often ours answered what.
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// How often each row of the table was used.
    pub(crate) uses: BTreeMap<&'static str, usize>,
}

/// A difference that nobody wants.
pub(crate) struct Failure {
    /// The request after which it was seen.
    pub(crate) at: usize,
    pub(crate) what: String,
}

/// One sequence on its way.
struct Run<'a> {
    gateways: &'a mut Gateways,
    tally: &'a mut Tally,
    /// The pushes since everything was removed, by the keys that ours reads.
    pushed: Vec<(GroupingKey, Request)>,
    /// Requests since the pages were last compared.
    unseen: usize,
}

/// Sends a sequence to both, from nothing; `None` if they agree.
pub(crate) fn run(gateways: &mut Gateways, sequence: &[Request], tally: &mut Tally) -> anyhow::Result<Option<Failure>> {
    gateways.wipe()?;
    tally.sequences += 1;
    let mut run = Run { gateways, tally, pushed: Vec::new(), unseen: 0 };
    for (at, request) in sequence.iter().enumerate() {
        if let Err(what) = run.step(request)? {
            return Ok(Some(Failure { at, what }));
        }
    }
    Ok(run.look(PATIENCE)?.map(|what| Failure { at: sequence.len() - 1, what }))
}

// === impl Tally ===

impl Tally {
    fn count(&mut self, request: &Request, ours: &Answer) {
        self.requests += 1;
        *self.statuses.entry(ours.status).or_default() += 1;
        if request.is_push() && (ours.status == 200 || ours.status == 400) {
            self.pushes += 1;
            self.accepted += usize::from(ours.status == 200);
        }
    }
}

// === impl Run ===

impl Run<'_> {
    fn step(&mut self, request: &Request) -> anyhow::Result<Result<(), String>> {
        let situation = self.situation(request);
        let may_store = row(|rule| matches!(rule, Rule::Differs { applies, .. } if applies(&situation))).is_some();
        if may_store
            && 0 < self.unseen
            && let Some(what) = self.look(PATIENCE)?
        {
            return Ok(Err(what));
        }
        let translated = self.translated(request);
        let (ours, reference) = match self.ask(request, &translated) {
            (Ok(ours), Ok(reference)) => (ours, reference),
            (Err(error), _) => return Ok(Err(format!("no answer of ours: {error:#}"))),
            (_, Err(error)) => return Ok(Err(format!("no answer of the reference: {error:#}"))),
        };
        self.tally.count(request, &ours);
        let situation = self.situation(&translated);
        let kills = row(|rule| matches!(rule, Rule::Kills { applies } if applies(&situation)));
        if let Some(name) = kills.filter(|_| (400..500).contains(&ours.status)) {
            self.used(name);
            self.gateways.reference.restart()?;
            self.afresh()?;
            return Ok(Ok(()));
        }
        let fits = |statuses: &[u16], answer: &Answer| statuses.is_empty() || statuses.contains(&answer.status);
        let situation = self.situation(request);
        let answers = row(|rule| match rule {
            Rule::Answers { applies, ours: mine, reference: theirs }
            | Rule::Differs { applies, ours: mine, reference: theirs } => {
                fits(mine, &ours) && fits(theirs, &reference) && applies(&situation)
            }
            Rule::Means(_) | Rule::Kills { .. } | Rule::Help => false,
        });
        if 500 <= ours.status {
            return Ok(Err(format!("ours fails: {} {:?}", ours.status, String::from_utf8_lossy(&ours.body))));
        }
        if is_group(request) && (300..400).contains(&ours.status) {
            return Ok(Err(format!("a push path is redirected: {}", ours.status)));
        }
        if let Some(difference) = difference(request, &ours, &reference) {
            let Some(name) = answers else { return Ok(Err(difference)) };
            self.used(name);
            self.afresh()?;
            return Ok(Ok(()));
        }
        self.unseen += 1;
        if request.is_push()
            && let Some(key) = key(request)
        {
            self.pushed.push((key, request.clone()));
        }
        if may_store {
            if let Some(what) = self.look(Duration::ZERO)? {
                let Some(name) = answers else { return Ok(Err(what)) };
                self.used(name);
                self.afresh()?;
            }
        } else if BETWEEN_LOOKS <= self.unseen
            && let Some(what) = self.look(PATIENCE)?
        {
            return Ok(Err(what));
        }
        Ok(Ok(()))
    }

    /// The request in the words that the reference knows.
    fn translated(&mut self, request: &Request) -> Request {
        let mut translated = request.clone();
        for row in TABLE {
            if let Rule::Means(means) = row.rule
                && let Some(other) = means(&translated)
            {
                translated = other;
                self.used(row.name);
            }
        }
        translated
    }

    fn ask(&mut self, request: &Request, translated: &Request) -> (anyhow::Result<Answer>, anyhow::Result<Answer>) {
        let Gateways { ours, reference } = self.gateways;
        // Both at work at once.
        let sent = (ours.send(request.bytes()), reference.send(translated.bytes()));
        (sent.0.and_then(|()| ours.receive()), sent.1.and_then(|()| reference.receive()))
    }

    /// Compares the pages; says how they differ after so long.
    fn look(&mut self, patience: Duration) -> anyhow::Result<Option<String>> {
        self.unseen = 0;
        let mut differs = self.page_difference()?;
        // Mostly, the reference needs a moment only.
        for _ in 0..QUICK_LOOKS {
            if differs.is_none() {
                return Ok(None);
            }
            differs = self.page_difference()?;
        }
        let same = wait::blocking("the same page", patience, || {
            differs = self.page_difference()?;
            Ok(differs.is_none().then_some(()))
        });
        Ok(if same.is_ok() { None } else { Some(differs.unwrap_or_else(|| format!("{same:?}"))) })
    }

    fn page_difference(&mut self) -> anyhow::Result<Option<String>> {
        let ours = self.gateways.ours.scrape()?;
        let reference = match self.gateways.reference.scrape() {
            Ok(page) => page,
            Err(error) => return Ok(Some(format!("the reference: {error:#}"))),
        };
        let helps = match ours.difference(&reference) {
            None => return Ok(None),
            Some(Difference::Other(what)) => return Ok(Some(what)),
            Some(Difference::Help(helps)) => helps,
        };
        for (family, mine, theirs) in helps {
            let given = self.gateways.reference.helps(&family)?;
            let row = row(|rule| match rule {
                Rule::Help => given.contains(&mine) && given.contains(&theirs),
                Rule::Means(_) | Rule::Answers { .. } | Rule::Differs { .. } | Rule::Kills { .. } => false,
            });
            let Some(name) = row else {
                return Ok(Some(format!("help of {family} is {mine:?} against {theirs:?}, of {given:?}")));
            };
            self.used(name);
        }
        Ok(None)
    }

    fn afresh(&mut self) -> anyhow::Result<()> {
        self.pushed.clear();
        self.unseen = 0;
        self.gateways.wipe()
    }

    fn situation<'a>(&'a self, request: &'a Request) -> Situation<'a> {
        Situation { request, pushed: &self.pushed }
    }

    fn used(&mut self, name: &'static str) {
        *self.tally.uses.entry(name).or_default() += 1;
    }
}

/// The first row that fits.
fn row(fits: impl Fn(&Rule) -> bool) -> Option<&'static str> {
    TABLE.iter().find(|row| fits(&row.rule)).map(|row| row.name)
}

/// The key that a push path names to ours.
pub(crate) fn key(request: &Request) -> Option<GroupingKey> {
    GroupingKey::from_path(std::str::from_utf8(request.path()).ok()?, PathNames::Legacy).ok()
}

/// How two answers to one request differ.
fn difference(request: &Request, ours: &Answer, reference: &Answer) -> Option<String> {
    let brief = |answer: &Answer| {
        let text = String::from_utf8_lossy(&answer.body).chars().take(300).collect::<String>();
        format!("{} {:?} {text:?}", answer.status, answer.headers.get("allow"))
    };
    let same_status = ours.status == reference.status;
    let same_list = ours.headers.get("allow") == reference.headers.get("allow");
    let same_body = !request.target.starts_with(b"/-/") || ours.body == reference.body || 400 <= ours.status;
    if same_status && same_list && same_body {
        return None;
    }
    Some(format!("answer\n    {}\n  against\n    {}", brief(ours), brief(reference)))
}
