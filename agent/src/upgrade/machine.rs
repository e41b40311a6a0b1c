//! How far an upgrade is, as the agent that is to be replaced sees it. Pure.
//!
//! ```text
//!  Preparing ─prepared─► Settling ─settled─► Writing ─written─► Relieving
//!      │                    │                   │                  │ relieved
//!      │                    │                   │                  ▼
//!      │                    │                   │              TakingOver ─ready─► Parting ─serving─► Upgraded
//!      │                    │                   │                  │                  │
//!      └────────────────────┴─── it died, failed, is late, nobody wants it, or no room for it ──► Kept
//! ```
//!
//! Until `Relieving` the agent goes on as ever, and needs no more than to begin the tasks that it has
//! held back: what cannot be written down is found out there, where nothing has been let go of. After that
//! what runs is on the disk and may have been changed there by the successor, so the agent recovers from
//! it, as a restart does. Only `Upgraded` cannot be taken back.

use super::word::Word;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The successor reads its flags and looks at the host.
    Preparing,
    /// No task is begun any more; those that are being launched come up.
    Settling,
    /// What is only known here is written down.
    Writing,
    /// Everything is let go of.
    Relieving,
    /// The successor recovers, and registers.
    TakingOver,
    /// It is the agent, if it lives to say so.
    Parting,
    Upgraded,
    Kept {
        why: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Said(Word),
    /// The successor cannot be heard any more; how it ended, if it did.
    Lost(String),
    /// No launch is under way.
    Settled,
    /// All that is known of what runs is on the disk.
    Written,
    /// That cannot be: why.
    Unwritten(String),
    /// Nothing of any task is in this process's hands.
    Relieved,
    /// The time for this phase is over.
    Late,
    /// The agent is to stop.
    CalledOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Settle,
    WriteDown,
    Relieve,
    SayGo,
    /// Pass on what was ordered meanwhile, and with it the rest.
    HandOver,
    /// Let nobody in any more, and go when everybody has been answered.
    Close,
    /// The successor, if it is still there.
    Kill,
    /// Begin the tasks that were held back.
    Resume,
    /// Recover what runs from the disk.
    Recover,
}

impl Phase {
    pub fn step(self, event: Event) -> (Phase, Vec<Effect>) {
        use Phase::*;
        match (self, event) {
            (Preparing, Event::Said(Word::Prepared)) => (Settling, vec![Effect::Settle]),
            (Settling, Event::Settled) => (Writing, vec![Effect::WriteDown]),
            (Writing, Event::Written) => (Relieving, vec![Effect::Relieve]),
            (Relieving, Event::Relieved) => (TakingOver, vec![Effect::SayGo]),
            (TakingOver, Event::Said(Word::Ready)) => (Parting, vec![Effect::HandOver]),
            (Parting, Event::Said(Word::Serving)) => (Upgraded, vec![Effect::Close]),
            // It is over, and what is heard of it changes nothing.
            (phase @ (Upgraded | Kept { .. }), _) => (phase, vec![]),
            (phase, Event::Said(Word::Failed(why))) => phase.back(why),
            (phase, Event::Lost(why)) => phase.back(why),
            (phase, Event::Unwritten(why)) => phase.back(why),
            (phase, Event::CalledOff) => phase.back("the agent was told to stop".to_owned()),
            (phase, Event::Late) => {
                let why = phase.lateness().to_owned();
                phase.back(why)
            }
            // What does not belong to this phase.
            (
                phase,
                event @ (Event::Said(_) | Event::Settled | Event::Written | Event::Relieved),
            ) => phase.back(format!("out of turn: {event:?}")),
        }
    }

    fn back(self, why: String) -> (Phase, Vec<Effect>) {
        let effects = match self {
            Phase::Preparing => vec![Effect::Kill],
            Phase::Settling | Phase::Writing => vec![Effect::Kill, Effect::Resume],
            // The successor goes first: two must not recover.
            Phase::Relieving | Phase::TakingOver | Phase::Parting => {
                vec![Effect::Kill, Effect::Recover]
            }
            Phase::Upgraded | Phase::Kept { .. } => vec![],
        };
        (Phase::Kept { why }, effects)
    }

    fn lateness(&self) -> &'static str {
        match self {
            Phase::Preparing => "the new program did not say in time that it can take over",
            Phase::Settling => {
                "tasks are still being launched, and one that fetches much may take long: try again \
                 later"
            }
            Phase::Writing => {
                "what is known of tasks could not be written down in time: see whether the disk of the \
                 work directory hangs"
            }
            Phase::Relieving => "tasks could not be let go of in time",
            Phase::TakingOver => "the new program did not say in time that it has taken over",
            Phase::Parting => "the new program did not say in time that it serves",
            Phase::Upgraded | Phase::Kept { .. } => "it was over",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn way() -> [Event; 6] {
        [
            Event::Said(Word::Prepared),
            Event::Settled,
            Event::Written,
            Event::Relieved,
            Event::Said(Word::Ready),
            Event::Said(Word::Serving),
        ]
    }

    fn run(events: impl IntoIterator<Item = Event>) -> (Phase, Vec<Effect>) {
        let begin = (Phase::Preparing, Vec::new());
        events.into_iter().fold(begin, |(phase, mut done), event| {
            let (phase, effects) = phase.step(event);
            done.extend(effects);
            (phase, done)
        })
    }

    #[test]
    fn a_successor_that_does_all_in_turn_is_the_agent() {
        let (phase, effects) = run(way());
        assert_eq!(phase, Phase::Upgraded);
        let wanted = [
            Effect::Settle,
            Effect::WriteDown,
            Effect::Relieve,
            Effect::SayGo,
            Effect::HandOver,
            Effect::Close,
        ];
        assert_eq!(effects, wanted);
    }

    #[test]
    fn whatever_goes_wrong_where_the_agent_goes_on_as_that_place_needs_it() {
        let back: [&[Effect]; 6] = [
            &[Effect::Kill],
            &[Effect::Kill, Effect::Resume],
            &[Effect::Kill, Effect::Resume],
            &[Effect::Kill, Effect::Recover],
            &[Effect::Kill, Effect::Recover],
            &[Effect::Kill, Effect::Recover],
        ];
        let wrong = [
            Event::Lost("it ended with status 1".into()),
            Event::Said(Word::Failed("no".into())),
            Event::Late,
            Event::CalledOff,
            Event::Said(Word::Yours),
            Event::Unwritten("no room".into()),
        ];
        for (steps, wanted) in back.into_iter().enumerate() {
            for event in &wrong {
                let way = way().into_iter().take(steps);
                let (phase, effects) = run(way.chain([event.clone()]));
                assert!(matches!(phase, Phase::Kept { .. }), "{steps} {event:?}");
                assert!(effects.ends_with(wanted), "{steps} {event:?}: {effects:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_written_down_is_why_the_agent_goes_on_and_nothing_was_let_go_of() {
        let why = "no room".to_owned();
        let (phase, effects) = run(way()
            .into_iter()
            .take(2)
            .chain([Event::Unwritten(why.clone())]));
        assert_eq!(phase, Phase::Kept { why });
        let wanted = [
            Effect::Settle,
            Effect::WriteDown,
            Effect::Kill,
            Effect::Resume,
        ];
        assert_eq!(effects, wanted);
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            6 => (0..way().len()).prop_map(|n| way()[n].clone()),
            1 => Just(Event::Late),
            1 => Just(Event::CalledOff),
            1 => Just(Event::Lost("gone".into())),
            1 => Just(Event::Said(Word::Failed("no".into()))),
            1 => Just(Event::Unwritten("no room".into())),
        ]
    }

    proptest! {
        /// Whatever comes in whatever order: there is never no agent, and never two.
        #[test]
        fn one_is_the_agent(events in prop::collection::vec(event(), 0..12)) {
            let (phase, effects) = run(events);
            let count = |effect| effects.iter().filter(|it| **it == effect).count();
            let over = count(Effect::Close);
            let back = count(Effect::Kill);
            prop_assert!(over + back <= 1);
            prop_assert_eq!(over == 1, phase == Phase::Upgraded);
            let is_kept = matches!(phase, Phase::Kept { .. });
            prop_assert_eq!(back == 1, is_kept);
            // What was let go of is taken up again, and only after the successor has gone.
            if is_kept {
                let relieved = count(Effect::Relieve);
                prop_assert_eq!(count(Effect::Recover), relieved);
                prop_assert_eq!(count(Effect::Resume) + relieved, count(Effect::Settle));
            }
        }
    }
}
