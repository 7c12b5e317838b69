//! The condition of a `WHERE` on rows that somebody else reads: what a delete takes is what a query
//! with the same condition shows.

use firndb_tsdb::model::{Bitmap, Columns, RowPredicate, TagSet};

use super::expr::{self, Bound, Names};
use super::vector::Vector;
use crate::error::{Error, Result};
use crate::plan::{Call, Expr, Literal};

/// A condition of fields, tags and constants.
#[derive(Debug)]
pub struct RowCondition {
    fields: Vec<String>,
    /// Tags; their columns come after those of the fields.
    tags: Vec<String>,
    condition: Bound,
}

impl RowCondition {
    /// The condition `expr`.
    pub fn new(expr: &Expr) -> Result<RowCondition> {
        let mut fields = Fields::default();
        // Fields first, so that their columns are known when tags are numbered.
        expr::bind(expr, &mut fields)?;
        let mut names = Found { fields: fields.0, tags: Vec::new() };
        let condition = expr::bind(expr, &mut names)?;
        Ok(RowCondition { fields: names.fields, tags: names.tags, condition })
    }
}

/// Collects the names of fields.
#[derive(Default)]
struct Fields(Vec<String>);

/// Numbers fields, and tags after them.
struct Found {
    fields: Vec<String>,
    tags: Vec<String>,
}

fn place(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|other| other == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

fn no_call<T>() -> Result<T> {
    Err(Error::invalid("a condition on rows takes no aggregates"))
}

impl Names for Fields {
    fn field(&mut self, name: &str) -> Option<usize> {
        Some(place(&mut self.0, name))
    }

    fn tag(&mut self, _key: &str) -> Option<usize> {
        None
    }

    fn call(&mut self, _call: &Call) -> Result<Option<usize>> {
        no_call()
    }

    fn transform(&mut self, _expr: &Expr) -> Result<Option<usize>> {
        no_call()
    }
}

impl Names for Found {
    fn field(&mut self, name: &str) -> Option<usize> {
        Some(place(&mut self.fields, name))
    }

    fn tag(&mut self, key: &str) -> Option<usize> {
        Some(self.fields.len() + place(&mut self.tags, key))
    }

    fn call(&mut self, _call: &Call) -> Result<Option<usize>> {
        no_call()
    }

    fn transform(&mut self, _expr: &Expr) -> Result<Option<usize>> {
        no_call()
    }
}

impl RowPredicate for RowCondition {
    fn fields(&self) -> &[String] {
        &self.fields
    }

    fn holds(&self, tags: &TagSet, columns: &Columns) -> Bitmap {
        let tag = |at: usize| {
            let key = self.tags.get(at.checked_sub(self.fields.len())?)?;
            Some(Literal::String(tags.get(key).unwrap_or_default().to_owned()))
        };
        let condition = expr::specialise(&self.condition, &tag);
        let vectors: Vec<Vector> = columns.columns.iter().cloned().map(Vector::from).collect();
        expr::holds(&condition, &vectors, columns.rows())
    }
}
