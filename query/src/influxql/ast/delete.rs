//! What is to go, as written.

use super::{Expr, Measurement};

/// What `DROP SERIES` and `DELETE` take away.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// `FROM`; empty for all measurements.
    pub sources: Vec<Measurement>,
    /// `WHERE`.
    pub condition: Option<Expr>,
}

/// `DELETE [FIELD f, ..] [FROM ...] [WHERE ...]`.
#[derive(Debug, Clone)]
pub struct Delete {
    /// `FIELD`; empty for whole rows.
    pub fields: Vec<String>,
    /// `FROM` and `WHERE`.
    pub deletion: Deletion,
    /// The words of the statement.
    pub text: String,
}
