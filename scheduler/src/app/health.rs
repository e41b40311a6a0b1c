//! Health, general and readiness checks.

/// How the health of an instance is known. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    pub probe: Probe,
    /// After the task's start, failures do not count for so long, or until the first success.
    pub grace_period_seconds: u32,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    /// 0: never kill.
    pub max_consecutive_failures: u32,
    /// Before the first check, for those that the agent makes.
    pub delay_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// By the scheduler; 200 to 399 is healthy.
    Http {
        scheme: Scheme,
        path: String,
        port: CheckPort,
        ignore_http1xx: bool,
    },
    /// By the scheduler; healthy if the connection opens.
    Tcp {
        port: CheckPort,
    },
    /// By the agent, inside the task's network.
    MesosHttp {
        scheme: Scheme,
        path: String,
        port: CheckPort,
        ip: IpProtocol,
    },
    MesosTcp {
        port: CheckPort,
        ip: IpProtocol,
    },
    /// By the agent, in the task's container, with its environment; 0 is healthy.
    Command {
        value: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpProtocol {
    V4,
    V6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckPort {
    /// Index into the app's ports.
    Index(u32),
    Number(u16),
}

impl Probe {
    /// The port it looks at, if any.
    pub fn port(&self) -> Option<CheckPort> {
        match self {
            Probe::Http { port, .. }
            | Probe::Tcp { port }
            | Probe::MesosHttp { port, .. }
            | Probe::MesosTcp { port, .. } => Some(*port),
            Probe::Command { .. } => None,
        }
    }

    /// Whether the agent makes the check, rather than the scheduler.
    pub fn is_by_agent(&self) -> bool {
        match self {
            Probe::Http { .. } | Probe::Tcp { .. } => false,
            Probe::MesosHttp { .. } | Probe::MesosTcp { .. } | Probe::Command { .. } => true,
        }
    }
}

/// A check whose result is only reported. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub probe: CheckProbe,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub delay_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckProbe {
    Http {
        scheme: Scheme,
        path: String,
        port: CheckPort,
    },
    Tcp {
        port: CheckPort,
    },
    Exec {
        command: String,
    },
}

/// When a new instance counts in a deployment. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessCheck {
    pub name: String,
    pub scheme: Scheme,
    pub path: String,
    pub port_name: String,
    pub interval_seconds: u32,
    /// Less than the interval.
    pub timeout_seconds: u32,
    pub http_status_codes_for_ready: Vec<u16>,
    pub preserve_last_response: bool,
}
