//! Many erasures, and those that mean one series.
//!
//! A delete by values has an erasure per series: they are found by number. What means many series
//! is asked one by one.

use firndb_engine::key::Seq;
use hashbrown::HashMap;

use super::{Erasure, apply};
use crate::model::{Columns, FieldId, SeriesId, TimeRange};

/// The erasures of one kind of partition.
#[derive(Debug, Default)]
pub struct ErasureSet {
    erasures: Vec<Erasure>,
    /// Places of the erasures that mean one series alone.
    by_series: HashMap<u32, Vec<u32>>,
    /// Places of the others.
    wide: Vec<u32>,
}

impl ErasureSet {
    /// A set of these.
    pub fn new(erasures: Vec<Erasure>) -> Self {
        let mut set = ErasureSet::default();
        for (erasure, at) in erasures.iter().zip(0..) {
            match erasure.series.minimum() {
                Some(series) if erasure.series.cardinality() == 1 => {
                    set.by_series.entry(series).or_default().push(at);
                }
                _ => set.wide.push(at),
            }
        }
        set.erasures = erasures;
        set
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.erasures.is_empty()
    }

    /// All of them.
    pub fn erasures(&self) -> &[Erasure] {
        &self.erasures
    }

    /// Those that mean `series`.
    pub fn of(&self, series: SeriesId) -> SeriesErasures {
        let alone = self.by_series.get(&series.0).into_iter().flatten();
        let alone = alone.map(|at| &self.erasures[*at as usize]);
        let wide = self.wide.iter().map(|at| &self.erasures[*at as usize]);
        let wide = wide.filter(|erasure| erasure.is_of(series));
        SeriesErasures(alone.chain(wide).cloned().collect())
    }
}

/// Erasures that mean one series.
#[derive(Debug, Clone, Default)]
pub struct SeriesErasures(Vec<Erasure>);

impl SeriesErasures {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of another set.
    pub fn extend(&mut self, other: SeriesErasures) {
        self.0.extend(other.0);
    }

    fn newer_than(&self, source: Seq) -> impl Iterator<Item = &Erasure> {
        self.0.iter().filter(move |erasure| erasure.seq > source)
    }

    /// Whether anything of a source of these `fields` that spans `range` may be gone.
    pub fn touch(
        &self,
        source: Seq,
        range: &TimeRange,
        fields: impl Iterator<Item = FieldId> + Clone,
    ) -> bool {
        self.newer_than(source).any(|erasure| {
            erasure.overlaps(range) && fields.clone().any(|field| erasure.is_of_field(field))
        })
    }

    /// Whether all of such a source is gone.
    pub fn cover(
        &self,
        source: Seq,
        range: &TimeRange,
        fields: impl Iterator<Item = FieldId> + Clone,
    ) -> bool {
        self.newer_than(source).any(|erasure| {
            erasure.covers(range) && fields.clone().all(|field| erasure.is_of_field(field))
        })
    }

    /// Takes what is gone out of the rows of a source.
    pub fn apply(&self, source: Seq, columns: &mut Columns) {
        if self.newer_than(source).next().is_some() {
            apply(self.newer_than(source), columns);
        }
    }
}
