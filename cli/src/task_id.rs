//! What the id of a task says.

/// Whether a task id is one of an app: `a_b.instance-<uuid>._app.1` of `/a/b`.
pub fn is_of(task: &str, app: &str) -> bool {
    let name = app.trim_start_matches('/').replace('/', "_");
    let rest = task
        .strip_prefix(&name)
        .and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|rest| rest.starts_with("instance-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_belong_to_the_app_whose_name_they_begin_with() {
        assert!(is_of("g_a.instance-1._app.1", "/g/a"));
        assert!(!is_of("g_a.b.instance-1._app.1", "/g/a"));
        assert!(!is_of("g_ab.instance-1._app.1", "/g/a"));
    }
}
