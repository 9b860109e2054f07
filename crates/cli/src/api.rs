//! Requests to the JetStream API, as plain JSON documents.

use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use serde_json::{Value, json};

use crate::failure::{ApiError, Failure};

/// An answer of the JetStream API that is not an error.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The document exactly as the server sent it.
    pub(crate) text: String,
    /// The same document, read.
    pub(crate) value: Value,
}

/// The JetStream API of one account.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    prefix: String,
    timeout: Duration,
    trace: bool,
}

impl Api {
    /// Requests through `client` below the subject `prefix`.
    pub(crate) fn new(client: Client, prefix: String, timeout: Duration, trace: bool) -> Self {
        Self {
            client,
            prefix,
            timeout,
            trace,
        }
    }

    /// The subject of an API call, for example of `STREAM.INFO.ORDERS`.
    pub(crate) fn subject(&self, call: &str) -> String {
        format!("{}.{call}", self.prefix)
    }

    /// Makes a request; `doing` says what for, in the error.
    ///
    /// # Errors
    /// [`Failure::Refused`] with the server's error, [`Failure::NoJetStream`] when nobody answers such requests,
    /// [`Failure::NoAnswer`] after the timeout.
    pub(crate) async fn call(
        &self,
        call: &str,
        body: Option<&Value>,
        doing: &str,
    ) -> Result<Answer, Failure> {
        let subject = self.subject(call);
        let body = body.map(ToString::to_string).unwrap_or_default();
        if self.trace {
            eprintln!(">>> {subject}\n{body}\n");
        }
        let reply = self.client.request(subject.clone(), body.into()).await;
        let message = reply.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => Failure::NoJetStream,
            RequestErrorKind::TimedOut => Failure::NoAnswer {
                subject: subject.clone(),
                waited: self.timeout,
            },
            _ => Failure::other(format!("{doing}: {error}")),
        })?;
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        if self.trace {
            eprintln!("<<< {subject}\n{text}\n");
        }
        let value: Value = serde_json::from_str(&text).map_err(|error| {
            Failure::other(format!("{doing}: the server's answer is not JSON: {error}"))
        })?;
        match error_of(&value) {
            Some(error) => Err(Failure::Refused {
                doing: doing.to_owned(),
                error,
            }),
            None => Ok(Answer { text, value }),
        }
    }

    /// Makes a request whose answer comes in pages, and returns everything below `field` of all pages.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub(crate) async fn pages(
        &self,
        call: &str,
        body: &Value,
        field: &str,
        doing: &str,
    ) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        loop {
            let mut request = body.clone();
            request["offset"] = json!(items.len());
            let answer = self.call(call, Some(&request), doing).await?;
            let page = answer.value.get(field).and_then(Value::as_array);
            let page = page.map(Vec::as_slice).unwrap_or_default();
            items.extend_from_slice(page);
            let total = answer.value.get("total").and_then(Value::as_u64);
            let reached = u64::try_from(items.len()).unwrap_or(u64::MAX);
            if page.is_empty() || reached >= total.unwrap_or(0) {
                return Ok(items);
            }
        }
    }
}

/// The error in a JetStream answer, if it is one.
pub(crate) fn error_of(value: &Value) -> Option<ApiError> {
    let error = value.get("error")?;
    let number = |key: &str| error.get(key).and_then(Value::as_u64).unwrap_or(0);
    Some(ApiError {
        code: number("code"),
        err_code: number("err_code"),
        description: error
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or("the server gave no reason")
            .to_owned(),
    })
}

/// The text at `path` (a JSON pointer); empty when there is none.
pub(crate) fn text_at<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at `path` (a JSON pointer); 0 when there is none.
pub(crate) fn number_at(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

/// The number at `path` (a JSON pointer) that is never negative; 0 when there is none.
pub(crate) fn count_at(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

/// The switch at `path` (a JSON pointer); off when there is none.
pub(crate) fn is_on(value: &Value, path: &str) -> bool {
    value.pointer(path).and_then(Value::as_bool) == Some(true)
}

/// A name that stands in an API subject; anything else would address another request.
///
/// # Errors
/// [`Failure::Usage`] when it is empty or contains a character that a subject or file name gives a meaning.
pub(crate) fn name<'a>(kind: &str, name: &'a str) -> Result<&'a str, Failure> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
    if name.is_empty() || name.contains(bad) {
        return Err(Failure::usage(format!(
            "{name:?} is not a valid {kind} name: it must not be empty or contain blanks or any of . * > / \\"
        )));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_the_servers_text_and_code() {
        let value =
            json!({"error": {"code": 404, "err_code": 10059, "description": "stream not found"}});
        let error = error_of(&value).expect("an error");
        assert_eq!(error.to_string(), "stream not found (10059)");
        let value = json!({"error": {"code": 503, "description": "unavailable"}});
        let error = error_of(&value).expect("an error");
        assert_eq!(error.to_string(), "unavailable (503)");
        assert_eq!(error_of(&json!({"success": true})), None);
    }

    #[test]
    fn names_cannot_address_other_requests() {
        assert!(name("stream", "ORDERS").is_ok());
        for bad in ["", "a.b", "a b", "*", ">", "a/b", "a\\b", "a\nb"] {
            assert!(name("stream", bad).is_err(), "{bad:?}");
        }
    }
}
