//! From names to numbers: which fields are read, which calls are computed, and every expression
//! bound to its columns.

use firndb_tsdb::model::{FieldId, FieldType};

use super::aggregate;
use super::expr::{self, Bound, Names};
use crate::error::{Error, Result};
use crate::plan::{Call, Expr, Function, Plan, Transform};

/// A field of the source.
#[derive(Debug, Clone)]
pub struct SourceField {
    /// Its name.
    pub name: String,
    /// Its number in the store.
    pub id: FieldId,
    /// Its type.
    pub field_type: FieldType,
}

/// What the source has.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Fields.
    pub fields: Vec<SourceField>,
    /// Keys of tags.
    pub tags: Vec<String>,
}

/// Where a column of a batch comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Ref {
    /// A field, by its number among [`Resolved::fields`].
    Field(usize),
    /// A tag.
    Tag(String),
    /// A call, by its number among [`Resolved::calls`].
    Call(usize),
    /// A function of consecutive rows, by its number among [`Resolved::transforms`].
    Transform(usize),
}

/// An aggregate call.
#[derive(Debug, Clone)]
pub struct CallSlot {
    /// What is computed.
    pub function: Function,
    /// Of which field; `None`: of one that does not exist.
    pub field: Option<usize>,
}

/// A function of consecutive rows and its argument, bound to the columns before it.
#[derive(Debug, Clone)]
pub struct TransformSlot {
    /// What is computed.
    pub transform: Transform,
    /// Of what.
    pub input: Bound,
}

/// The condition on rows, bound to `refs`, which are fields and tags.
#[derive(Debug, Clone)]
pub struct FilterSlot {
    /// The condition.
    pub condition: Bound,
    /// Its columns.
    pub refs: Vec<Ref>,
}

/// A plan bound to a source.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    /// Fields that are read.
    pub fields: Vec<SourceField>,
    /// Columns that `outputs` and transforms are bound to.
    pub refs: Vec<Ref>,
    /// Calls; none: a raw plan.
    pub calls: Vec<CallSlot>,
    /// How often calls were written, equal ones each time.
    pub calls_written: usize,
    /// Functions of consecutive rows.
    pub transforms: Vec<TransformSlot>,
    /// Output columns.
    pub outputs: Vec<Bound>,
    /// Condition on rows.
    pub filter: Option<FilterSlot>,
}

impl Resolved {
    /// Binds `plan`.
    pub fn new(plan: &Plan, schema: &Schema) -> Result<Resolved> {
        let mut binder = Binder { schema, resolved: Resolved::default(), refs: Vec::new() };
        if let Some(filter) = &plan.filter {
            let condition = expr::bind(filter, &mut binder)?;
            if !binder.resolved.calls.is_empty() || !binder.resolved.transforms.is_empty() {
                return Err(Error::invalid("functions are not allowed in WHERE"));
            }
            let refs = std::mem::take(&mut binder.refs);
            binder.resolved.filter = Some(FilterSlot { condition, refs });
        }
        for column in &plan.columns {
            let bound = expr::bind(&column.expr, &mut binder)?;
            binder.resolved.outputs.push(bound);
        }
        let Binder { mut resolved, refs, .. } = binder;
        resolved.refs = refs;
        resolved.check()?;
        Ok(resolved)
    }

    /// Whether rows are answered as they are stored.
    pub fn is_raw(&self) -> bool {
        self.calls.is_empty()
    }

    /// The single selector whose row's other columns and time the answer may use.
    pub fn selector(&self) -> Option<usize> {
        match self.calls.as_slice() {
            [call] if self.calls_written == 1 && aggregate::is_selector(&call.function) => Some(0),
            _ => None,
        }
    }

    /// Whether the answer shows, or takes other columns from, the row that a selector selected.
    pub fn shows_spot(&self, has_window: bool) -> bool {
        self.selector().is_some() && (!has_window || self.has_companions())
    }

    /// The call that gives any number of rows per bucket.
    pub fn multi_row(&self) -> Option<usize> {
        self.calls.iter().position(|call| aggregate::is_multi_row(&call.function))
    }

    /// Fields and tags beside a selector.
    pub fn has_companions(&self) -> bool {
        self.refs.iter().any(|r| matches!(r, Ref::Field(_) | Ref::Tag(_)))
    }

    fn check(&self) -> Result<()> {
        for call in &self.calls {
            if let Some(field) = call.field {
                aggregate::check_type(&call.function, self.fields[field].field_type)?;
            }
            if let Function::Percentile(percent) = call.function
                && !(0.0..=100.0).contains(&percent)
            {
                return Err(Error::invalid("percentile must be between 0 and 100"));
            }
        }
        if !self.is_raw() && self.has_companions() && self.selector().is_none() {
            return Err(Error::invalid(
                "mixing aggregate and non-aggregate queries is not supported",
            ));
        }
        if let (Some(call), true) = (self.multi_row(), self.calls_written > 1) {
            let name = aggregate::name(&self.calls[call].function);
            let text =
                format!("selector function {name}() cannot be combined with other functions");
            return Err(Error::invalid(text));
        }
        if self.multi_row().is_some() && !self.transforms.is_empty() {
            return Err(Error::Unsupported("a function of distinct(), top() or bottom()".into()));
        }
        Ok(())
    }
}

struct Binder<'a> {
    schema: &'a Schema,
    resolved: Resolved,
    refs: Vec<Ref>,
}

impl Binder<'_> {
    fn refer(&mut self, to: Ref) -> usize {
        self.refs.iter().position(|r| *r == to).unwrap_or_else(|| {
            self.refs.push(to);
            self.refs.len() - 1
        })
    }

    fn read(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.resolved.fields.iter().position(|field| field.name == name) {
            return Some(at);
        }
        let field = self.schema.fields.iter().find(|field| field.name == name)?;
        self.resolved.fields.push(field.clone());
        Some(self.resolved.fields.len() - 1)
    }
}

impl Names for Binder<'_> {
    fn field(&mut self, name: &str) -> Option<usize> {
        let field = self.read(name)?;
        Some(self.refer(Ref::Field(field)))
    }

    fn tag(&mut self, key: &str) -> Option<usize> {
        Some(self.refer(Ref::Tag(key.to_owned())))
    }

    fn call(&mut self, call: &Call) -> Result<Option<usize>> {
        self.resolved.calls_written += 1;
        let field = self.read(&call.field);
        let same = |slot: &CallSlot| slot.function == call.function && slot.field == field;
        let at = self.resolved.calls.iter().position(same).unwrap_or_else(|| {
            self.resolved.calls.push(CallSlot { function: call.function.clone(), field });
            self.resolved.calls.len() - 1
        });
        Ok(Some(self.refer(Ref::Call(at))))
    }

    fn transform(&mut self, expr: &Expr) -> Result<Option<usize>> {
        let Expr::Transform(transform, input) = expr else {
            return Err(Error::invalid("not a function of rows"));
        };
        let unit = match transform {
            Transform::Derivative { unit_ns, .. } | Transform::Elapsed { unit_ns } => *unit_ns,
            Transform::MovingAverage { rows } => i64::try_from(*rows).unwrap_or(i64::MAX),
            _ => 1,
        };
        if unit < 1 {
            return Err(Error::invalid("the second argument must be greater than 0"));
        }
        let input = expr::bind(input, self)?;
        self.resolved.transforms.push(TransformSlot { transform: *transform, input });
        Ok(Some(self.refer(Ref::Transform(self.resolved.transforms.len() - 1))))
    }
}
