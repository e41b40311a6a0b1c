//! What happens, for those who listen: server-sent events. Source: spec/marathon-api.md, sections 3.6 and 12.

mod form;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use endpoint::{Records, Writer, backlog};
use serde_json::{Value, json};

use crate::app::Timestamp;
use crate::engine::Notice;

/// All who listen. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    seats: u64,
    listeners: BTreeMap<u64, Listener>,
}

#[derive(Debug)]
struct Listener {
    /// Empty: all.
    kinds: BTreeSet<String>,
    writer: Writer,
}

/// Of one who listens, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    listeners: Listeners,
    number: u64,
}

impl Listeners {
    /// `kinds`: of events, none for all. Who does not read in time is sent nothing more.
    pub fn listen(&self, kinds: BTreeSet<String>, now: Timestamp) -> (Seat, Records) {
        let (writer, records) = backlog();
        let listener = Listener { kinds, writer };
        let attached = json!({
            "eventType": "event_stream_attached",
            "timestamp": now.to_string(),
        });
        listener.tell(&attached);
        let mut inner = self.inner();
        inner.seats += 1;
        let number = inner.seats;
        inner.listeners.insert(number, listener);
        drop(inner);
        let listeners = self.clone();
        (Seat { listeners, number }, records)
    }

    pub fn tell(&self, notices: &[Notice], now: Timestamp) {
        let mut inner = self.inner();
        if inner.listeners.is_empty() {
            return;
        }
        for notice in notices {
            let event = form::event(notice, now);
            inner.listeners.retain(|_, listener| listener.tell(&event));
        }
    }

    /// Nothing more will happen.
    pub fn close(&self) {
        self.inner().listeners.clear();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic leaves nothing half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Whether it is still sent anything.
    fn tell(&self, event: &Value) -> bool {
        let kind = event["eventType"].as_str().unwrap_or_default();
        let is_wanted = self.kinds.is_empty() || self.kinds.contains(kind);
        !is_wanted || self.writer.push(frame(kind, event)).is_ok()
    }
}

/// JSON on one line has no line ends of its own.
fn frame(kind: &str, event: &Value) -> Bytes {
    format!("event: {kind}\ndata: {event}\n\n").into()
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.listeners.inner().listeners.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::app::App;

    fn failed() -> Notice {
        let app = App::create(&json!({
            "id": "/a", "cmd": "true", "healthChecks": [{"protocol": "COMMAND", "command": {"value": "a\nb"}}],
        }));
        let app = app.unwrap();
        Notice::CheckFailed {
            instance: crate::instance::InstanceId::new(&app.id, uuid::Uuid::nil()),
            check: Box::new(app.health_checks[0].clone()),
            app: app.id,
        }
    }

    async fn next(records: &mut Records) -> String {
        let record = poll_fn(|cx| records.poll_next(cx)).await.unwrap();
        String::from_utf8(record.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn who_listens_is_told_what_he_asks_for_until_he_goes() {
        let (listeners, now) = (Listeners::default(), Timestamp::from_millis(0));
        let (all, mut of_all) = listeners.listen(BTreeSet::new(), now);
        let kinds = BTreeSet::from(["deployment_info".to_owned()]);
        let (_some, mut of_some) = listeners.listen(kinds, now);
        listeners.tell(&[failed()], now);
        let attached = next(&mut of_all).await;
        assert!(
            attached.starts_with("event: event_stream_attached\ndata: {"),
            "{attached}"
        );
        let told = next(&mut of_all).await;
        let lines: Vec<&str> = told.split('\n').collect();
        let [kind, data, "", ""] = lines[..] else {
            panic!("{told:?}");
        };
        assert_eq!(kind, "event: failed_health_check_event");
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event["eventType"], "failed_health_check_event");
        assert_eq!(event["healthCheck"]["command"]["value"], "a\nb");
        drop(all);
        assert_eq!(listeners.inner().listeners.len(), 1);
        listeners.close();
        // He did not ask to hear that he is there either.
        assert!(poll_fn(|cx| of_some.poll_next(cx)).await.is_none());
    }

    #[test]
    fn who_does_not_read_costs_nobody_anything_in_the_end() {
        let (listeners, now) = (Listeners::default(), Timestamp::from_millis(0));
        let (_seat, _unread) = listeners.listen(BTreeSet::new(), now);
        let notices = vec![failed(); 1000];
        for _ in 0..1000 {
            listeners.tell(&notices, now);
            if listeners.inner().listeners.is_empty() {
                return;
            }
        }
        panic!("it is told on and on");
    }
}
