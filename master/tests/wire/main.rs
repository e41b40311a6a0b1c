//! The master over real connections, with agents and frameworks of the test's own.

mod http;
mod lifecycle;
mod support;
