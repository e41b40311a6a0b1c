//! What a task wishes and does not get, though it runs. What would make it run wrongly is refused
//! instead (`volumes`).

use proto::v1;

use crate::checks;

/// Pure: each wish that is not met, as a sentence for the task's log.
pub fn notes(task: &v1::TaskInfo) -> Vec<String> {
    let mut notes = checks::notes(task);
    if task.resources.iter().any(|r| r.name == "gpus") {
        let note = "the task's gpus are not isolated: it may see those of other tasks";
        notes.push(note.to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_gets_all_it_wants_has_no_notes() {
        assert!(notes(&v1::TaskInfo::default()).is_empty());
    }

    #[test]
    fn a_check_that_cannot_be_performed_is_told() {
        let task = v1::TaskInfo {
            health_check: Some(v1::HealthCheck::default()),
            check: Some(v1::CheckInfo::default()),
            ..Default::default()
        };
        let notes = notes(&task);
        assert!(notes[0].starts_with("the task's health check is not performed"));
        assert!(notes[1].starts_with("the task's check is not performed"));
    }
}
