//! Which variables of an engine's container are secrets: its label says so, for an agent that has not made it
//! tells no more of them than the one that has. Pure.

use proto::v1;
use proto::v1::environment::variable::Type;
use serde_json::Value;

/// Its value: names, as a list in JSON.
const LABEL: &str = "longshore.secret_variables";

/// Of a task that has any.
pub fn label(task: &v1::TaskInfo) -> Option<(String, String)> {
    let command = task.command.as_ref();
    let environment = command.and_then(|command| command.environment.as_ref());
    let variables = environment.iter().flat_map(|it| &it.variables);
    let names = variables.filter(|it| it.r#type() == Type::Secret);
    let names: Vec<_> = names.map(|it| it.name.clone()).collect();
    (!names.is_empty()).then(|| (LABEL.to_owned(), Value::from(names).to_string()))
}

/// What an engine tells of a container.
pub fn without_secrets(mut whole: Value) -> Value {
    let names = whole.pointer("/Config/Labels").and_then(|it| it.get(LABEL));
    let names = names.and_then(Value::as_str).unwrap_or_default();
    let names: Vec<String> = serde_json::from_str(names).unwrap_or_default();
    let env = whole.pointer_mut("/Config/Env");
    for entry in env.and_then(Value::as_array_mut).into_iter().flatten() {
        let name = entry.as_str().and_then(|it| it.split_once('='));
        let name = name.map(|(name, _value)| name.to_owned());
        if let Some(name) = name.filter(|name| names.contains(name)) {
            *entry = Value::from(format!("{name}=<hidden>"));
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_a_secret_is_hidden_and_the_rest_told() {
        let variable = |name: &str, kind: Type| v1::environment::Variable {
            name: name.into(),
            r#type: Some(kind.into()),
            ..Default::default()
        };
        let of = |variables| v1::TaskInfo {
            command: Some(v1::CommandInfo {
                environment: Some(v1::Environment { variables }),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(label(&of(vec![variable("A", Type::Value)])), None);
        let all = [
            ("A", Type::Value),
            ("B", Type::Secret),
            ("C,D", Type::Secret),
        ];
        let task = of(all.map(|(name, kind)| variable(name, kind)).to_vec());
        let (name, value) = label(&task).unwrap();
        let told = |env: [&str; 4]| json!({"Config": {"Env": env, "Labels": {&name: value}}});
        assert_eq!(
            without_secrets(told(["A=1", "B=x=y", "C,D=z", "odd"])),
            told(["A=1", "B=<hidden>", "C,D=<hidden>", "odd"])
        );
        let foreign = json!({"Config": {"Env": ["B=1"], "Labels": null}});
        assert_eq!(without_secrets(foreign.clone()), foreign);
    }
}
