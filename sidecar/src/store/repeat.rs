//! Pushes that say the same as the one before them, with other numbers.
//!
//! What was found out about the first is true of the next: its names, labels, types and help fit beside all others. So
//! such a push is not prepared and not checked; its numbers take the place of those that are there. It needs a group
//! that has what its last push gave it and nothing else, all of it plain numbers.
//!
//! *Never:* what a body looks like.

use std::{sync::Arc, time::Duration};

use protocol::GroupingKey;

use super::{
    change::Times,
    group::{Group, GroupFamily, PreparedFamily},
    index::{Decision, Index},
    slots::Slots,
};
use crate::{clock::UnixSeconds, exposition::text::write_number};

/// A push whose body has the outline of one that was pushed before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeat<'a> {
    /// The group.
    pub key: &'a GroupingKey,
    /// That of the body.
    pub outline: u64,
    /// In the order of the body.
    pub numbers: &'a [f64],
    /// How old the group may grow, where the push says so.
    pub stale_after: Option<Duration>,
}

/// What the last accepted push of a group was like.
#[derive(Debug)]
pub(super) struct Known {
    outline: u64,
    /// How many series the group has.
    series: usize,
    /// The places of the group's families, in the order pushed; nothing where that is their own.
    places: Box<[u32]>,
}

/// A body that is being pushed, as the next one may repeat it.
#[derive(Debug)]
pub(super) struct Outline {
    outline: u64,
    /// The names of the families, in the order of the body.
    names: Vec<String>,
}

/// Numbers for all series of a group.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) values: Vec<f64>,
    /// As those of [`Known`], for the order of the numbers.
    pub(super) places: Box<[u32]>,
    /// The numbers as they are shown, one behind the other.
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

// === impl Outline ===

impl Outline {
    pub(super) fn new(outline: u64, families: &[PreparedFamily]) -> Self {
        Self { outline, names: families.iter().map(|family| family.name.clone()).collect() }
    }
}

// === impl Numbers ===

impl Numbers {
    pub(super) fn new(values: Vec<f64>) -> Self {
        let (mut text, mut ends) = (String::with_capacity(16 * values.len()), Vec::with_capacity(values.len()));
        for value in &values {
            let written = write_number(&mut text, *value);
            debug_assert!(written.is_ok(), "a string grows as it needs to");
            ends.push(text.len());
        }
        Self { values, places: Box::default(), text, ends }
    }

    pub(super) fn at(self, places: Box<[u32]>) -> Self {
        Self { places, ..self }
    }

    fn shown(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.text.get(start..*end).unwrap_or_default())
    }
}

// === impl Group ===

impl Group {
    /// What a push lets the next one repeat; nothing unless its families are all that the group has, and plain numbers.
    fn known(&self, pushed: &Outline, slots: &Slots) -> Option<Known> {
        let ids = self.families.iter().flat_map(|family| family.series.as_slice());
        let are_plain = ids.into_iter().all(|id| slots.get(*id).series.is_plain());
        if !are_plain || pushed.names.len() != self.families.len() {
            return None;
        }
        let places = pushed.names.iter().map(|name| u32::try_from(self.place_of(name)?).ok());
        let places: Vec<u32> = places.collect::<Option<_>>()?;
        let places = if places.is_sorted() { Box::default() } else { places.into() };
        Some(Known { outline: pushed.outline, series: self.series(), places })
    }

    /// Its families in the order of the places.
    fn in_order<'a>(&'a self, places: &'a [u32]) -> impl Iterator<Item = &'a GroupFamily> {
        let own = if places.is_empty() { &*self.families } else { &[] };
        own.iter().chain(places.iter().filter_map(|place| self.families.get(usize::try_from(*place).ok()?)))
    }
}

// === impl Index ===

impl Index {
    /// Whether a push repeats the last one of its group.
    pub(super) fn repeats(&self, repeat: &Repeat<'_>) -> bool {
        self.repeated(repeat).is_some()
    }

    /// `None` where the push has to be read after all. The numbers are those of the push.
    pub(super) fn decide_repeat(&self, repeat: &Repeat<'_>, numbers: Numbers, now: UnixSeconds) -> Option<Decision> {
        let (group, known) = self.repeated(repeat)?;
        let times = Times { push_time: group.next_push_time(now), failure_time: group.failure_time };
        let (key, numbers) = (Arc::clone(&group.key), numbers.at(known.places.clone()));
        Some(Decision::Repeat { key, numbers, times, stale_after: repeat.stale_after })
    }

    fn repeated(&self, repeat: &Repeat<'_>) -> Option<(&Group, &Known)> {
        let group = self.groups.find(repeat.key)?;
        let is_same = |known: &&Known| known.outline == repeat.outline && known.series == repeat.numbers.len();
        Some((group, group.known.as_ref().filter(is_same)?))
    }

    /// Whether a group has a plain series for each of the numbers, as one has whose push is being repeated.
    pub(super) fn has_room_for(&self, key: &GroupingKey, numbers: &Numbers) -> bool {
        let Some(group) = self.groups.find(key) else { return false };
        let mut ids = group.in_order(&numbers.places).flat_map(|family| family.series.as_slice());
        let count = ids.try_fold(0, |count, id| self.slots.get(*id).series.is_plain().then_some(count + 1));
        count == Some(numbers.values.len()) && group.series() == numbers.values.len()
    }

    /// Puts the numbers in their places.
    pub(super) fn renumber(&mut self, group: u32, numbers: &Numbers, times: Times) {
        let Some(group) = self.groups.get_mut(group) else {
            return;
        };
        group.families.iter_mut().for_each(|family| family.time = times.push_time);
        let ids = group.in_order(&numbers.places).flat_map(|family| family.series.as_slice());
        for (id, number) in ids.zip(numbers.shown()) {
            self.slots.renumber(*id, number, self.revision);
        }
    }

    /// Remembers what the next push of a group may repeat.
    pub(super) fn know(&mut self, group: u32, pushed: Option<Outline>) {
        if let Some(group) = self.groups.get_mut(group) {
            group.known = pushed.and_then(|pushed| group.known(&pushed, &self.slots));
        }
    }
}
