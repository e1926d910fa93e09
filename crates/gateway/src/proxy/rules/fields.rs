//! Reads the fields of a table, and notes what is wrong with which of them.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// Something wrong in a file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    line: usize,
    field: String,
    problem: String,
}

impl Fault {
    pub(super) fn new(line: usize, field: &str, problem: impl Into<String>) -> Self {
        Self { line, field: field.to_owned(), problem: problem.into() }
    }

    /// In which line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The name of the field; empty where the file is no TOML.
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, field, problem } = self;
        let comma = if field.is_empty() { "" } else { ", " };
        write!(f, "line {line}{comma}{field}: {problem}")
    }
}

/// In which line of the text something is.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// One table of a file.
pub(super) struct Fields<'f, 'i> {
    text: &'i str,
    line: usize,
    table: &'f DeTable<'i>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'f, 'i> Fields<'f, 'i> {
    /// The table that begins at this place of the text.
    pub(super) fn new(text: &'i str, at: usize, table: &'f DeTable<'i>) -> Self {
        Self { text, line: line_of(text, at), table, known: Vec::new(), faults: Vec::new() }
    }

    /// Reads a field that may be missing.
    pub(super) fn read<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&DeValue<'i>) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(field);
        let value = self.table.get(field)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(problem) => {
                let line = line_of(self.text, value.span().start);
                self.faults.push(Fault::new(line, field, problem));
                None
            }
        }
    }

    /// The field's value and where it is, for tables within this one.
    pub(super) fn raw(&mut self, field: &'static str) -> Option<(usize, &'f DeValue<'i>)> {
        self.known.push(field);
        self.table.get(field).map(|value| (value.span().start, value.get_ref()))
    }

    /// Whether there is such a field.
    pub(super) fn has(&self, field: &str) -> bool {
        self.table.contains_key(field)
    }

    /// Notes something wrong with a field, or with the table where that is missing.
    pub(super) fn fault(&mut self, field: &str, problem: impl Into<String>) {
        let line = self
            .table
            .get_key_value(field)
            .map_or(self.line, |(key, _)| line_of(self.text, key.span().start));
        self.faults.push(Fault::new(line, field, problem));
    }

    /// All that is wrong, now that all known fields were read.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for key in self.table.keys() {
            if !self.known.contains(&&**key.get_ref()) {
                let line = line_of(self.text, key.span().start);
                let problem = format!("there is no such field; accepted: {}", self.known.join(", "));
                self.faults.push(Fault::new(line, key.get_ref(), problem));
            }
        }
        self.faults
    }
}

/// Quotes what was given, a part of it where it is long.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    format!("{start:?}{}", if start.len() < text.len() { "…" } else { "" })
}

/// A text.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("this is of type {}; accepted: a text in quotes", value.type_str()))
}

/// `true` or `false`.
pub(super) fn switch(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("this is of type {}; accepted: true, false", value.type_str()))
}

/// A whole number.
pub(super) fn number(value: &DeValue<'_>, accepted: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let number = value.as_integer().and_then(|it| u32::from_str_radix(it.as_str(), it.radix()).ok());
    let refused = || format!("accepted: a whole number from {} to {}", accepted.start(), accepted.end());
    number.filter(|number| accepted.contains(number)).ok_or_else(refused)
}

/// A list of anything.
pub(super) fn list<'v, 'i, T>(
    value: &'v DeValue<'i>,
    mut read: impl FnMut(&'v DeValue<'i>) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let list = value
        .as_array()
        .ok_or_else(|| format!("this is of type {}; accepted: a list in [ ]", value.type_str()))?;
    list.iter().map(|value| read(value.get_ref())).collect()
}
