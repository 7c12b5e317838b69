//! The vocabulary: what a timestamp, a series, a field and a column are.

pub mod batch;
pub mod column;
pub mod predicate;
pub mod series;
pub mod time;
pub mod value;

pub use batch::{Batch, Field, Point, PointSeries, Tag};
pub use column::{Bitmap, Column, Columns, Values};
pub use predicate::{RowPredicate, TagPredicate};
pub use series::{FieldId, MeasurementId, SeriesId, SeriesRef, TagSet};
pub use time::{TimeRange, Timestamp};
pub use value::{FieldType, FieldValue};
