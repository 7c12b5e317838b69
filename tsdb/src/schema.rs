//! The schema: what measurements a database has, their fields with types, their tag keys.
//!
//! Kept whole in memory; its entries lie in the index keyspace, so that a drop of the database
//! takes them along. A measurement's description is immutable: who adds a field publishes a new
//! one, after the entry is in the log.

use std::sync::Arc;

use firndb_engine::budget::{Budget, Reservation, Share};
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::model::{FieldId, FieldType, MeasurementId};

/// What is known of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasurementInfo {
    /// Its number.
    pub id: MeasurementId,
    /// Its name.
    pub name: String,
    /// Fields in the order of their numbers.
    pub fields: Vec<FieldInfo>,
    /// Tag keys, sorted.
    pub tag_keys: Vec<String>,
    /// Indexes into `fields` in the order of names.
    by_name: Vec<u16>,
    /// No new field gets a number below this.
    next_field: u32,
}

/// A field of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldInfo {
    /// Key.
    pub name: String,
    /// Its number within the measurement.
    pub id: FieldId,
    /// Type, fixed at the first write.
    pub field_type: FieldType,
}

impl MeasurementInfo {
    /// A measurement without fields.
    pub fn new(id: MeasurementId, name: &str) -> Self {
        MeasurementInfo {
            id,
            name: name.to_owned(),
            fields: Vec::new(),
            tag_keys: Vec::new(),
            by_name: Vec::new(),
            next_field: 0,
        }
    }

    /// A measurement whose new fields get no number below `next_field`.
    pub(crate) fn with_next_field(mut self, next_field: u32) -> Self {
        self.next_field = next_field;
        self
    }

    /// Itself without some fields, whose numbers are not given again.
    pub(crate) fn without_fields(&self, gone: &[FieldId]) -> MeasurementInfo {
        let mut left = MeasurementInfo::new(self.id, &self.name);
        left.next_field = self.next_field().0;
        left.tag_keys = self.tag_keys.clone();
        for field in self.fields.iter().filter(|field| !gone.contains(&field.id)) {
            left.add_field(field.clone());
        }
        left
    }

    /// The field of key `name`.
    pub fn field(&self, name: &str) -> Option<&FieldInfo> {
        let at = self.place(name).ok()?;
        Some(&self.fields[self.by_name[at] as usize])
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.by_name.binary_search_by(|at| self.fields[*at as usize].name.as_str().cmp(name))
    }

    /// Adds a field that is not there yet; numbers ascend.
    pub(crate) fn add_field(&mut self, field: FieldInfo) {
        if let Err(place) = self.place(&field.name) {
            self.by_name.insert(place, self.fields.len() as u16);
            self.fields.push(field);
        }
    }

    /// The number that the next new field gets.
    pub(crate) fn next_field(&self) -> FieldId {
        let above = self.fields.last().map_or(0, |field| field.id.0 + 1);
        FieldId(above.max(self.next_field))
    }

    /// Adds a tag key; says whether it is new.
    pub(crate) fn add_tag_key(&mut self, key: &str) -> bool {
        match self.tag_keys.binary_search_by(|other| other.as_str().cmp(key)) {
            Ok(_) => false,
            Err(place) => {
                self.tag_keys.insert(place, key.to_owned());
                true
            }
        }
    }

    /// Whether a series had a tag of this key.
    pub fn has_tag_key(&self, key: &str) -> bool {
        self.tag_keys.binary_search_by(|other| other.as_str().cmp(key)).is_ok()
    }
}

/// A description takes about this much beside its texts: itself, its places in two maps.
const INFO_BYTES: usize = size_of::<MeasurementInfo>() + 160;

/// Descriptions of all measurements take at most this part of the memory there is.
const SCHEMA_PART: u64 = 8;

impl MeasurementInfo {
    /// About how many bytes it takes.
    fn memory_bytes(&self) -> usize {
        let fields = self.fields.capacity() * (size_of::<FieldInfo>() + 2);
        let names: usize = self.fields.iter().map(|field| field.name.capacity() + 16).sum();
        let keys = self.tag_keys.capacity() * size_of::<String>();
        let key_names: usize = self.tag_keys.iter().map(|key| key.capacity() + 16).sum();
        INFO_BYTES + 2 * self.name.len() + fields + names + keys + key_names
    }
}

/// The measurements of a database.
#[derive(Debug)]
pub struct Schema {
    measurements: RwLock<Measurements>,
    budget: Budget,
}

#[derive(Debug)]
struct Measurements {
    by_name: HashMap<String, MeasurementId>,
    by_id: HashMap<MeasurementId, Arc<MeasurementInfo>>,
    held: Reservation,
}

impl Measurements {
    fn hold(&mut self, more: usize, less: usize) {
        let bytes = self.held.bytes() + more as u64;
        self.held.resize_anyway(bytes.saturating_sub(less as u64));
    }
}

impl Schema {
    /// No measurements yet; what they take is told to `budget`.
    pub fn new(budget: &Budget) -> Self {
        let held = budget.reserve_anyway(Share::Series, 0);
        let (by_name, by_id) = (HashMap::new(), HashMap::new());
        let measurements = RwLock::new(Measurements { by_name, by_id, held });
        Schema { measurements, budget: budget.clone() }
    }

    /// Whether more measurements and fields may be described: descriptions are never let go of,
    /// so they may not take what everything else needs.
    pub fn has_room(&self) -> bool {
        self.measurements.read().held.bytes() <= self.budget.limit_bytes() / SCHEMA_PART
    }

    /// The measurement of this name.
    pub fn by_name(&self, name: &str) -> Option<Arc<MeasurementInfo>> {
        let measurements = self.measurements.read();
        measurements.by_id.get(measurements.by_name.get(name)?).cloned()
    }

    /// The measurement of this number.
    pub fn by_id(&self, id: MeasurementId) -> Option<Arc<MeasurementInfo>> {
        self.measurements.read().by_id.get(&id).cloned()
    }

    /// All measurements, sorted by name.
    pub fn all(&self) -> Vec<Arc<MeasurementInfo>> {
        let mut all: Vec<_> = self.measurements.read().by_id.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Adds measurements, or replaces older descriptions of them.
    pub fn publish(&self, changed: impl IntoIterator<Item = Arc<MeasurementInfo>>) {
        let mut measurements = self.measurements.write();
        for info in changed {
            let more = info.memory_bytes();
            measurements.by_name.insert(info.name.clone(), info.id);
            let old = measurements.by_id.insert(info.id, info);
            measurements.hold(more, old.map_or(0, |old| old.memory_bytes()));
        }
    }

    /// Removes a measurement.
    pub fn remove(&self, id: MeasurementId) {
        let mut measurements = self.measurements.write();
        if let Some(info) = measurements.by_id.remove(&id) {
            measurements.hold(0, info.memory_bytes());
            if measurements.by_name.get(&info.name) == Some(&id) {
                measurements.by_name.remove(&info.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_in_any_order_of_arrival() {
        let mut info = MeasurementInfo::new(MeasurementId(1), "m");
        for name in ["c", "a", "b", "a"] {
            let id = info.next_field();
            info.add_field(FieldInfo { name: name.into(), id, field_type: FieldType::Float });
        }
        let ids: Vec<_> = ["a", "b", "c"].map(|n| info.field(n).unwrap().id.0).to_vec();
        assert_eq!((ids, info.field("d")), (vec![1, 2, 0], None));
        assert!(info.add_tag_key("t") && !info.add_tag_key("t") && info.has_tag_key("t"));
    }

    #[test]
    fn numbers_of_deleted_fields_are_not_given_again() {
        let mut info = MeasurementInfo::new(MeasurementId(1), "m");
        for name in ["a", "b", "c"] {
            let id = info.next_field();
            info.add_field(FieldInfo { name: name.into(), id, field_type: FieldType::Float });
        }
        let mut info = info.without_fields(&[FieldId(2), FieldId(0)]);
        assert_eq!((info.field("a"), info.field("b").unwrap().id), (None, FieldId(1)));
        let id = info.next_field();
        assert_eq!(id, FieldId(3));
        info.add_field(FieldInfo { name: "a".into(), id, field_type: FieldType::String });
        assert_eq!(info.field("a").unwrap().field_type, FieldType::String);
        assert_eq!(info.without_fields(&[FieldId(3)]).next_field(), FieldId(4));
    }

    #[test]
    fn a_removed_name_can_come_back_as_another() {
        let budget = Budget::unlimited();
        let schema = Schema::new(&budget);
        let info = |id| Arc::new(MeasurementInfo::new(MeasurementId(id), "m"));
        schema.publish([info(1)]);
        schema.remove(MeasurementId(1));
        assert_eq!(schema.by_name("m"), None);
        schema.publish([info(2)]);
        schema.remove(MeasurementId(1));
        assert_eq!(schema.by_name("m").unwrap().id, MeasurementId(2));
        assert!(budget.total_bytes() > 0);
        schema.remove(MeasurementId(2));
        assert_eq!(budget.total_bytes(), 0);
    }

    #[test]
    fn descriptions_take_a_part_of_the_memory_at_most() {
        let schema = Schema::new(&Budget::new(64 << 10));
        let mut count = 0;
        while schema.has_room() {
            let info = MeasurementInfo::new(MeasurementId(count), &format!("measurement {count}"));
            schema.publish([Arc::new(info)]);
            count += 1;
        }
        assert!((10..80).contains(&count), "{count}");
        schema.remove(MeasurementId(0));
        assert!(schema.has_room(), "after a drop there is room again");
    }
}
