//! Expressions of the language become expressions of the plan: names become fields or tags of one
//! measurement, calls become functions, and types that do not go together are refused.

use firndb_tsdb::MeasurementInfo;
use firndb_tsdb::model::FieldType;

use super::condition::operator;
use super::field_type;
use crate::error::{Error, Result};
use crate::influxql::ast::{Expr, Op, VarKind};
use crate::plan::{self, Call, Function, Literal, Math, Transform, Window};

const SECOND_NS: i64 = 1_000_000_000;

/// Resolves the names of one measurement.
pub struct Resolver<'a> {
    info: &'a MeasurementInfo,
    window: Option<&'a Window>,
    read_a_field: bool,
}

impl<'a> Resolver<'a> {
    /// For a measurement, and the windows of the statement.
    pub fn new(info: &'a MeasurementInfo, window: Option<&'a Window>) -> Self {
        Resolver { info, window, read_a_field: false }
    }

    /// Whether any expression so far reads a field that exists.
    pub fn read_a_field(&self) -> bool {
        self.read_a_field
    }

    /// A column of the answer.
    pub fn column(&mut self, expr: &Expr) -> Result<plan::Expr> {
        match expr.bare() {
            Expr::Call { name, args } if math(name).is_none() => self.call(name, args),
            Expr::Distinct(name) => self.aggregate("distinct", Function::Distinct, name),
            other => self.row(other),
        }
    }

    /// An expression over single rows, or over columns of the answer.
    pub fn row(&mut self, expr: &Expr) -> Result<plan::Expr> {
        Ok(match expr.bare() {
            Expr::Var { name, kind } => self.var(name, *kind)?,
            Expr::Number(number) => plan::Expr::Literal(Literal::Float(*number)),
            Expr::Integer(number) | Expr::Duration(number) => {
                plan::Expr::Literal(Literal::Integer(*number))
            }
            Expr::Unsigned(number) => plan::Expr::Literal(Literal::Unsigned(*number)),
            Expr::String(text) => plan::Expr::Literal(Literal::String(text.clone())),
            Expr::Boolean(value) => plan::Expr::Literal(Literal::Boolean(*value)),
            Expr::Call { name, args } => match math(name) {
                Some(math) => {
                    let args = args.iter().map(|arg| self.column(arg)).collect::<Result<_>>()?;
                    plan::Expr::Math(math, args)
                }
                None => return self.column(expr),
            },
            Expr::Binary { op, left, right } => {
                self.check_types(expr, *op, left, right)?;
                plan::Expr::Binary(
                    operator(*op),
                    Box::new(self.column(left)?),
                    Box::new(self.column(right)?),
                )
            }
            Expr::Distinct(_) => return self.column(expr),
            other => return Err(Error::Invalid(format!("invalid expression: {other}"))),
        })
    }

    fn var(&mut self, name: &str, kind: VarKind) -> Result<plan::Expr> {
        let stored = field_type(self.info, name);
        let wanted = match kind {
            VarKind::Any if stored.is_none() && self.is_tag(name) => {
                return Ok(plan::Expr::Tag(name.to_string()));
            }
            VarKind::Tag => return Ok(plan::Expr::Tag(name.to_string())),
            VarKind::Any | VarKind::Field => stored,
            VarKind::Float => Some(FieldType::Float),
            VarKind::Integer => Some(FieldType::Integer),
            VarKind::Unsigned => Some(FieldType::Unsigned),
            VarKind::String => Some(FieldType::String),
            VarKind::Boolean => Some(FieldType::Boolean),
        };
        let field = plan::Expr::Field(name.to_string());
        match (stored, wanted) {
            (Some(stored), Some(wanted)) if stored == wanted => {
                self.read_a_field = true;
                Ok(field)
            }
            (Some(FieldType::Integer | FieldType::Unsigned), Some(FieldType::Float)) => {
                self.read_a_field = true;
                let one = plan::Expr::Literal(Literal::Float(1.0));
                Ok(plan::Expr::Binary(plan::Operator::Mul, Box::new(field), Box::new(one)))
            }
            (
                Some(FieldType::Float | FieldType::Integer | FieldType::Unsigned),
                Some(FieldType::Integer | FieldType::Unsigned),
            ) => Err(Error::Unsupported(format!("the cast of field {name} to another type"))),
            // Of another type, or none of the measurement's: missing in every row.
            (Some(_), _) => Ok(plan::Expr::Field(String::new())),
            (None, _) => Ok(field),
        }
    }

    fn is_tag(&self, name: &str) -> bool {
        self.info.tag_keys.binary_search_by(|key| key.as_str().cmp(name)).is_ok()
    }

    /// A function of many rows; its arguments were checked.
    fn call(&mut self, name: &str, args: &[Expr]) -> Result<plan::Expr> {
        let number = |index: usize| match args.get(index).map(Expr::bare) {
            Some(Expr::Number(number)) => Some(*number),
            Some(Expr::Integer(number)) => Some(*number as f64),
            _ => None,
        };
        let unit = match args.get(1).map(Expr::bare) {
            Some(Expr::Duration(ns)) => Some(*ns),
            _ => None,
        };
        let inner = args.first().map(Expr::bare);
        let function = match name {
            "count" => match inner {
                Some(Expr::Distinct(field)) => {
                    return self.aggregate("distinct", Function::CountDistinct, field);
                }
                Some(Expr::Call { args, .. }) => match args.first() {
                    Some(Expr::Var { name, .. }) => {
                        return self.aggregate("distinct", Function::CountDistinct, name);
                    }
                    _ => return Err(invalid_call(name)),
                },
                _ => Function::Count,
            },
            "percentile" => Function::Percentile(number(1).ok_or_else(|| invalid_call(name))?),
            "top" | "bottom" => self.top_or_bottom(name, args)?,
            "integral" => Function::Integral { unit_ns: unit.unwrap_or(SECOND_NS) },
            _ => match plain(name) {
                Some(function) => function,
                None => return self.transform(name, inner, unit, number(1)),
            },
        };
        match inner {
            Some(Expr::Var { name: field, .. }) => self.aggregate(name, function, field),
            _ => Err(invalid_call(name)),
        }
    }

    fn aggregate(&mut self, name: &str, function: Function, field: &str) -> Result<plan::Expr> {
        if let Some(field_type) = field_type(self.info, field) {
            self.read_a_field = true;
            if !takes(name, field_type) {
                let kind = field_type.name();
                return Err(Error::Invalid(format!("unsupported {name} iterator type: {kind}")));
            }
        }
        Ok(plan::Expr::Call(Call { function, field: field.to_string() }))
    }

    fn top_or_bottom(&self, name: &str, args: &[Expr]) -> Result<Function> {
        let [_, middle @ .., Expr::Integer(count)] = args else { return Err(invalid_call(name)) };
        let mut tags = Vec::with_capacity(middle.len());
        for arg in middle {
            let Expr::Var { name: tag, .. } = arg.bare() else { return Err(invalid_call(name)) };
            if field_type(self.info, tag).is_some() {
                return Err(Error::Unsupported(format!("{name}() over the field {tag}")));
            }
            tags.push(tag.clone());
        }
        let count = u64::try_from(*count).map_err(|_| invalid_call(name))?;
        Ok(match name {
            "top" => Function::Top { count, tags },
            _ => Function::Bottom { count, tags },
        })
    }

    fn transform(
        &mut self,
        name: &str,
        inner: Option<&Expr>,
        unit: Option<i64>,
        number: Option<f64>,
    ) -> Result<plan::Expr> {
        let Some(inner) = inner else { return Err(invalid_call(name)) };
        let over_windows = self.window.filter(|_| matches!(inner, Expr::Call { .. }));
        let per = unit.unwrap_or(over_windows.map_or(SECOND_NS, |window| window.every_ns));
        let transform = match name {
            "derivative" => Transform::Derivative { unit_ns: per, non_negative: false },
            "non_negative_derivative" => Transform::Derivative { unit_ns: per, non_negative: true },
            "difference" => Transform::Difference { non_negative: false },
            "non_negative_difference" => Transform::Difference { non_negative: true },
            "moving_average" => Transform::MovingAverage { rows: number.unwrap_or(2.0) as u64 },
            "cumulative_sum" => Transform::CumulativeSum,
            "elapsed" => Transform::Elapsed { unit_ns: unit.unwrap_or(1) },
            _ => return Err(Error::Invalid(format!("undefined function {name}()"))),
        };
        if let Expr::Var { name: field, .. } = inner
            && let Some(kind) = field_type(self.info, field)
            && !takes(name, kind)
        {
            let kind = kind.name();
            return Err(Error::Invalid(format!("unsupported {name} iterator type: {kind}")));
        }
        Ok(plan::Expr::Transform(transform, Box::new(self.column(inner)?)))
    }

    /// Refuses arithmetic of text and truth values, and bits of floats.
    fn check_types(&self, expr: &Expr, op: Op, left: &Expr, right: &Expr) -> Result<()> {
        if op.compares() {
            return Ok(());
        }
        let (Some(a), Some(b)) = (self.type_of(left), self.type_of(right)) else { return Ok(()) };
        let bits = matches!(op, Op::BitAnd | Op::BitOr | Op::BitXor);
        let number = |t| {
            matches!(t, FieldType::Integer | FieldType::Unsigned) || t == FieldType::Float && !bits
        };
        let booleans = bits && a == FieldType::Boolean && b == FieldType::Boolean;
        if number(a) && number(b) || booleans {
            return Ok(());
        }
        let text = format!(
            "type error: {}: incompatible types: {} and {}",
            self.typed(expr),
            a.name(),
            b.name()
        );
        Err(Error::Invalid(text))
    }

    /// The type of an expression, if it is known before it runs.
    fn type_of(&self, expr: &Expr) -> Option<FieldType> {
        match expr.bare() {
            Expr::Var { name, kind: VarKind::Any | VarKind::Field } => field_type(self.info, name),
            Expr::Number(_) => Some(FieldType::Float),
            Expr::Integer(_) | Expr::Duration(_) => Some(FieldType::Integer),
            Expr::Unsigned(_) => Some(FieldType::Unsigned),
            Expr::String(_) => Some(FieldType::String),
            Expr::Boolean(_) => Some(FieldType::Boolean),
            Expr::Call { name, args } => match name.as_str() {
                "count" | "elapsed" => Some(FieldType::Integer),
                "mean" | "median" | "stddev" | "integral" | "derivative" => Some(FieldType::Float),
                "non_negative_derivative" | "moving_average" => Some(FieldType::Float),
                _ => None.or_else(|| self.type_of(args.first()?)),
            },
            Expr::Binary { op: Op::Div, .. } => Some(FieldType::Float),
            Expr::Binary { left, right, .. } => {
                let (a, b) = (self.type_of(left)?, self.type_of(right)?);
                Some(if a == FieldType::Float { a } else { b })
            }
            _ => None,
        }
    }

    /// An expression with the types of its fields, for messages.
    fn typed(&self, expr: &Expr) -> Expr {
        match expr {
            Expr::Var { name, kind: VarKind::Any } => {
                let kind = match field_type(self.info, name) {
                    Some(FieldType::Float) => VarKind::Float,
                    Some(FieldType::Integer) => VarKind::Integer,
                    Some(FieldType::Unsigned) => VarKind::Unsigned,
                    Some(FieldType::Boolean) => VarKind::Boolean,
                    Some(FieldType::String) => VarKind::String,
                    None => VarKind::Any,
                };
                Expr::Var { name: name.clone(), kind }
            }
            Expr::Binary { op, left, right } => Expr::Binary {
                op: *op,
                left: Box::new(self.typed(left)),
                right: Box::new(self.typed(right)),
            },
            Expr::Call { name, args } => Expr::Call {
                name: name.clone(),
                args: args.iter().map(|arg| self.typed(arg)).collect(),
            },
            Expr::Paren(inner) => Expr::Paren(Box::new(self.typed(inner))),
            other => other.clone(),
        }
    }
}

fn invalid_call(name: &str) -> Error {
    Error::Invalid(format!("expected field argument in {name}()"))
}

/// A function of one field and nothing else.
fn plain(name: &str) -> Option<Function> {
    Some(match name {
        "sum" => Function::Sum,
        "mean" => Function::Mean,
        "median" => Function::Median,
        "mode" => Function::Mode,
        "min" => Function::Min,
        "max" => Function::Max,
        "first" => Function::First,
        "last" => Function::Last,
        "spread" => Function::Spread,
        "stddev" => Function::Stddev,
        "distinct" => Function::Distinct,
        _ => return None,
    })
}

/// Whether the function `name` takes values of this type.
pub fn takes(name: &str, field_type: FieldType) -> bool {
    match field_type {
        FieldType::Float | FieldType::Integer | FieldType::Unsigned => true,
        FieldType::String => {
            matches!(name, "count" | "first" | "last" | "mode" | "distinct" | "elapsed")
        }
        FieldType::Boolean => matches!(
            name,
            "count" | "first" | "last" | "mode" | "distinct" | "elapsed" | "min" | "max"
        ),
    }
}

fn math(name: &str) -> Option<Math> {
    Some(match name {
        "abs" => Math::Abs,
        "acos" => Math::Acos,
        "asin" => Math::Asin,
        "atan" => Math::Atan,
        "atan2" => Math::Atan2,
        "ceil" => Math::Ceil,
        "cos" => Math::Cos,
        "exp" => Math::Exp,
        "floor" => Math::Floor,
        "ln" => Math::Ln,
        "log" => Math::Log,
        "log2" => Math::Log2,
        "log10" => Math::Log10,
        "pow" => Math::Pow,
        "round" => Math::Round,
        "sin" => Math::Sin,
        "sqrt" => Math::Sqrt,
        "tan" => Math::Tan,
        _ => return None,
    })
}
