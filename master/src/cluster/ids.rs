//! Names of the things a cluster has. A value that exists is safe as one component of a path.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use proto::ids::BadId;
use proto::v1;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn wire(&self) -> v1::$name {
                v1::$name { value: self.0.to_string() }
            }
        }

        impl TryFrom<&v1::$name> for $name {
            type Error = BadId;
            fn try_from(id: &v1::$name) -> Result<Self, BadId> {
                proto::ids::check(&id.value)?;
                Ok(Self(id.value.as_str().into()))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(AgentId);
id!(FrameworkId);
id!(OfferId);
id!(TaskId);
id!(ExecutorId);

impl AgentId {
    pub fn assigned(master: &str, number: u64) -> Self {
        Self(format!("{master}-S{number}").into())
    }
}

impl FrameworkId {
    pub fn assigned(master: &str, number: u64) -> Self {
        Self(format!("{master}-{number:04}").into())
    }
}

impl OfferId {
    pub fn assigned(master: &str, number: u64) -> Self {
        Self(format!("{master}-O{number}").into())
    }
}
