//! What a text in InfluxQL says, before anyone asks what the database holds.
//!
//! Names are as written (case kept, quotes gone); durations and times are nanoseconds. `AND` and
//! `OR` are lists, so that a condition over thousands of hosts is wide and not deep.

mod delete;
mod display;
mod rollup;

use regex::Regex;

pub use delete::{Delete, Deletion};
pub use display::Quoted;
pub use rollup::{RollupClauses, RollupStatement};

/// One statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `SELECT`.
    Select(Box<Select>),
    /// `EXPLAIN [ANALYZE] SELECT`.
    Explain {
        /// Whether the query is run too.
        analyze: bool,
        /// The query.
        select: Box<Select>,
    },
    /// `SHOW` of something.
    Show(Show),
    /// `CREATE DATABASE`.
    CreateDatabase {
        /// Its name.
        name: String,
        /// `WITH ...`: the default retention policy.
        policy: Option<PolicyClauses>,
    },
    /// `DROP DATABASE`.
    DropDatabase {
        /// Its name.
        name: String,
    },
    /// `CREATE RETENTION POLICY`.
    CreatePolicy {
        /// Its name.
        name: String,
        /// Its database.
        database: String,
        /// Its settings; duration and replication are present.
        clauses: PolicyClauses,
    },
    /// `ALTER RETENTION POLICY`.
    AlterPolicy {
        /// Its name.
        name: String,
        /// Its database.
        database: String,
        /// What changes.
        clauses: PolicyClauses,
    },
    /// `DROP RETENTION POLICY`.
    DropPolicy {
        /// Its name.
        name: String,
        /// Its database.
        database: String,
    },
    /// `DROP MEASUREMENT`.
    DropMeasurement {
        /// Its name.
        name: String,
    },
    /// `DROP SERIES [FROM ...] [WHERE ...]`.
    DropSeries(Deletion),
    /// `DELETE [FIELD ...] [FROM ...] [WHERE ...]`.
    Delete(Delete),
    /// `EXPLAIN DELETE ...`: what it would take.
    ExplainDelete(Delete),
    /// A statement about rollups.
    Rollup(RollupStatement),
    /// `RETAIN`.
    Retain(Box<Retain>),
    /// `DROP RETENTION RULE`.
    DropRule {
        /// Its number.
        id: u64,
        /// Its database.
        database: String,
    },
    /// Known, parsed, and not answered by this version: its words.
    Unsupported(&'static str),
}

impl Statement {
    /// Whether it changes something: 1.x wants such statements by POST.
    pub fn writes(&self) -> bool {
        match self {
            Statement::Select(select) => select.into.is_some(),
            Statement::Explain { .. } | Statement::ExplainDelete(_) | Statement::Show(_) => false,
            Statement::Rollup(rollup) => !matches!(rollup, RollupStatement::Show { .. }),
            _ => true,
        }
    }
}

/// A `SELECT` statement.
#[derive(Debug, Clone)]
pub struct Select {
    /// What is asked for, in order; at least one.
    pub fields: Vec<Field>,
    /// `INTO ...`.
    pub into: Option<Measurement>,
    /// `FROM ...`; at least one.
    pub sources: Vec<Source>,
    /// `WHERE ...`.
    pub condition: Option<Expr>,
    /// `GROUP BY ...`: tags, wildcards, patterns, and `time(...)`.
    pub dimensions: Vec<Expr>,
    /// `fill(...)`.
    pub fill: Fill,
    /// `ORDER BY time DESC`.
    pub descending: bool,
    /// `LIMIT`: rows of a series.
    pub limit: Option<u64>,
    /// `OFFSET`: rows of a series that are left out.
    pub offset: Option<u64>,
    /// `SLIMIT`: series.
    pub slimit: Option<u64>,
    /// `SOFFSET`: series that are left out.
    pub soffset: Option<u64>,
    /// `tz('...')`.
    pub tz: Option<chrono_tz::Tz>,
}

/// One column that is asked for.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its value.
    pub expr: Expr,
    /// `AS ...`.
    pub alias: Option<String>,
}

/// What empty windows show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fill {
    /// `null`.
    Null,
    /// Empty windows are left out.
    None,
    /// The value of the window before.
    Previous,
    /// A line between the neighbours.
    Linear,
    /// This value.
    Float(f64),
    /// This value.
    Integer(i64),
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A measurement, or all whose names match.
    Measurement(Measurement),
    /// A query in parentheses.
    Subquery(Box<Select>),
}

/// `[db.][rp.]name`, where the name may be a pattern.
#[derive(Debug, Clone)]
pub struct Measurement {
    /// The database, when named.
    pub database: Option<String>,
    /// The retention policy, when named.
    pub policy: Option<String>,
    /// The name.
    pub name: Name,
}

/// A name, or a pattern of names.
#[derive(Debug, Clone)]
pub enum Name {
    /// Exactly this.
    Is(String),
    /// All that match.
    Matches(Regex),
}

impl Name {
    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Name::Is(text) => text == name,
            Name::Matches(regex) => regex.is_match(name),
        }
    }
}

/// An expression of a column, a condition or a dimension.
#[derive(Debug, Clone)]
pub enum Expr {
    /// A field, a tag, or `time`.
    Var {
        /// Its name.
        name: String,
        /// `::float` and so on.
        kind: VarKind,
    },
    /// `*`, `*::field`, `*::tag`.
    Wildcard(VarKind),
    /// A pattern.
    Regex(Regex),
    /// A number with a point.
    Number(f64),
    /// A number without.
    Integer(i64),
    /// A number without, beyond `i64`.
    Unsigned(u64),
    /// A duration in nanoseconds.
    Duration(i64),
    /// Text; a time where a time is wanted.
    String(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A function, its name in lower case.
    Call {
        /// Its name.
        name: String,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// `DISTINCT name`, without parentheses.
    Distinct(String),
    /// Two operands.
    Binary {
        /// What is done with them.
        op: Op,
        /// Left.
        left: Box<Expr>,
        /// Right.
        right: Box<Expr>,
    },
    /// All of these; two or more.
    And(Vec<Expr>),
    /// Any of these; two or more.
    Or(Vec<Expr>),
    /// In parentheses.
    Paren(Box<Expr>),
}

impl Expr {
    /// Itself without parentheses around it.
    pub fn bare(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(inner) = expr {
            expr = inner;
        }
        expr
    }

    /// Whether it is the variable `time`.
    pub fn is_time(&self) -> bool {
        matches!(self.bare(), Expr::Var { name, .. } if name.eq_ignore_ascii_case("time"))
    }
}

/// What a name is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarKind {
    /// Nothing said: a field if there is one of that name, else a tag.
    Any,
    /// `::field`.
    Field,
    /// `::tag`.
    Tag,
    /// `::float`.
    Float,
    /// `::integer`.
    Integer,
    /// `::unsigned`.
    Unsigned,
    /// `::string`.
    String,
    /// `::boolean`.
    Boolean,
}

/// An operator of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `=`
    Eq,
    /// `!=`, `<>`
    Ne,
    /// `=~`
    Match,
    /// `!~`
    NotMatch,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Op {
    /// Whether the result is true or false.
    pub fn compares(self) -> bool {
        use Op::*;
        matches!(self, Eq | Ne | Match | NotMatch | Lt | Le | Gt | Ge)
    }
}

/// Settings of a retention policy, each if it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyClauses {
    /// `DURATION`: nanoseconds, 0 for ever.
    pub duration_ns: Option<i64>,
    /// `REPLICATION`.
    pub replication: Option<u32>,
    /// `SHARD DURATION`: nanoseconds.
    pub shard_duration_ns: Option<i64>,
    /// `DEFAULT`.
    pub is_default: bool,
    /// `NAME`; of `CREATE DATABASE ... WITH` alone.
    pub name: Option<String>,
}

/// A `RETAIN` statement.
#[derive(Debug, Clone)]
pub struct Retain {
    /// How long, or how much.
    pub keep: Keep,
    /// `ON`: the database.
    pub database: String,
    /// `ON db.policy`.
    pub policy: Option<String>,
    /// `FROM`.
    pub measurement: Option<String>,
    /// `WHERE`.
    pub condition: Option<Expr>,
}

/// How long points live, or how much room they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// This many nanoseconds.
    For(i64),
    /// This many bytes of tables.
    Bytes(u64),
}

/// A `SHOW` statement.
#[derive(Debug, Clone)]
pub struct Show {
    /// What is shown.
    pub what: ShowWhat,
    /// `ON`.
    pub database: Option<String>,
    /// `FROM`; empty for all measurements.
    pub sources: Vec<Measurement>,
    /// `WHERE`.
    pub condition: Option<Expr>,
    /// `GROUP BY`, of cardinalities alone.
    pub dimensions: Vec<Expr>,
    /// `ORDER BY ... DESC`.
    pub descending: bool,
    /// `LIMIT`: rows of a series.
    pub limit: Option<u64>,
    /// `OFFSET`: rows of a series that are left out.
    pub offset: Option<u64>,
}

impl Show {
    /// Of `what`, without clauses.
    pub fn new(what: ShowWhat) -> Show {
        Show {
            what,
            database: None,
            sources: Vec::new(),
            condition: None,
            dimensions: Vec::new(),
            descending: false,
            limit: None,
            offset: None,
        }
    }
}

/// What can be shown.
#[derive(Debug, Clone)]
pub enum ShowWhat {
    /// `DATABASES`
    Databases,
    /// `MEASUREMENTS [WITH MEASUREMENT ...]`
    Measurements(Option<Name>),
    /// `TAG KEYS`
    TagKeys,
    /// `TAG VALUES WITH KEY ...`
    TagValues(KeyFilter),
    /// `FIELD KEYS`
    FieldKeys,
    /// `SERIES`
    Series,
    /// A `CARDINALITY`.
    Cardinality {
        /// Of what.
        of: Counted,
        /// `EXACT`.
        exact: bool,
    },
    /// `RETENTION POLICIES`
    Policies,
    /// `RETENTION RULES`
    Rules,
    /// `USERS`
    Users,
    /// `GRANTS FOR`
    Grants(String),
    /// `QUERIES`
    Queries,
    /// `CONTINUOUS QUERIES`
    ContinuousQueries,
    /// `SHARDS`
    Shards,
    /// `SHARD GROUPS`
    ShardGroups,
    /// `DELETES`
    Deletes,
    /// `SUBSCRIPTIONS`
    Subscriptions,
    /// `STATS`
    Stats,
    /// `DIAGNOSTICS`
    Diagnostics,
}

/// What a `CARDINALITY` counts.
#[derive(Debug, Clone)]
pub enum Counted {
    /// Series.
    Series,
    /// Measurements.
    Measurements,
    /// Tag keys.
    TagKeys,
    /// Values of these tag keys.
    TagValues(KeyFilter),
    /// Field keys.
    FieldKeys,
}

/// `WITH KEY ...`
#[derive(Debug, Clone)]
pub enum KeyFilter {
    /// `= key`, `IN (keys)`
    In(Vec<String>),
    /// `!= key`
    NotIn(Vec<String>),
    /// `=~ /pattern/`
    Matches(Regex),
    /// `!~ /pattern/`
    NotMatches(Regex),
}

impl KeyFilter {
    /// Whether `key` is meant.
    pub fn matches(&self, key: &str) -> bool {
        match self {
            KeyFilter::In(keys) => keys.iter().any(|k| k == key),
            KeyFilter::NotIn(keys) => keys.iter().all(|k| k != key),
            KeyFilter::Matches(regex) => regex.is_match(key),
            KeyFilter::NotMatches(regex) => !regex.is_match(key),
        }
    }
}
