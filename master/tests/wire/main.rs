//! The master over real connections, with agents and frameworks of the test's own.

mod hostile;
mod http;
mod lifecycle;
mod support;
