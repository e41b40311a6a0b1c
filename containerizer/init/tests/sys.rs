//! The tests of the unsafe code of the program, which stand beside it: the program itself has no entry that
//! a harness of tests could use. Also Miri runs them: nothing here is a system call but what it knows.

#[expect(dead_code, reason = "the program uses it")]
#[path = "../src/memory.rs"]
mod memory;
#[expect(dead_code, unused_imports, reason = "the program uses it")]
#[path = "../src/sys/mod.rs"]
mod sys;
