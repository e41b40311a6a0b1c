//! Where failures are told: on stderr, and in the log that engines read them from.

use std::fs::File;
use std::io::{self, Write as _};

use serde_json::json;

use crate::error::{Error, chain, file};
use crate::flags::Global;

pub struct Log {
    /// `None`: stderr alone.
    file: Option<File>,
    form: Form,
}

#[derive(Clone, Copy)]
enum Form {
    Text,
    Json,
}

impl Log {
    pub fn stderr() -> Self {
        Self {
            file: None,
            form: Form::Text,
        }
    }

    pub fn open(flags: &Global) -> Result<Self, Error> {
        let form = match flags.log_format.as_str() {
            "text" => Form::Text,
            "json" => Form::Json,
            other => return Err(Error::LogFormat(other.to_owned())),
        };
        let open = |path| {
            let opened = File::options().append(true).create(true).open(path);
            opened.map_err(file("open the log", path))
        };
        Ok(Self {
            file: flags.log.as_ref().map(open).transpose()?,
            form,
        })
    }

    /// `failed`: what has, as a beginning.
    pub fn failure(&self, failed: &str, error: &Error) {
        let message = match error {
            Error::Interpreter(_) => chain(error),
            _ => format!("{failed}{}", chain(error)),
        };
        match &self.file {
            None if matches!(error, Error::Interpreter(_)) => {
                let _ = writeln!(io::stderr(), "{message}");
            }
            None => line(io::stderr(), self.form, "error", &message),
            Some(file) => {
                line(file, self.form, "error", &message);
                // Who called by hand sees it, too.
                let _ = writeln!(io::stderr(), "{message}");
            }
        }
    }

    /// What goes on all the same.
    pub fn warning(&self, message: &str) {
        self.line("warning", message);
    }

    pub fn line(&self, level: &str, message: &str) {
        match &self.file {
            None => line(io::stderr(), self.form, level, message),
            Some(file) => line(file, self.form, level, message),
        }
    }

    /// Another handle to the same.
    pub fn try_clone(&self) -> io::Result<Self> {
        let file = self.file.as_ref().map(File::try_clone).transpose()?;
        Ok(Self {
            file,
            form: self.form,
        })
    }
}

fn line(mut to: impl io::Write, form: Form, level: &str, message: &str) {
    let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    // Nobody is left to be told that this cannot be written.
    let _ = match form {
        Form::Text => writeln!(to, "time=\"{time}\" level={level} msg={message:?}"),
        Form::Json => writeln!(
            to,
            "{}",
            json!({"level": level, "msg": message, "time": time})
        ),
    };
}
