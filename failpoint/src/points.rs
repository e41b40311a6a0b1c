//! The table of all points.

macro_rules! points {
    ($($(#[doc = $text:literal])* $name:ident,)*) => {
        /// Where a process may die. Its name is how a test says so.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Point { $($(#[doc = $text])* $name,)* }

        /// In the order of the table.
        pub const ALL: &[Point] = &[$(Point::$name,)*];

        impl Point {
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            pub fn named(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }
        }
    };
}

points! {
    // Records below `work_dir/meta`.
    /// A file of one record is about to be written.
    CheckpointDue,
    /// It is half there, under its temporary name.
    CheckpointCut,
    /// It is there under its temporary name.
    CheckpointWritten,
    /// It has its name, and its directory is not synced.
    CheckpointNamed,
    /// A link is there under its temporary name.
    LinkMade,
    /// It has its name.
    LinkNamed,
    /// A journal's file is there, and empty or as it was.
    JournalOpened,
    /// The next record is half there.
    JournalCut,
    /// It is there, and not synced.
    JournalWritten,
    /// It is on the disk, where it must be.
    JournalKept,
}
