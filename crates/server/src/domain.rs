//! The JetStream domain: the API under a name of its own, by which clients behind leaf nodes tell servers apart (ADR-19).

use everjet_subject::SubjectMapping;

use crate::ServerError;

/// What `$JS.<domain>.API.` stands before, and what that becomes; the same as in nats-server.
const CALLS: [(&str, &str); 9] = [
    ("INFO", "$JS.API.INFO"),
    ("STREAM.>", "$JS.API.STREAM.>"),
    ("CONSUMER.>", "$JS.API.CONSUMER.>"),
    ("DIRECT.>", "$JS.API.DIRECT.>"),
    ("META.>", "$JS.API.META.>"),
    ("SERVER.>", "$JS.API.SERVER.>"),
    ("ACCOUNT.>", "$JS.API.ACCOUNT.>"),
    ("$KV.>", "$KV.>"),
    ("$OBJ.>", "$OBJ.>"),
];

/// Adds the mappings of a domain to those of the operator, which count where both have the same source.
pub(crate) fn add_mappings(
    domain: &str,
    mappings: &mut Vec<SubjectMapping>,
) -> Result<(), ServerError> {
    for (call, destination) in CALLS {
        let source = format!("$JS.{domain}.API.{call}");
        let is_mapped = |mapping: &SubjectMapping| mapping.source() == source.as_bytes();
        if mappings.iter().any(is_mapped) {
            continue;
        }
        let mapping = SubjectMapping::to(&source, destination)
            .map_err(|_| ServerError::Option(format!("invalid domain name {domain:?}")))?;
        mappings.push(mapping);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_maps_is_left_alone() {
        let own = SubjectMapping::to("$JS.hub.API.INFO", "elsewhere").expect("valid");
        let mut mappings = vec![own.clone()];
        add_mappings("hub", &mut mappings).expect("a valid domain");
        assert_eq!(mappings.len(), CALLS.len());
        assert_eq!(mappings[0].source(), own.source());
        assert!(add_mappings("a..b", &mut mappings).is_err());
    }
}
