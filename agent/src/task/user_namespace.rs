//! Which tasks have a user namespace of their own. Mesos knows none for its containers, so a label asks.

use isolators::IdRange;
use proto::v1;

/// Of a task: "true" or "false".
const LABEL: &str = "LONGSHORE_USER_NAMESPACE";

/// What the operator has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserNamespaces {
    /// For tasks that say nothing.
    pub by_default: bool,
    /// Of the host, for all of them.
    pub ids: IdRange,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("label {LABEL} is {0:?}: it must be \"true\" or \"false\"")]
pub struct BadLabel(String);

impl UserNamespaces {
    /// The ids that the task's may be taken from; `None` for the host's user namespace.
    pub fn of(&self, task: &v1::TaskInfo) -> Result<Option<IdRange>, BadLabel> {
        let labels = task.labels.iter().flat_map(|labels| &labels.labels);
        let mut ours = labels.filter(|label| label.key == LABEL);
        let own = match ours.next().map(|label| label.value()) {
            None => self.by_default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(BadLabel(other.to_owned())),
        };
        Ok(own.then_some(self.ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: IdRange = IdRange {
        first: 100_000,
        count: 65536,
    };

    fn of(by_default: bool, label: Option<&str>) -> Result<Option<IdRange>, BadLabel> {
        let labels = label.map(|value| v1::Label {
            key: LABEL.to_owned(),
            value: Some(value.to_owned()),
        });
        let task = v1::TaskInfo {
            labels: Some(v1::Labels {
                labels: labels.into_iter().collect(),
            }),
            ..Default::default()
        };
        let namespaces = UserNamespaces {
            by_default,
            ids: IDS,
        };
        namespaces.of(&task)
    }

    #[test]
    fn a_task_decides_for_itself_and_else_the_operator_for_it() {
        assert_eq!(of(false, None), Ok(None));
        assert_eq!(of(true, None), Ok(Some(IDS)));
        assert_eq!(of(false, Some("true")), Ok(Some(IDS)));
        assert_eq!(of(true, Some("false")), Ok(None));
        assert_eq!(
            of(true, Some("yes")).unwrap_err().to_string(),
            "label LONGSHORE_USER_NAMESPACE is \"yes\": it must be \"true\" or \"false\""
        );
    }
}
