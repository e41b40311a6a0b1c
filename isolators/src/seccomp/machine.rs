//! What a profile's conditions ask of the host.

use oci_spec::runtime::Arch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    pub architecture: Arch,
    pub kernel: Kernel,
}

/// The first two numbers of a kernel's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Kernel {
    pub major: u32,
    pub minor: u32,
}

/// What profiles call a machine in "arches", beside its name in "architectures".
const WORDS: &[(Arch, &str)] = &[
    (Arch::ScmpArchX86_64, "amd64"),
    (Arch::ScmpArchAarch64, "arm64"),
    (Arch::ScmpArchX86, "x86"),
    (Arch::ScmpArchArm, "arm"),
];

impl Machine {
    /// This one, by a kernel's release such as `6.1.0-18-amd64`. A release that is not understood
    /// is the oldest of all, which grants least.
    pub fn here(release: &str) -> Machine {
        let architecture = match std::env::consts::ARCH {
            "aarch64" => Arch::ScmpArchAarch64,
            _ => Arch::ScmpArchX86_64,
        };
        Machine {
            architecture,
            kernel: Kernel::of_release(release).unwrap_or_default(),
        }
    }

    pub fn is_called(&self, word: &str) -> bool {
        let own = WORDS.iter().find(|(arch, _)| *arch == self.architecture);
        own.is_some_and(|(_, own)| *own == word) || self.architecture.to_string() == word
    }
}

impl Kernel {
    /// `4.8`, as profiles write it.
    pub fn parse(text: &str) -> Option<Kernel> {
        let (major, minor) = text.split_once('.')?;
        Some(Kernel {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }

    fn of_release(release: &str) -> Option<Kernel> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some(Kernel {
            major: numbers.next()?.parse().ok()?,
            minor: numbers.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_understood() {
        let version = |major, minor| Some(Kernel { major, minor });
        assert_eq!(Kernel::of_release("6.1.0-18-amd64"), version(6, 1));
        assert_eq!(Kernel::of_release("5.10-custom"), version(5, 10));
        assert_eq!(Kernel::of_release("custom"), None);
        assert_eq!(Kernel::parse("4.8"), version(4, 8));
        assert_eq!(Kernel::parse("4.8.1"), None);
    }
}
