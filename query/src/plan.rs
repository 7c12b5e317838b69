//! The plan of one SELECT: what every query language lowers to and [`crate::exec`] runs.
//!
//! ```text
//! source -> series chosen by tags -> rows in range -> rows kept by the filter
//!   -> groups by tag values -> windows of time -> columns (expressions) -> fill -> limit, offset
//! ```
//!
//! A plan is plain data: it names things, holds no handle, and can be printed for EXPLAIN.
//!
//! A plan is either *raw* (no [`Expr::Call`] anywhere: one output row per stored row) or an
//! *aggregate* (one output row per window, or one in all). A single selector (`max`, `first`, ...)
//! may stand beside plain fields and tags: they are then taken from the row it selected.

use std::sync::Arc;

use firndb_tsdb::model::{TagPredicate, TimeRange, Timestamp};
use regex::Regex;

/// One SELECT.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the rows come from.
    pub source: Source,
    /// Name of the output series; the measurement's name unless the language says otherwise.
    pub name: String,
    /// Which series take part.
    pub tags: TagPredicate,
    /// Which of their rows take part: an expression of fields, tags and literals that is true.
    /// A comparison with a missing field is false.
    pub filter: Option<Expr>,
    /// Rows in this span take part. A `start` of [`TimeRange::ALL`] means no lower bound, an `end`
    /// of it no upper bound; with a window the upper bound is then `now`.
    pub range: TimeRange,
    /// Output columns after the time, in order.
    pub columns: Vec<OutputColumn>,
    /// Tags whose values split the rows into output series.
    pub group: GroupTags,
    /// Buckets of time; `None`: one bucket in all.
    pub window: Option<Window>,
    /// What stands in buckets without a value.
    pub fill: Fill,
    /// Newest first.
    pub descending: bool,
    /// At most so many rows of each output series.
    pub limit: Option<u64>,
    /// Rows skipped at the head of each output series.
    pub offset: u64,
    /// At most so many output series.
    pub series_limit: Option<u64>,
    /// Output series skipped.
    pub series_offset: u64,
    /// The moment that `now()` stands for.
    pub now: Timestamp,
}

/// Where the rows of a plan come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A stored measurement. An unknown name is a plan without rows, not an error.
    Measurement {
        /// Database; unknown: `database not found`.
        database: String,
        /// Retention policy, the database's default when absent.
        policy: Option<String>,
        /// Measurement.
        measurement: String,
    },
    /// The output of another plan: its columns are fields, its group tags are tags.
    Plan(Box<Plan>),
}

/// A named output column.
#[derive(Debug, Clone)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its value.
    pub expr: Expr,
}

/// An expression over a row, or over the aggregates of a window.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A constant.
    Literal(Literal),
    /// A field; an unknown one is missing in every row.
    Field(String),
    /// A tag; missing in series without it.
    Tag(String),
    /// An aggregate of a field over a window.
    Call(Call),
    /// A function of consecutive rows, over a field expression or a [`Expr::Call`].
    Transform(Transform, Box<Expr>),
    /// A function of single values.
    Math(Math, Vec<Expr>),
    /// Two operands.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// Whether text matches; on a number or a missing value false.
    Matches {
        /// The text.
        expr: Box<Expr>,
        /// The pattern, unanchored.
        regex: Arc<Regex>,
        /// Whether the text must not match. (Missing text is false either way.)
        negated: bool,
    },
}

/// A constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// 64-bit float.
    Float(f64),
    /// 64-bit signed integer.
    Integer(i64),
    /// 64-bit unsigned integer, only for what does not fit a signed one.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Text.
    String(String),
}

/// Operators of two operands. Arithmetic of two integers stays integer except division, which is
/// a float, as InfluxQL has it; a missing operand makes arithmetic missing and comparisons false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`; by zero: 0, as InfluxQL has it
    Div,
    /// `%`; by zero: 0
    Mod,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// Both true.
    And,
    /// At least one true.
    Or,
}

/// An aggregate of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is computed.
    pub function: Function,
    /// Of which field.
    pub field: String,
}

/// Aggregate functions. *Selectors* answer with one of the values and know its time.
#[derive(Debug, Clone, PartialEq)]
pub enum Function {
    /// Number of values; 0 in an empty window.
    Count,
    /// Number of different values.
    CountDistinct,
    /// Sum; of integers an integer, an error when it leaves 64 bits.
    Sum,
    /// Arithmetic mean; of integers the exact sum over the count, rounded once.
    Mean,
    /// Middle of the sorted values; the mean of both middle ones.
    Median,
    /// Smallest value (selector; the earliest when several are equal).
    Min,
    /// Greatest value (selector; the earliest when several are equal).
    Max,
    /// Earliest value (selector; the greatest of several at one time).
    First,
    /// Latest value (selector; the greatest of several at one time).
    Last,
    /// Greatest minus smallest.
    Spread,
    /// Standard deviation of a sample; missing for fewer than two values.
    Stddev,
    /// Nearest-rank percentile, 0 to 100 (selector).
    Percentile(f64),
    /// Most frequent value; of equally frequent ones the one that occurs earliest.
    Mode,
    /// The different values, a row each; stands alone.
    Distinct,
    /// The greatest values, a row each at its own time; stands alone among aggregates.
    Top {
        /// How many.
        count: u64,
        /// When not empty: the greatest value of each combination of these tags competes.
        tags: Vec<String>,
    },
    /// The smallest values; as `Top`.
    Bottom {
        /// How many.
        count: u64,
        /// As in `Top`.
        tags: Vec<String>,
    },
    /// Area under the line through the points, in units of `unit_ns`.
    Integral {
        /// Unit of time.
        unit_ns: i64,
    },
}

/// Functions of consecutive rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transform {
    /// Change per `unit_ns`.
    Derivative {
        /// Unit of time.
        unit_ns: i64,
        /// Leaves out negative changes (counters that restarted).
        non_negative: bool,
    },
    /// Change since the row before.
    Difference {
        /// Leaves out negative changes.
        non_negative: bool,
    },
    /// Mean of the last `rows` rows.
    MovingAverage {
        /// How many rows.
        rows: u64,
    },
    /// Sum of all rows so far.
    CumulativeSum,
    /// Time since the row before, in units of `unit_ns`, truncated.
    Elapsed {
        /// Unit of time.
        unit_ns: i64,
    },
}

/// Functions of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Math {
    /// `|x|`
    Abs,
    /// arc cosine
    Acos,
    /// arc sine
    Asin,
    /// arc tangent
    Atan,
    /// arc tangent of `x / y`
    Atan2,
    /// next integer up
    Ceil,
    /// cosine
    Cos,
    /// e to the power of x
    Exp,
    /// next integer down
    Floor,
    /// natural logarithm
    Ln,
    /// logarithm of x to base y
    Log,
    /// logarithm to base 2
    Log2,
    /// logarithm to base 10
    Log10,
    /// x to the power of y
    Pow,
    /// nearest integer, halves away from zero
    Round,
    /// sine
    Sin,
    /// square root
    Sqrt,
    /// tangent
    Tan,
}

/// Tags whose values split rows into output series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupTags {
    /// These, each once, in any order; none: one output series. A series without the tag has "".
    List(Vec<String>),
    /// All tags of the measurement.
    All,
}

/// Buckets of time, each `[start, start + every_ns)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Length; positive.
    pub every_ns: i64,
    /// Shift of all starts from multiples of `every_ns` since the epoch.
    pub offset_ns: i64,
    /// Starts are aligned to the wall clock of this zone; `None`: UTC.
    pub zone: Option<chrono_tz::Tz>,
}

/// What stands in buckets without a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// Missing (`count`: 0).
    Null,
    /// No row.
    None,
    /// The value before, in time.
    Previous,
    /// A straight line between the values around.
    Linear,
    /// This number, in the type of the column.
    Value(Literal),
}
