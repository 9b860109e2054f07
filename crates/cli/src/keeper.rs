//! Which streams store a subject.

use serde_json::{Value, json};

use crate::api::{is_on, text_at};
use crate::connect::Connection;
use crate::failure::Failure;

/// A stream that stores messages of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keeper {
    /// The stream's name.
    pub(crate) name: String,
    /// The subjects it stores.
    pub(crate) subjects: Vec<String>,
    /// Whether it acknowledges what it stores.
    pub(crate) acknowledges: bool,
}

impl Keeper {
    /// Reads what `STREAM.INFO` or an entry of `STREAM.LIST` says.
    fn from_info(info: &Value) -> Option<Self> {
        let name = text_at(info, "/config/name");
        let subjects = info.pointer("/config/subjects")?.as_array()?;
        Some(Self {
            name: Some(name).filter(|name| !name.is_empty())?.to_owned(),
            subjects: subjects
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            acknowledges: !is_on(info, "/config/no_ack"),
        })
    }
}

/// The streams that store messages of `subject`, which may have wildcards; none when JetStream is not enabled. `None`,
/// with a warning, when this user is not told.
///
/// # Errors
/// The server's refusal.
pub(crate) async fn keepers(
    connection: &Connection,
    subject: &str,
) -> Result<Option<Vec<Keeper>>, Failure> {
    let doing = format!("cannot find out which streams store {subject}");
    let (api, request) = (&connection.api, json!({"subject": subject}));
    let names_subject = api.subject("STREAM.NAMES");
    let names = tokio::select! {
        names = api.pages("STREAM.NAMES", &request, "streams", &doing) => names,
        // Without the right to ask there is no answer to wait for.
        () = connection.refused(&names_subject) => return Ok(not_told(subject)),
    };
    let names = match names {
        Ok(names) => names,
        Err(failure) if has_no_jetstream(&failure) => return Ok(Some(Vec::new())),
        Err(Failure::NoAnswer { .. }) => return Ok(not_told(subject)),
        Err(failure) => return Err(failure),
    };
    let mut keepers = Vec::new();
    for name in names.iter().filter_map(Value::as_str) {
        let call = format!("STREAM.INFO.{name}");
        let info_subject = api.subject(&call);
        let info = tokio::select! {
            info = api.call(&call, None, &doing) => info?,
            () = connection.refused(&info_subject) => return Ok(not_told(subject)),
        };
        keepers.extend(Keeper::from_info(&info.value));
    }
    Ok(Some(keepers))
}

fn not_told(subject: &str) -> Option<Vec<Keeper>> {
    eprintln!("nats: warning: this user is not told which streams store {subject}");
    None
}

/// Whether a failure says that there is no JetStream to ask: nobody answers, or it is off for this account.
pub(crate) fn has_no_jetstream(failure: &Failure) -> bool {
    const NOT_ENABLED: u64 = 10076;
    const NOT_ENABLED_FOR_ACCOUNT: u64 = 10039;
    matches!(failure, Failure::NoJetStream)
        || matches!(
            failure.err_code(),
            Some(NOT_ENABLED | NOT_ENABLED_FOR_ACCOUNT)
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_is_read_from_stream_information() {
        let info = json!({"config": {"name": "S", "subjects": ["a", "b.*"], "no_ack": true}});
        assert_eq!(
            Keeper::from_info(&info),
            Some(Keeper {
                name: "S".to_owned(),
                subjects: vec!["a".to_owned(), "b.*".to_owned()],
                acknowledges: false,
            })
        );
        // A mirror stores no subject of its own.
        assert_eq!(Keeper::from_info(&json!({"config": {"name": "M"}})), None);
    }
}
