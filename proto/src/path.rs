//! Where in a message something is wrong.

use std::fmt;

/// A way into a message, such as `framework_info.roles[2]`.
///
/// It is kept from the innermost step outwards: a reader adds steps while it returns with an error,
/// and input without errors pays nothing for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Path {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

impl Path {
    pub(crate) fn enter_field(&mut self, name: &str) {
        self.steps.push(Step::Field(name.to_owned()));
    }

    pub(crate) fn enter_item(&mut self, item: usize) {
        self.steps.push(Step::Item(item));
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().rev().enumerate() {
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Field(name) if i == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
            }
        }
        Ok(())
    }
}
