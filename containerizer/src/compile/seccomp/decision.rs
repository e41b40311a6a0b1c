//! What a profile answers each system call number with.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall};

use super::SeccompError;
use super::abi::{Abi, X32};
use super::action::{KILL_PROCESS, errno, verdict};

/// The answer to one call: that of the first test whose comparisons all hold, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub tests: Vec<Test>,
    pub otherwise: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// At least one.
    pub comparisons: Vec<LinuxSeccompArg>,
    pub verdict: u32,
}

/// Every number of one machine: each range begins at its number and ends before the next one.
#[derive(Debug)]
pub struct Answers {
    pub abi: Abi,
    /// The first begins at 0, and neighbours differ.
    pub ranges: Vec<(u32, Decision)>,
}

/// A profile with its actions as verdicts.
#[derive(Debug)]
pub struct Decisions<'a> {
    default: u32,
    rules: Vec<Rule<'a>>,
}

#[derive(Debug)]
struct Rule<'a> {
    names: &'a [String],
    verdict: u32,
    /// Any of which makes the rule match; none means that it always does.
    alternatives: Vec<&'a [LinuxSeccompArg]>,
}

/// The bit that marks a number of x32.
const X32_BIT: u32 = 0x4000_0000;

/// A tracer's way to skip a call: no number of x32, whatever its bits.
const SKIPPED: u32 = u32::MAX;

impl<'a> Decisions<'a> {
    pub fn of(profile: &'a LinuxSeccomp) -> Result<Self, SeccompError> {
        let default = verdict(
            profile.default_action(),
            profile.default_errno_ret(),
            |field| match field {
                "action" => "defaultAction".to_owned(),
                _ => "defaultErrnoRet".to_owned(),
            },
        )?;
        let syscalls = profile.syscalls().iter().flatten().enumerate();
        let rules = syscalls
            .map(|(n, syscall)| rule(n, syscall))
            .collect::<Result<_, _>>()?;
        Ok(Self { default, rules })
    }

    pub fn of_abi(&self, abi: Abi) -> Answers {
        let named = self.named(abi);
        let plain = plain(abi, self.default);
        // A range can only begin where the plain answer changes, and at and after a named call.
        let starts: BTreeSet<u32> = (plain.iter().map(|(start, _)| *start))
            .chain(named.keys().flat_map(|number| [*number, *number + 1]))
            .collect();
        let mut ranges: Vec<(u32, Decision)> = Vec::new();
        for start in starts {
            let decision = named.get(&start).cloned().unwrap_or_else(|| Decision {
                tests: Vec::new(),
                otherwise: answer_at(&plain, start),
            });
            if ranges.last().is_none_or(|(_, last)| *last != decision) {
                ranges.push((start, decision));
            }
        }
        Answers { abi, ranges }
    }

    fn named(&self, abi: Abi) -> BTreeMap<u32, Decision> {
        let mut tests: BTreeMap<u32, Vec<Test>> = BTreeMap::new();
        let mut decided: BTreeMap<u32, Decision> = BTreeMap::new();
        for rule in &self.rules {
            let numbers = rule.names.iter().filter_map(|name| abi.number(name));
            for number in numbers.collect::<BTreeSet<u32>>() {
                // What comes after a rule that always matches is never asked.
                if decided.contains_key(&number) {
                    continue;
                }
                let so_far = tests.entry(number).or_default();
                if rule.alternatives.is_empty() {
                    let tests = std::mem::take(so_far);
                    decided.insert(number, Decision::new(tests, rule.verdict));
                    continue;
                }
                so_far.extend(rule.alternatives.iter().map(|comparisons| Test {
                    comparisons: comparisons.to_vec(),
                    verdict: rule.verdict,
                }));
            }
        }
        for (number, tests) in tests {
            let undecided = || Decision::new(tests, self.default);
            decided.entry(number).or_insert_with(undecided);
        }
        decided
    }
}

impl Answers {
    /// All that a call of this name can be answered with.
    pub fn to(&self, name: &str) -> impl Iterator<Item = u32> {
        let number = self.abi.number(name);
        let after = number.map(|number| self.ranges.partition_point(|(start, _)| *start <= number));
        let decision = after.and_then(|after| self.ranges.get(after.checked_sub(1)?));
        decision.into_iter().flat_map(|(_, decision)| {
            let tests = decision.tests.iter().map(|test| test.verdict);
            tests.chain([decision.otherwise])
        })
    }
}

impl Decision {
    /// Without the tests at the end that change nothing: neighbours are then more often alike.
    fn new(mut tests: Vec<Test>, otherwise: u32) -> Self {
        while tests.last().is_some_and(|test| test.verdict == otherwise) {
            tests.pop();
        }
        Self { tests, otherwise }
    }
}

fn rule(n: usize, syscall: &LinuxSyscall) -> Result<Rule<'_>, SeccompError> {
    let args = syscall.args().as_deref().unwrap_or_default();
    let wrong = args.iter().position(|arg| arg.index() > 5);
    if let Some(arg) = wrong {
        return Err(SeccompError::Index {
            rule: n,
            arg,
            index: args[arg].index(),
        });
    }
    let indices: BTreeSet<usize> = args.iter().map(|arg| arg.index()).collect();
    let alternatives = if indices.len() < args.len() {
        args.chunks(1).collect()
    } else {
        args.chunks(args.len().max(1)).collect()
    };
    Ok(Rule {
        names: syscall.names(),
        verdict: verdict(syscall.action(), syscall.errno_ret(), |field| {
            format!("syscalls[{n}].{field}")
        })?,
        alternatives,
    })
}

/// Answers to numbers that no rule names, and where each begins.
fn plain(abi: Abi, default: u32) -> Vec<(u32, u32)> {
    let mut plain = vec![(0, default)];
    // Programs try a new call first and fall back when the kernel does not have it; "not permitted"
    // ends them. No profile of today can have meant a call of tomorrow.
    if default == errno(libc::EPERM) {
        plain.push((abi.last() + 1, errno(libc::ENOSYS)));
    }
    if let Abi::X86_64 { x32 } = abi {
        let verdict = match x32 {
            X32::Unlisted => KILL_PROCESS,
            X32::Listed => errno(libc::ENOSYS),
        };
        plain.extend([(X32_BIT, verdict), (SKIPPED, default)]);
    }
    plain
}

fn answer_at(plain: &[(u32, u32)], number: u32) -> u32 {
    let after = plain.partition_point(|(start, _)| *start <= number);
    plain[after - 1].1
}
