//! What runs in a container of an image: the task's words and the image's. Pure.
//!
//! Source: the table of spec/mesos-agent.md section 25.

use crate::config::Runtime;

/// What the task says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    pub shell: bool,
    pub value: Option<String>,
    /// With a value all of `argv`, otherwise what follows the image's entrypoint.
    pub arguments: Vec<String>,
}

/// What is executed; `argv` is never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub path: String,
    pub argv: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCommand {
    #[error(
        "the task names no command, and its image has neither ENTRYPOINT nor CMD: give \"cmd\" or \"args\""
    )]
    OfNeither,
    #[error("the task's command is to be run by a shell, and is not given")]
    Shell,
}

pub fn resolve(asked: &Asked, image: &Runtime) -> Result<Run, NoCommand> {
    let value = asked.value.as_ref().filter(|value| !value.is_empty());
    let argv: Vec<String> = match (asked.shell, value) {
        (true, Some(line)) => ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        (true, None) => return Err(NoCommand::Shell),
        (false, Some(path)) => {
            let named = || vec![path.clone()];
            let argv = Some(asked.arguments.clone()).filter(|it| !it.is_empty());
            return Ok(Run {
                path: path.clone(),
                argv: argv.unwrap_or_else(named),
            });
        }
        (false, None) if asked.arguments.is_empty() => [&image.entrypoint[..], &image.cmd].concat(),
        (false, None) => {
            let entrypoint = match image.entrypoint.is_empty() {
                true => &image.cmd[..image.cmd.len().min(1)],
                false => &image.entrypoint,
            };
            [entrypoint, &asked.arguments].concat()
        }
    };
    let path = argv.first().filter(|path| !path.is_empty()).cloned();
    let path = path.ok_or(NoCommand::OfNeither)?;
    Ok(Run { path, argv })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn task_and_image_decide_together_what_runs() {
        // Whether by a shell, the task's value and arguments, the image's ENTRYPOINT and CMD.
        for (shell, value, arguments, entrypoint, cmd, runs) in [
            (false, "", "", "/e a", "b c", "/e a b c"),
            (false, "", "", "", "b c", "b c"),
            (false, "", "", "/e", "", "/e"),
            (false, "", "x y", "/e a", "b c", "/e a x y"),
            (false, "", "x y", "", "b c", "b x y"),
            (false, "", "x y", "", "", "x y"),
            (false, "/v", "n x", "/e", "b", "n x"),
            (false, "/v", "", "/e", "b", "/v"),
            (true, "ls", "", "/e", "b", "/bin/sh -c ls"),
        ] {
            let asked = Asked {
                shell,
                value: Some(value.to_owned()),
                arguments: words(arguments),
            };
            let image = Runtime {
                entrypoint: words(entrypoint),
                cmd: words(cmd),
                ..Runtime::default()
            };
            let run = resolve(&asked, &image).unwrap();
            assert_eq!(run.argv, words(runs), "{asked:?} {image:?}");
            let path = if value == "/v" {
                "/v"
            } else {
                run.argv[0].as_str()
            };
            assert_eq!(run.path, path);
        }
    }

    #[test]
    fn a_task_without_a_command_needs_an_image_with_one() {
        let none = Runtime::default();
        assert_eq!(resolve(&Asked::default(), &none), Err(NoCommand::OfNeither));
        let shell = Asked {
            shell: true,
            ..Asked::default()
        };
        assert_eq!(resolve(&shell, &none), Err(NoCommand::Shell));
    }
}
